"""`Artefact`: one file of network weights, where it is published and under which terms."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Artefact:
    """One file of network weights.

    Raises ValueError for a name that is no safe file name, and for a size or hash that cannot be one.
    """

    name: str
    """Stable name that pairs and users refer to; also the name of the file in the cache. Lower case."""
    summary: str
    file: str
    """Path of the published file inside its repository."""
    license: str
    """SPDX identifier, or the licence in words where it has none."""
    repository: str | None = None
    """Hugging Face repository, `owner/name`; None for weights that are not there."""
    homepage: str | None = None
    """Where weights are published that are in no such repository. They are downloaded by hand and imported."""
    non_commercial: bool = False
    """Whether the licence forbids commercial use."""
    size: int | None = None
    """Bytes of the published file, where known."""
    sha256: str | None = None
    """SHA-256 of the published file in lower-case hexadecimal, where known."""
    embedded: bool = False
    """Whether the file ships with the program. One of the same name in the cache takes its place."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > 100:
            raise ValueError(f"`{self.name}` is no name for an artefact")
        if not self.file or self.file.startswith("/") or ".." in self.file.split("/"):
            raise ValueError(f"`{self.file}` is no path inside a repository")
        if self.size is not None and self.size <= 0:
            raise ValueError(f"artefact {self.name} cannot have {self.size} bytes")
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"`{self.sha256}` is no SHA-256")

    @property
    def page(self) -> str | None:
        """Where the weights are published, for people; None for weights that nobody publishes."""
        return self.homepage if self.repository is None else f"https://huggingface.co/{self.repository}"

    @property
    def url(self) -> str | None:
        """Address of the published file itself, in a repository."""
        return None if self.repository is None else f"{self.page}/resolve/main/{self.file}"

    @property
    def terms(self) -> str:
        """The licence as users must see it: loud where it forbids commercial use."""
        return f"{self.license} (NON-COMMERCIAL USE ONLY)" if self.non_commercial else self.license
