"""Which data sets there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from squeeze3d.bench.datasets.base import Dataset
from squeeze3d.bench.datasets.folder import Folder
from squeeze3d.bench.datasets.samples import Samples
from squeeze3d.errors import UsageError

FOLDER = "folder"
DATASETS: Mapping[str, Callable[[Path | None], Dataset]] = {
    "samples": lambda path: Samples(),
}
"""Makers by name, given the path behind a colon."""


def dataset(text: str) -> Dataset:
    """A data set by its name, or `NAME:PATH`. Raises UsageError for one that does not exist."""
    name, colon, place = text.partition(":")
    path = Path(place).expanduser() if colon else None
    if name == FOLDER and path is not None:
        return Folder(path)
    if name in DATASETS:
        return DATASETS[name](path)
    raise UsageError(f"there is no data set `{text}`", hint=f"there are {', '.join(DATASETS)} and folder:PATH")
