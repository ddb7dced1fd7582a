"""Training data of `field.lite`.

```text
mesh ─► points on its surface ─► cells that hold any, with mean colours ─► filled where shut off from outside
     ─► soft shell around it ─► RadianceField ─► the frame of the pair ─► (32, 32, 32, 4) bytes ─► cubes-000.npz ...
```

Fields made this way look like voxelised meshes elsewhere: full density inside, a shell of one to three cells around it
in which density falls by powers of ten, the colour of the closest surface everywhere.

Shards appear whole, and packing goes on where it was stopped. One object in twenty belongs to the validation split,
chosen by its name.
"""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import SIZE, layout_of, to_cube
from squeeze3d.errors import FormatError, InputError, Sq3Error
from squeeze3d.files import atomic_path, make_folder
from squeeze3d.geometry.sampling import sample_triangles
from squeeze3d.geometry.surface import Surface
from squeeze3d.training.lite_data import is_validation, object_names, surface_of
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import describe

DESCRIPTION = "field-lite-data.json"
FORMAT_VERSION = 1
SHARD = 64
"""Objects in a file."""
RESOLUTIONS = (48, 64, 64, 96)
"""Cells along the longest side of a field; an object's name decides."""
FULL_DENSITY = 50.0
MARGIN = 3
"""Cells around the object."""

_SHELL = (
    (0.0, 1.0, 2**0.5, 3**0.5, 2.0, 5**0.5, 6**0.5, 8**0.5, 3.0),
    (0.0, -1.17, -2.54, -3.75, -4.8, -5.74, -6.57, -8.5, -12.0),
)
"""Distance from full cells, in cells, and the logarithm of the relative density there."""
_POINTS_PER_CELL = 10
_MOST_POINTS = 400_000
_PAUSE = 10
"""Seconds between lines of progress."""


def voxelise(surface: Surface, resolution: int, *, seed: int = 0) -> RadianceField:
    """Field of a surface, `resolution` cells along its longest side and a margin.

    Raises InputError for a surface without area or extent.
    """
    from scipy.ndimage import distance_transform_edt, label

    low, high = surface.bounds
    longest = float((high - low).max())
    if not (np.isfinite(longest) and longest > 0 and surface.areas.sum() > 0):
        raise InputError("the surface has no area")
    side = longest / (resolution - 2 * MARGIN)
    count = int(min(_MOST_POINTS, max(2000, _POINTS_PER_CELL * surface.areas.sum() / side**2)))
    faces, weights = sample_triangles(surface.areas, count, seed=seed)
    points = (surface.positions[surface.triangles[faces]] * weights[:, :, None]).sum(axis=1)
    colours = surface.colours_at(faces, weights, np.full(count, side))[:, :3]

    shape = tuple(int(n) for n in np.ceil((high - low) / side).astype(int) + 2 * MARGIN)
    cells = np.clip(((points - low) / side).astype(int) + MARGIN, 0, np.array(shape) - 1)
    flat = np.ravel_multi_index(tuple(cells.T), shape)
    hits = np.bincount(flat, minlength=int(np.prod(shape)))
    sums = np.stack([np.bincount(flat, weights=colours[:, k], minlength=len(hits)) for k in range(3)], axis=1)
    means = (sums / np.maximum(hits, 1)[:, None]).reshape(*shape, 3)
    occupied = (hits > 0).reshape(shape)
    regions, _ = label(~occupied)
    solid = regions != regions[0, 0, 0]

    nearest = distance_transform_edt(~occupied, return_distances=False, return_indices=True)
    distance = distance_transform_edt(~solid)
    relative = np.where(distance <= _SHELL[0][-1], np.exp(np.interp(distance, *_SHELL)), 0)
    grid = np.empty((*shape, 4), dtype=np.float32)
    grid[..., :3] = means[tuple(nearest)] * (relative > 0)[..., None]
    grid[..., 3] = FULL_DENSITY * relative
    corner = (low - MARGIN * side).astype(np.float32)
    return RadianceField(grid, corner, (corner + side * np.array(shape)).astype(np.float32))


def object_resolution(name: str) -> int:
    """Cells along the longest side of an object's field, drawn by its name."""
    return RESOLUTIONS[zlib.crc32(f"{name} field".encode()) % len(RESOLUTIONS)]


def cube_of(name: str, folder: Path) -> NDArray[np.uint8]:
    """(32, 32, 32, 4) colours and opacities of an object. Raises Sq3Error where it cannot be read."""
    field = voxelise(surface_of(name, folder), object_resolution(name))
    return np.rint(255 * to_cube(field, layout_of(field))).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Cubes:
    """Objects of one split."""

    names: list[str]
    values: NDArray[np.uint8]
    """(N, 32, 32, 32, 4) colours and opacities."""


def read_cubes(folder: Path, *, validation: bool) -> Cubes:
    """All objects of a split.

    Raises InputError if there are none, FormatError for a damaged file.
    """
    if not (folder / DESCRIPTION).exists():
        raise InputError(
            f"`{folder}` holds no training data: there is no {DESCRIPTION}",
            hint="`sq3d train autoencoder --codec field.lite` packs a folder of meshes",
        )
    chosen = [pair for path in shards(folder) for pair in _read(path) if is_validation(pair[0]) == validation]
    if not chosen:
        raise InputError(f"`{folder}` holds no objects of this split", hint="make more data")
    return Cubes([name for name, _ in chosen], np.stack([cube for _, cube in chosen]))


def shards(folder: Path) -> list[Path]:
    """Files that are there."""
    return sorted(folder.glob("cubes-*.npz"))


def _read(path: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names, cubes = [str(name) for name in file["names"]], file["cubes"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"`{path}` is damaged: {error}", hint="delete it and run the command again") from error
    if cubes.shape != (len(names), SIZE, SIZE, SIZE, 4) or cubes.dtype != np.uint8:
        raise FormatError(f"`{path}`: the cubes have the shape {cubes.shape}", hint="delete it and run again")
    yield from zip(names, cubes, strict=True)


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
    folder : meshes (.glb).
    procedural : objects of our own to add.
    leave_out : names of objects, without suffix, that training must not see.

    Raises
    ------
    UsageError : the output folder holds data of other objects. InputError : there are no objects.
    """
    names = object_names(folder, procedural, leave_out, say=say)
    make_folder(output)
    described = {
        "version": FORMAT_VERSION,
        "shard_size": shard_size,
        "left_out": sorted(set(leave_out)),
        "objects": names,
    }
    describe(output / DESCRIPTION, described)
    failures: dict[str, str] = {}
    started = said = time.monotonic()
    for number, start in enumerate(range(0, len(names), shard_size)):
        path = output / f"cubes-{number:03d}.npz"
        if not path.exists():
            _write(path, names[start : start + shard_size], folder, failures)
        if time.monotonic() - said > _PAUSE:
            said = time.monotonic()
            done = min(start + shard_size, len(names))
            say(f"{done} of {len(names)} objects, {said - started:.0f} s")
    return failures


def _write(path: Path, names: Sequence[str], folder: Path, failures: dict[str, str]) -> None:
    cubes = {}
    for name in names:
        try:
            cubes[name] = cube_of(name, folder)
        except Sq3Error as error:
            failures[name] = error.message
    values = np.stack(list(cubes.values())) if cubes else np.zeros((0, SIZE, SIZE, SIZE, 4), dtype=np.uint8)
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, names=np.array(list(cubes), dtype=np.str_), cubes=values)
