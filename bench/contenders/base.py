"""`Contender`: what the benchmark asks of a codec or a peer, and `Setting`, one point of its rate-distortion curve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from squeeze3d.assets.source import Asset
from squeeze3d.codecs.spec import Kind

KINDS = frozenset(Kind)


@dataclass(frozen=True)
class Setting:
    """One way to run a contender."""

    label: str
    """Stable name: part of what tells results apart."""
    size: int | None = None
    """Bytes that the result may have, for contenders that search for the best within a size."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Anything else, plain data."""

    @classmethod
    def of_size(cls, size: int) -> Setting:
        """The best within a number of bytes."""
        return cls(str(size), size)


@dataclass(frozen=True)
class Encoded:
    """What a contender makes of an asset."""

    files: Mapping[str, bytes] = field(repr=False)
    """By name. All of their bytes count."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, plain data: faces, bits, texture size ..."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


class Contender(ABC):
    """A codec or a peer. Objects are cheap to make and hold nothing; heavy imports belong into the methods.

    `encode` and `decode` run in fresh processes of their own, where contenders are looked up by their id.
    """

    id: str
    summary: str
    kinds: frozenset[Kind] = KINDS
    packages: tuple[str, ...] = ()
    """Python packages whose versions results depend on."""
    is_ours = False
    """Whether it belongs to this program."""

    def missing(self) -> str | None:
        """Why it cannot run on this machine; None if it can. Quick."""
        return None

    def versions(self) -> dict[str, str]:
        """Versions of what it runs."""
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
        return found

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        """Points of the curve; by default one for each size."""
        return [Setting.of_size(size) for size in sizes]

    @abstractmethod
    def encode(self, source: Path, setting: Setting) -> Encoded:
        """Compress a file.

        Raises TargetSizeError where nothing fits the size of the setting, other Sq3Error where the asset is beyond
        it.
        """

    @abstractmethod
    def decode(self, files: Mapping[str, bytes]) -> Asset:
        """The asset that a user gets back from the files."""
