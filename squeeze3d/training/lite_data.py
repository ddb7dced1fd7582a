"""Training data of `mesh.lite`.

```text
meshes of a folder ─┐                                          ┌─ fields-32-000.npz      structure, distances, colours
                    ├─► an order without pattern ─► in shards ─┼─ fields-64-000.npz
procedural objects ─┘                                          └─ structures-16-000.npz  structures alone
```

Shards appear whole, coarse grids first, so that training can start on a part of the data; packing can be stopped and
repeated. One object in twenty belongs to the validation split, chosen by its name.

Distances are signed, in steps of `UNIT` cells, and clipped to +-`LIMIT`. All cells are those of
`squeeze3d.codecs.lite.cells`, in raster order.
"""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.formats import load
from squeeze3d.assets.mesh import Mesh
from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_flags
from squeeze3d.errors import FormatError, InputError, Sq3Error
from squeeze3d.files import atomic_path, make_folder
from squeeze3d.geometry.solid import GridFrame, Solid
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import describe, read_description
from squeeze3d.training.shapes.procedural import procedural_mesh

FORMAT_VERSION = 1
DESCRIPTION = "lite-data.json"
UNIT = 1 / 25
"""Cells that one step of a stored distance stands for."""
LIMIT = 1.0
"""Largest stored distance, in cells."""
FACTOR = 4
"""Sub-cells a cell has along each axis."""
TAUS = (0.55, 1.0)
FIELDS = (32, 64)
"""Grid sizes for which everything is stored."""
STRUCTURES = (16, 24, 48, 96)
"""Grid sizes for which only structures are stored; of the last, of every fourth object."""
SHARD = 64
"""Objects in a file."""
VALIDATION_SHARE = 20
PROCEDURAL = "procedural-"
"""Names of procedural objects: this and the seed."""
MAX_SIDE = 1024
MAX_FACES = 200_000
"""Objects with more are left out: they would take as long as hundreds of others."""

_PAINT_DEPTH = 0.13
"""Sub-cells closer to the surface than this, in cells, give the colour of their cell."""
_PAINT_REACH = 0.6
"""How far around a sub-cell the visible surface is looked for, in cells."""
_PAUSE = 6
"""Seconds between lines of progress."""

Split = Literal["train", "validation"]
Part = tuple[Literal["fields", "structures"], int]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Grid:
    """One object at one resolution."""

    name: str
    resolution: int
    tau: float
    """Closing radius, in cells."""
    occupied: NDArray[np.bool_]
    """The structure: cells whose centre's distance is below half a cell."""


@dataclass(frozen=True, eq=False)
class Field(Grid):
    """One object at one resolution, with its surface."""

    fine: NDArray[np.int8]
    """(M, 64) distances at the sub-cells (4 x 4 x 4, C order) of the mixed cells, in steps of `UNIT`."""
    centres: NDArray[np.int8]
    """(K,) distances at the centres of the surface cells, in steps of `UNIT`."""
    colours: NDArray[np.uint8] | None
    """(K, 3) mean visible sRGB colour in each surface cell, None for objects without colour."""
    colour_counts: NDArray[np.uint8] | None
    """(K,) points that each mean is over; 0 where no visible surface lies in the cell."""


def is_validation(name: str) -> bool:
    """Whether an object (file name without suffix) belongs to the validation split."""
    return zlib.crc32(name.encode()) % VALIDATION_SHARE == 7


def object_tau(name: str, resolution: int) -> float:
    """Closing radius of an object at a resolution, drawn by its name."""
    return TAUS[zlib.crc32(f"{name} {resolution}".encode()) % len(TAUS)]


