"""`Dataset`: a named collection of files with hashes and licences."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squeeze3d.errors import InputError

Progress = Callable[[str, float], None]
CACHE = "SQ3D_DATASETS"
"""Names the folder for what data sets download or make."""
MANIFEST = "manifest.jsonl"
UNKNOWN = "unknown"


def cache_folder() -> Path:
    """Where data sets keep what they download or make."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "squeeze3d" / "datasets"


@dataclass(frozen=True)
class Item:
    """One file of a data set."""

    name: str
    """Stable and unique within the data set."""
    path: Path
    licence: str = UNKNOWN
    attribution: str = ""
    source: str = ""
    """Address, or repository and path."""

    def sha256(self) -> str:
        """Hash of the main file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Dataset(ABC):
    """A collection of files."""

    id: str
    summary: str
    sizes: tuple[int, ...] = (500, 1000, 3000, 10_000, 30_000)
    """Bytes at which contenders are compared unless others are asked for."""
    effort: int | None = None
    """Effort of our codecs unless another is asked for; None for their default."""

    @abstractmethod
    def items(self, limit: int | None, progress: Progress) -> list[Item]:
        """The first `limit` files (all if None), always the same ones in the same order.

        Raises InputError where they are not here and cannot be fetched; the hint says how to get them.
        """


def from_manifest(folder: Path, paths: Sequence[Path]) -> list[Item]:
    """Items with the licences that a `manifest.jsonl` in the folder, or next to it, tells.

    Its lines are objects with `file` (a path ending in that of an asset), `licence` or `license`, and if known
    `attribution` and `source`.
    """
    known: dict[str, dict[str, Any]] = {}
    for place in (folder.parent, folder):
        path = place / MANIFEST
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
                known[str((place / entry["file"]).resolve())] = entry
            except (ValueError, TypeError, KeyError):
                raise InputError(f"`{path}`, line {number} is no object with an entry `file`") from None
    items = []
    for path in paths:
        entry = known.get(str(path.resolve()), {})
        items.append(
            Item(
                path.relative_to(folder).as_posix(),
                path,
                str(entry.get("licence") or entry.get("license") or UNKNOWN),
                str(entry.get("attribution", "")),
                str(entry.get("source") or entry.get("source_repo") or ""),
            )
        )
    return items
