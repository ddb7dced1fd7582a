"""Runs of every network that ships with the program, in miniature: a step takes a quarter of a second at most.

`RUNS[name](folder, steps=..., objects=..., **recipe)` starts one, or goes on with it. Used by tests only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.cells import surface_cells
from squeeze3d.codecs.lite.patches import NEAR, SCALARS, STRUCTURE_COLUMNS
from squeeze3d.training import field_lite, lite_field, lite_scalars, lite_structure, points_lite
from squeeze3d.training.lite_data import UNIT
from squeeze3d.training.lite_patches import Pool, join, sample_surface_cells
from squeeze3d.training.points_lite_data import Clouds
from squeeze3d.training.run import Run

STRUCTURE = lite_structure.Recipe(hidden=(12, 6), batch=256, per_grid=400, pool=8)
SCALARS_RECIPE = lite_scalars.Recipe(hidden=(16, 8), batch=256, rate=1e-2)
FIELD = lite_field.Recipe(
    width=16, depth=1, steps=40, batch=256, warmup=5, average=0.9, precision="32", sign_weight=0, difference_weight=0
)
POINTS = points_lite.Recipe(batch=2, patch=2, warmup=2)
CUBES = field_lite.Recipe(steps=4, batch=4, warmup=2, views=2, average=0.9)


def grids() -> list[NDArray[np.bool_]]:
    """Two boxes, one with a wall."""
    return [
        _box((14, 12, 9), (0, 0, 0), (14, 7, 3)) | _box((14, 12, 9), (4, 0, 0), (9, 12, 9)),
        _box((8, 8, 8), (1, 1, 1), (8, 8, 8)),
    ]


def _box(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> NDArray[np.bool_]:
    grid = np.zeros(shape, bool)
    grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return grid


def wave(phase: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Structure below a wavy height field, and distances at its surface cells."""
    axis = np.arange(14.0)
    height = 6 + 2.5 * np.sin(axis[:, None] / 3 + phase) * np.cos(axis / 4)
    distance = axis - height[:, :, None]
    occupied = distance < 0.5
    return occupied, np.clip(distance[tuple(surface_cells(occupied).T)], -0.6, 0.6)


def waves() -> Pool:
    """1,200 surface cells of height fields."""
    rng = np.random.default_rng(0)
    fields = [wave(phase) for phase in (0.0, 1.0, 2.0, 3.0)]
    return join(
        sample_surface_cells(occupied, np.rint(signed / UNIT).astype(np.int8), 300, rng) for occupied, signed in fields
    )


def planes(count: int = 600) -> Pool:
    """Cells cut by planes: the structure is the half space, seen with noise-free distances."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    shift = rng.uniform(-0.5, 0.5, (count, 1))
    span = (np.arange(4) - 1.5) / 4
    subs = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(64, 3)
    structure = np.zeros((count, STRUCTURE_COLUMNS), dtype=np.uint8)
    structure[:, : len(NEAR)] = normal @ NEAR.T + shift < 0.5
    around = normal @ SCALARS.T + shift
    surface = np.abs(around) < 0.5
    return Pool(
        structure,
        np.where(surface, np.rint(around * 25), 0).astype(np.int8),
        surface,
        np.rint((normal @ subs.T + shift) * 25).astype(np.int8),
    )


def clouds(count: int = 6, seed: int = 0) -> Clouds:
    """Boxes of 256 points, every third without colours. Runs on them need `points_lite.INPUT_POINTS` below 256."""
    random = np.random.default_rng(seed)
    places = random.uniform(-1, 1, (count, 256, 3)) * random.uniform(0.3, 1, (count, 1, 3))
    places /= np.abs(places).max(axis=(1, 2), keepdims=True)
    colours = np.repeat(random.integers(0, 256, (count, 1, 3)), 256, axis=1)
    coloured = np.arange(count) % 3 > 0
    names = tuple(f"box-{number}" for number in range(count))
    return Clouds(names, places.astype(np.float32), colours.astype(np.uint8), coloured)


def balls(count: int = 6) -> NDArray[np.uint8]:
    """(N, 32, 32, 32, 4) coloured balls of several sizes."""
    line = np.linspace(-1, 1, 32)
    distance = np.linalg.norm(np.stack(np.meshgrid(line, line, line)), axis=0)
    random = np.random.default_rng(0)
    cubes = np.zeros((count, 32, 32, 32, 4), dtype=np.uint8)
    for cube in cubes:
        inside = distance < random.uniform(0.5, 0.95)
        cube[inside, :3] = random.integers(0, 256, 3)
        cube[inside, 3] = 255
    return cubes


def structure_run(folder: Path, *, steps: int = 4, objects: int = 2, **recipe: Any) -> lite_structure.StructureRun:
    """A run on the first of `grids`."""
    return lite_structure.StructureRun(folder, replace(STRUCTURE, **recipe), grids()[:objects], steps=steps)


def scalar_run(folder: Path, *, steps: int = 4, **recipe: Any) -> lite_scalars.ScalarRun:
    """A run on `waves`."""
    return lite_scalars.ScalarRun(folder, replace(SCALARS_RECIPE, **recipe), waves(), steps=steps)


def field_run(folder: Path, *, steps: int = 4, objects: int = 100, **recipe: Any) -> lite_field.FieldRun:
    """A run on `planes`."""
    data = planes(objects)
    return lite_field.FieldRun(folder, replace(FIELD, steps=steps, **recipe), data, data)


def points_run(folder: Path, *, steps: int = 4, objects: int = 6, **recipe: Any) -> points_lite.PointsRun:
    """A run on `clouds`."""
    data = clouds(objects)
    return points_lite.PointsRun(folder, replace(POINTS, **recipe), data, data, steps=steps)


def cube_run(folder: Path, *, steps: int = 4, objects: int = 6, **recipe: Any) -> field_lite.AutoencoderRun:
    """A run on `balls`."""
    data = field_lite.Samples.of(balls(objects))
    return field_lite.AutoencoderRun(folder, replace(CUBES, steps=steps, **recipe), data, data)


RUNS: dict[str, Callable[..., Run[Any]]] = {
    "structure": structure_run,
    "scalars": scalar_run,
    "field": field_run,
    "points": points_run,
    "cubes": cube_run,
}