class LiteData:
    """A folder that the command has written, or is writing: what is there counts.

    >>> data = LiteData(folder)                                                    # doctest: +SKIP
    >>> for field in data.fields(32, "train"): field.occupied, field.fine          # doctest: +SKIP
    >>> structures = [grid.occupied for grid in data.structures(96, "validation")] # doctest: +SKIP

    Objects are read one by one; nothing is kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if read_description(self.folder / DESCRIPTION, FORMAT_VERSION) is None:
            raise InputError(
                f"`{self.folder}` holds no training data: there is no {DESCRIPTION}",
                hint="`sq3d train autoencoder --codec mesh.lite` makes it from a folder of meshes",
            )

    def shards(self, part: Part) -> list[Path]:
        """Files of a part that are there."""
        return sorted(self.folder.glob(f"{part[0]}-{part[1]}-*.npz"))

    def fields(self, resolution: int, split: Split) -> Iterator[Field]:
        """Objects with everything; resolutions are those of `FIELDS`.

        Raises FormatError for a damaged file.
        """
        for grid in self._grids(("fields", resolution), split):
            assert isinstance(grid, Field)
            yield grid

    def structures(self, resolution: int, split: Split) -> Iterator[Grid]:
        """Objects of which only structure is asked, at any resolution of `FIELDS` or `STRUCTURES`."""
        kind: Literal["fields", "structures"] = "fields" if resolution in FIELDS else "structures"
        yield from self._grids((kind, resolution), split, bare=True)

    def _grids(self, part: Part, split: Split, *, bare: bool = False) -> Iterator[Grid]:
        for path in self.shards(part):
            try:
                with np.load(path, allow_pickle=False) as file:
                    names = [name.removesuffix("|occupied") for name in file.files if name.endswith("|occupied")]
                    for name in names:
                        if is_validation(name) == (split == "validation"):
                            yield _unpacked(path, name, part, file, bare=bare)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise FormatError(
                    f"`{path}` is damaged: {error}", hint="delete that file and run the command again"
                ) from error


def _unpacked(path: Path, name: str, part: Part, file: Any, *, bare: bool) -> Grid:
    kind, resolution = part
    x, y, z = (int(n) for n in file[f"{name}|shape"])
    packed = file[f"{name}|occupied"]
    if not 1 <= min(x, y, z) <= max(x, y, z) <= MAX_SIDE or packed.size != -(-x * y * z // 8):
        raise FormatError(f"`{path}`: the structure of `{name}` does not have its shape", hint="delete that file")
    occupied = np.unpackbits(packed, count=x * y * z).reshape(x, y, z).astype(bool)
    tau = float(file[f"{name}|tau"])
    if kind == "structures" or bare:
        return Grid(name, resolution, tau, occupied)
    fine, centres = file[f"{name}|fine"], file[f"{name}|centres"]
    colours, counts = None, None
    if f"{name}|colours" in file.files:
        colours, counts = file[f"{name}|colours"], file[f"{name}|colour_counts"]
    mixed, surface = int(mixed_flags(occupied).sum()), int(surface_flags(occupied).sum())
    fits = fine.shape == (mixed, FACTOR**3) and centres.shape == (surface,)
    if colours is not None and counts is not None:
        fits &= colours.shape == (surface, 3) and counts.shape == (surface,)
    if not fits:
        raise FormatError(f"`{path}`: the distances of `{name}` do not fit its structure", hint="delete that file")
    return Field(name, resolution, tau, occupied, fine, centres, colours, counts)


def structure_arrays(name: str, surface: Surface, resolution: int) -> Arrays:
    """What a shard stores of an object's structure."""
    tau = object_tau(name, resolution)
    solid = _solid(surface, GridFrame.from_bounds(surface.bounds, resolution))
    return _packed(solid.centres(tau) < 0.5, tau)


def field_arrays(name: str, surface: Surface, resolution: int) -> Arrays:
    """What a shard stores of an object."""
    tau = object_tau(name, resolution)
    frame = GridFrame.from_bounds(surface.bounds, resolution)
    solid = _solid(surface, frame)
    centres = solid.centres(tau)
    occupied = centres < 0.5
    fine = solid.fine(tau, FACTOR)
    x, y, z = (n + 2 * MARGIN for n in occupied.shape)
    blocks = fine.reshape(x, FACTOR, y, FACTOR, z, FACTOR).transpose(0, 2, 4, 1, 3, 5)
    arrays = _packed(occupied, tau)
    arrays["fine"] = _stepped(blocks[mixed_flags(occupied)].reshape(-1, FACTOR**3))
    arrays["centres"] = _stepped(centres[surface_flags(occupied)])
    if surface.has_colour:
        arrays["colours"], arrays["colour_counts"] = _colours(surface, frame, solid, fine, occupied)
    return arrays


