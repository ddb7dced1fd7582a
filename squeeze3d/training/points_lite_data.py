"""Training data of `points.lite`.

```text
meshes of a folder ─┐                                         ┌─ clouds-000.npz   256 objects each
                    ├─► an order without pattern ─► points ───┼─ clouds-001.npz
procedural objects ─┘   in the order of farthest point sampling└─ points-lite.json
```

Each object is 2,048 points with colours in the frame of the pair. Shards appear whole; packing can be stopped and
repeated. Which objects are for validation, their names decide: `squeeze3d.training.lite_data.is_validation`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, InputError, Sq3Error
from squeeze3d.files import atomic_path, make_folder
from squeeze3d.geometry.farthest_points import farthest_points
from squeeze3d.geometry.sampling import sample_triangles
from squeeze3d.training.lite_data import is_validation, object_names, surface_of
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import describe, read_description

FORMAT_VERSION = 1
DESCRIPTION = "points-lite.json"
POINTS = 2048
SOURCE = 6144
"""Points of the surface that the stored ones are chosen from."""
SHARD = 256
STEP = 1 / 32767
"""Stored places are whole numbers of this."""


@dataclass(frozen=True, eq=False)
class Clouds:
    """Objects as points."""

    names: tuple[str, ...]
    places: NDArray[np.float32]
    """(N, POINTS, 3) in -1..1, the longest side of each box 2."""
    colours: NDArray[np.uint8]
    """(N, POINTS, 3) sRGB."""
    coloured: NDArray[np.bool_]
    """(N,) whether there are any colours; others are white."""

    def __len__(self) -> int:
        return len(self.names)

    def part(self, chosen: Collection[int] | NDArray[np.integer]) -> Clouds:
        """Some of the objects."""
        rows = np.asarray(list(chosen), dtype=np.int64)
        names = tuple(self.names[row] for row in rows)
        return Clouds(names, self.places[rows], self.colours[rows], self.coloured[rows])

    def split(self) -> tuple[Clouds, Clouds]:
        """Those for training, and those for validation."""
        held = np.array([is_validation(name) for name in self.names], dtype=bool)
        return self.part(np.flatnonzero(~held)), self.part(np.flatnonzero(held))


def cloud_of(name: str, folder: Path) -> tuple[NDArray[np.int16], NDArray[np.uint8], bool]:
    """(POINTS, 3) places in `STEP`s, (POINTS, 3) sRGB colours, and whether the object has colours.

    Raises Sq3Error where it cannot be read or has no extent.
    """
    surface = surface_of(name, folder)
    if not surface.areas.sum() > 0:
        raise InputError("the mesh has no area")
    faces, weights = sample_triangles(surface.areas, SOURCE, seed=1)
    places = np.einsum("nkc,nk->nc", surface.positions[surface.triangles[faces]], weights)
    low, high = places.min(axis=0), places.max(axis=0)
    half = float((high - low).max()) / 2
    if not 0 < half < np.inf:
        raise InputError("the mesh has no extent")
    places = (places - (low + high) / 2) / half
    order = farthest_points(places, POINTS)
    colours = np.full((POINTS, 3), 255, dtype=np.uint8)
    if surface.has_colour:
        # Each point stands for its share of the surface; single texels would be noise.
        side = np.full(POINTS, float(np.sqrt(surface.areas.sum() / POINTS)))
        colours = np.rint(255 * surface.colours_at(faces[order], weights[order], side)[:, :3]).astype(np.uint8)
    return np.rint(places[order] / STEP).astype(np.int16), colours, surface.has_colour


def pack(
    folder: Path,
    output: Path,
    *,
    procedural: int = 0,
    leave_out: Collection[str] = (),
    shard_size: int = SHARD,
    say: Say = silent,
) -> dict[str, str]:
    """Write all shards that are missing; returns what could not be packed and why.

    Parameters
    ----------
    leave_out : names of objects that training must not see, such as those that results are measured on.

    Raises
    ------
    UsageError : the folder holds data of other objects. InputError : there are no objects.
    """
    names = object_names(folder, procedural, leave_out, say=say)
    make_folder(output)
    described = {"version": FORMAT_VERSION, "objects": names, "shard_size": shard_size, "points": POINTS}
    describe(output / DESCRIPTION, described)
    failures: dict[str, str] = {}
    starts = range(0, len(names), shard_size)
    for number, start in enumerate(starts):
        path = output / f"clouds-{number:03d}.npz"
        if not path.exists():
            _write_shard(path, names[start : start + shard_size], folder, failures)
        say(f"{number + 1} of {len(starts)} files: {path.name}")
    return failures


def _write_shard(path: Path, names: Sequence[str], folder: Path, failures: dict[str, str]) -> None:
    kept, rows = [], []
    for name in names:
        try:
            rows.append(cloud_of(name, folder))
            kept.append(name)
        except Sq3Error as error:
            failures[name] = error.message
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            names=np.array(kept, dtype=np.str_),
            places=np.array([row[0] for row in rows], dtype=np.int16).reshape(-1, POINTS, 3),
            colours=np.array([row[1] for row in rows], dtype=np.uint8).reshape(-1, POINTS, 3),
            coloured=np.array([row[2] for row in rows], dtype=bool),
        )


def load_clouds(folder: Path) -> Clouds:
    """All objects of a packed folder.

    Raises InputError if there are none, FormatError for a damaged file.
    """
    paths = sorted(folder.glob("clouds-*.npz"))
    if read_description(folder / DESCRIPTION, FORMAT_VERSION) is None or not paths:
        raise InputError(
            f"`{folder}` holds no data", hint="`sq3d train autoencoder --codec points.lite` packs a folder of meshes"
        )
    names: list[str] = []
    places, colours, coloured = [], [], []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:
                here = [str(name) for name in file["names"]]
                parts = file["places"], file["colours"], file["coloured"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise FormatError(
                f"`{path}` is damaged: {error}", hint="delete that file and run the command again"
            ) from error
        wanted = [(np.int16, (POINTS, 3)), (np.uint8, (POINTS, 3)), (np.bool_, ())]
        if any(a.dtype != kind or a.shape != (len(here), *s) for a, (kind, s) in zip(parts, wanted, strict=True)):
            raise FormatError(f"`{path}` does not hold what it should", hint="delete that file")
        names += here
        places.append((parts[0] * np.float32(STEP)).astype(np.float32))
        colours.append(parts[1])
        coloured.append(parts[2])
    return Clouds(tuple(names), np.concatenate(places), np.concatenate(colours), np.concatenate(coloured))
