"""Which data sets there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from squeeze3d.bench.datasets.base import Dataset
from squeeze3d.bench.datasets.folder import Folder
from squeeze3d.bench.datasets.local import GltfSamples, NerfMae, ShapeNet
from squeeze3d.bench.datasets.objaverse import USUAL, Objaverse
from squeeze3d.bench.datasets.samples import Samples
from squeeze3d.errors import UsageError

FOLDER = "folder"
DATASETS: Mapping[str, Callable[[str | None], Dataset]] = {
    "samples": lambda rest: Samples(),
    "objaverse": lambda rest: Objaverse(USUAL if rest is None else tuple(rest.split(","))),
    "gltf-samples": lambda rest: GltfSamples(_path(rest)),
    "shapenet": lambda rest: ShapeNet(_path(rest)),
    "nerf-mae": lambda rest: NerfMae(_path(rest)),
}
"""Makers by name, given what follows a colon."""


def dataset(text: str) -> Dataset:
    """A data set by its name, or `NAME:PATH`. Raises UsageError for one that does not exist."""
    name, colon, rest = text.partition(":")
    place = rest if colon else None
    if name == FOLDER and (path := _path(place)) is not None:
        return Folder(path)
    if name in DATASETS:
        return DATASETS[name](place)
    raise UsageError(f"there is no data set `{text}`", hint=f"there are {', '.join(DATASETS)} and folder:PATH")


def _path(rest: str | None) -> Path | None:
    return Path(rest).expanduser() if rest else None