def _solid(surface: Surface, frame: GridFrame) -> Solid:
    return Solid(frame.to_grid(surface.positions), surface.triangles, frame.cells)


def _packed(occupied: NDArray[np.bool_], tau: float) -> Arrays:
    return {
        "occupied": np.packbits(occupied),
        "shape": np.array(occupied.shape, dtype=np.int16),
        "tau": np.array(tau, dtype=np.float32),
    }


def _stepped(distances: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.rint(np.clip(distances, -LIMIT, LIMIT) / UNIT).astype(np.int8)


def _colours(
    surface: Surface, frame: GridFrame, solid: Solid, fine: NDArray[np.float32], occupied: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Mean visible colours of the surface cells, and over how many points."""
    near = np.argwhere(np.abs(fine) < _PAINT_DEPTH)
    shape = np.array(occupied.shape)
    cells = near // FACTOR - MARGIN
    kept = ((cells >= 0) & (cells < shape)).all(axis=1)
    near, cells = near[kept], cells[kept]
    flags = surface_flags(occupied)
    on_surface = flags[tuple(cells.T)]
    near, cells = near[on_surface], cells[on_surface]
    count = int(flags.sum())
    if not len(near):
        return np.zeros((count, 3), dtype=np.uint8), np.zeros(count, dtype=np.uint8)
    slope = np.stack([_slope(fine, near, axis) for axis in range(3)], axis=1)
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    normals = np.divide(slope, length, out=np.tile([0.0, 1.0, 0.0], (len(slope), 1)), where=length > 1e-6)
    points = (near + 0.5) / FACTOR - 0.5 - MARGIN
    hits = solid.query.outer_layer(points, normals, _PAINT_REACH)
    side = float(frame.steps.mean()) / FACTOR
    colours = surface.colours_at(hits.faces, hits.weights, np.full(len(points), side))[:, :3]
    place = np.full(occupied.shape, -1)
    place[flags] = np.arange(count)
    rows = place[tuple(cells.T)]
    counts = np.bincount(rows, minlength=count)
    sums = np.stack([np.bincount(rows, weights=colours[:, k], minlength=count) for k in range(3)], axis=1)
    means = np.rint(255 * sums / np.maximum(counts, 1)[:, None])
    return means.astype(np.uint8), np.minimum(counts, 255).astype(np.uint8)


def _slope(fine: NDArray[np.float32], at: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    low, high = at.copy(), at.copy()
    low[:, axis] = np.maximum(low[:, axis] - 1, 0)
    high[:, axis] = np.minimum(high[:, axis] + 1, fine.shape[axis] - 1)
    return (fine[tuple(high.T)] - fine[tuple(low.T)]).astype(np.float64)


def surface_of(name: str, folder: Path) -> Surface:
    """The surface of an object by its name.

    Raises Sq3Error where it cannot be read, has no triangles, or too many.
    """
    mesh = procedural_mesh(int(name.removeprefix(PROCEDURAL))) if _is_procedural(name) else load(folder / f"{name}.glb")
    if not isinstance(mesh, Mesh):
        raise InputError("not a mesh")
    surface = flatten(mesh)
    if len(surface.triangles) > MAX_FACES:
        raise InputError(f"{len(surface.triangles)} triangles are more than {MAX_FACES}")
    return surface


def object_names(folder: Path, procedural: int, leave_out: Collection[str] = (), *, say: Say = silent) -> list[str]:
    """All objects but those to leave out, in an order without pattern: any part of it is a fair sample.

    Says which names to leave out no object has.

    Raises InputError for a folder without meshes, if there are no procedural objects either, and if nothing is left.
    """
    names = [path.stem for path in folder.glob("*.glb")] + [f"{PROCEDURAL}{seed}" for seed in range(procedural)]
    if not names:
        raise InputError(f"no .glb files in `{folder}`", hint="give a folder of meshes, or `--procedural N`")
    unseen = set(leave_out)
    unknown = sorted(unseen.difference(names))
    if unknown:
        say(f"not in the folder: {', '.join(unknown)}")
    kept = [name for name in names if name not in unseen]
    if not kept:
        raise InputError(f"all objects of `{folder}` are to be left out", hint="give a shorter list, or more objects")
    return sorted(kept, key=lambda name: (zlib.crc32(name.encode()), name))


def _is_procedural(name: str) -> bool:
    return name.removeprefix(PROCEDURAL).isdecimal() and name.startswith(PROCEDURAL)


def pack(
    folder: Path,
    output: Path,
    *,
    procedural: int = 0,
    leave_out: Collection[str] = (),
    workers: int = 1,
    parts: Sequence[Part] | None = None,
    shard_size: int = SHARD,
    say: Say = silent,
) -> dict[str, str]:
    """Write all shards that are missing; returns what could not be packed and why.

    Parameters
    ----------
    leave_out : names of objects that training must not see, such as those that results are measured on.

    Raises
    ------
    UsageError : the folder holds data of other objects.
    InputError : there are no objects.
    """
    names = object_names(folder, procedural, leave_out, say=say)
    make_folder(output)
    described = {"version": FORMAT_VERSION, "objects": names, "shard_size": shard_size, "unit": UNIT, "limit": LIMIT}
    describe(output / DESCRIPTION, described)
    failures: dict[str, str] = {}
    jobs = [
        (part, start // shard_size, names[start : start + shard_size])
        for part in (parts if parts is not None else default_parts())
        for start in range(0, len(names), shard_size)
    ]
    progress = _Progress(len(jobs), say)
    with _executor(workers) as executor:
        for part, number, chosen in jobs:
            path = output / f"{part[0]}-{part[1]}-{number:03d}.npz"
            if not path.exists():
                _write_shard(path, part, chosen, folder, executor, failures)
            progress.step(path.name, len(failures))
    return failures


def default_parts() -> list[Part]:
    """All parts, those that are cheap and needed first at the front."""
    return [
        ("fields", 32),
        ("structures", 16),
        ("structures", 24),
        ("fields", 64),
        ("structures", 48),
        ("structures", 96),
    ]


def _write_shard(
    path: Path, part: Part, names: list[str], folder: Path, executor: Executor, failures: dict[str, str]
) -> None:
    if part[1] == STRUCTURES[-1]:
        names = names[::4]
    answers: list[Future[Arrays | str]] = [executor.submit(_arrays_of, name, folder, part) for name in names]
    arrays: Arrays = {}
    for name, future in zip(names, answers, strict=True):
        answer = future.result()
        if isinstance(answer, str):
            failures[name] = answer
            continue
        arrays.update({f"{name}|{key}": value for key, value in answer.items()})
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _arrays_of(name: str, folder: Path, part: Part) -> Arrays | str:
    """Arrays of one object, or why there are none."""
    try:
        surface = surface_of(name, folder)
    except Sq3Error as error:
        return error.message
    make = field_arrays if part[0] == "fields" else structure_arrays
    return make(name, surface, part[1])


class _Progress:
    """A line now and then."""

    def __init__(self, total: int, say: Say) -> None:
        self._say = say
        self._total, self._done, self._start, self._last = total, 0, time.monotonic(), -float(_PAUSE)

    def step(self, name: str, failures: int) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._last < _PAUSE and self._done < self._total:
            return
        self._last = now
        left_out = f", {failures} objects left out" if failures else ""
        self._say(f"{self._done} of {self._total} files, {now - self._start:.0f} s: {name}{left_out}")


class _Here(Executor):
    """Does the work at once, in this process."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **named))
        return future


def _executor(workers: int) -> Executor:
    return ProcessPoolExecutor(workers) if workers > 1 else _Here()
