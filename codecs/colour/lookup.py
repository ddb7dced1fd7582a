"""Colours between cells, and cells from coloured points.

Points are in grid coordinates: the centre of cell `c` lies at `c`, and the cell covers `c - 0.5` to `c + 0.5`. The
centre of the cell that holds cells `2 P` and `2 P + 1` lies between them, so a point `g` is `(g - 0.5) / 2` one level
up.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.cells import Hierarchy, Level
from squeeze3d.codecs.colour.ycocg import display

if TYPE_CHECKING:
    from squeeze3d.codecs.colour.model import CellColours

_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)), dtype=np.int64)


def lookup(colours: CellColours, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colour at each of (N, 3) points in coordinates of the grid given to the coder; (N, 3) sRGB in [0, 1].

    Trilinear over the occupied cells among the eight around a point, weights normalised. Where none of the eight is
    occupied, the next coarser level answers. Borders between palette entries are as soft as cells are large: sharp ones
    would seldom be in the right place, and are 0.1 to 0.7 dB worse.
    """
    places: NDArray[np.float64] = np.array(points, dtype=np.float64)
    hierarchy = colours.hierarchy
    for _ in range(colours.skip):
        places = (places - 0.5) / 2
    shown = display(_trilinear(hierarchy, colours.values.astype(np.float64), places))
    return shown.astype(np.float32) / np.float32(255)


def cell_means(
    points: NDArray[np.floating], rgb: NDArray[np.number], shape: tuple[int, int, int]
) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float64]]:
    """Mean colour of the points of each cell.

    Parameters
    ----------
    points : (N, 3) grid coordinates; those outside the grid go to its border.
    rgb : (N, 3) sRGB in [0, 255].
    shape : number of cells along each axis.

    Returns
    -------
    Cells with a point (bool array of `shape`), their (K, 3) mean colours and (K,) numbers of points, in raster order.
    """
    cells = np.floor(inside(np.array(points, dtype=np.float64), shape) + 0.5).astype(np.int64)
    place = np.ravel_multi_index(tuple(cells.T), shape)
    found, owner, counts = np.unique(place, return_inverse=True, return_counts=True)
    occupied = np.zeros(shape, dtype=bool)
    occupied.reshape(-1)[found] = True
    colours = np.asarray(rgb, dtype=np.float64)
    sums = np.stack([np.bincount(owner, colours[:, k], len(found)) for k in range(3)], axis=1)
    means = np.clip(np.rint(sums / counts[:, None]), 0, 255).astype(np.uint8)
    return occupied, means, counts.astype(np.float64)


def _trilinear(hierarchy: Hierarchy, values: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) interpolated values of the cells; from coarser levels where no cell is near."""
    result = np.zeros((len(points), values.shape[1]))
    waiting = np.arange(len(points))
    for position in range(len(hierarchy.levels) - 1, -1, -1):
        level = hierarchy.levels[position]
        near = inside(points, level.shape)
        around, weights = corners(numbers(level.cells, level.shape), near, level.shape)
        weights = np.where(around < level.count, weights, 0.0)
        total = weights.sum(axis=1)
        padded = np.concatenate([values, np.zeros((1, values.shape[1]))])
        sums = np.zeros((len(near), values.shape[1]))
        for corner in range(8):
            sums += padded[around[:, corner]] * weights[:, corner : corner + 1]
        found = total > 0
        result[waiting[found]] = sums[found] / total[found, None]
        waiting, points = waiting[~found], (points[~found] - 0.5) / 2
        if len(waiting) == 0:
            break
        values = _means(level, values)
    return result


def _means(level: Level, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the children of each cell one level up."""
    size = int(level.parents.max()) + 1
    sums = np.stack([np.bincount(level.parents, column, size) for column in values.T], axis=1)
    result: NDArray[np.float64] = sums / np.bincount(level.parents, minlength=size)[:, None]
    return result


def inside(points: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(N, 3) grid coordinates, moved into the grid."""
    # Just inside, so that a point on the far face still rounds to the last cell.
    return np.clip(np.nan_to_num(points), -0.5, np.array(shape, dtype=np.float64) - 0.5 - 1e-9)


def numbers(cells: NDArray[np.int64], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    """Number of each cell of the grid with a margin of one; the number of cells where it is not occupied."""
    number = np.full(tuple(size + 2 for size in shape), len(cells), dtype=np.int32)
    number[tuple((cells + 1).T)] = np.arange(len(cells), dtype=np.int32)
    return number.reshape(-1)


def corners(
    number: NDArray[np.int32], points: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(N, 8) numbers of the cells around each point and their trilinear weights."""
    low = np.floor(points)
    part = points - low
    strides = np.array([(shape[1] + 2) * (shape[2] + 2), shape[2] + 2, 1], dtype=np.int64)
    place = (low.astype(np.int64) + 1) @ strides
    sides = [np.stack([1 - part[:, axis], part[:, axis]], axis=1) for axis in range(3)]
    weights = [sides[0][:, x] * sides[1][:, y] * sides[2][:, z] for x, y, z in _CORNERS]
    return number[place[:, None] + _CORNERS @ strides], np.stack(weights, axis=1)
