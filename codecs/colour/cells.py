"""The occupied cells of a grid at halved and halved resolutions, with their neighbours.

```text
1 root cell ─► 8 children at most ─► … ─► the cells themselves      a cell is occupied where any of its children is
```

Everything here is integer and follows from the occupied cells alone, so encoder and decoder agree on it. Cells of a
level are coded in eight passes, one for each parity of their coordinates: no two cells of a pass touch, and a pass is
one array operation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits

OFFSETS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.int64)
"""(27, 3) neighbours of a cell, itself (column `CENTRE`) among them."""
CENTRE = 13
PASSES = 8


def _interpolating() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each parity of a child: the 8 columns of its parent's neighbours nearest to it, and their weights."""
    columns, weights = np.zeros((PASSES, 8), dtype=np.int64), np.zeros((PASSES, 8), dtype=np.int64)
    for parity in range(PASSES):
        side = [1 if parity >> (2 - axis) & 1 else -1 for axis in range(3)]
        for corner, far in enumerate(itertools.product((0, 1), repeat=3)):
            step = [f * s for f, s in zip(far, side, strict=True)]
            columns[parity, corner] = 9 * step[0] + 3 * step[1] + step[2] + CENTRE
            weights[parity, corner] = 3 ** (3 - sum(far))
    return columns, weights


_COLUMNS, _WEIGHTS = _interpolating()


@dataclass(frozen=True, eq=False)
class Level:
    """Occupied cells at one resolution, in raster order."""

    shape: tuple[int, int, int]
    cells: NDArray[np.int64]
    """(N, 3) indices."""
    parents: NDArray[np.int64]
    """(N,) numbers of the cells of the coarser level that hold them; empty at the root."""

    @property
    def count(self) -> int:
        """Number of occupied cells N."""
        return len(self.cells)

    @cached_property
    def parity(self) -> NDArray[np.int64]:
        """(N,) 0 to 7: which of its parent's children a cell is, and the pass that codes it."""
        low = self.cells & 1
        parity: NDArray[np.int64] = low[:, 0] * 4 + low[:, 1] * 2 + low[:, 2]
        return parity

    @cached_property
    def passes(self) -> tuple[NDArray[np.intp], ...]:
        """Numbers of the cells of each of the eight passes, in raster order."""
        return tuple(np.flatnonzero(self.parity == parity) for parity in range(PASSES))

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """(N, 27) numbers of the cells around each cell, in the order of `OFFSETS`; N where there is none."""
        padded = tuple(size + 2 for size in self.shape)
        number = np.full(padded, self.count, dtype=np.int32).reshape(-1)
        strides = np.array([padded[1] * padded[2], padded[2], 1], dtype=np.int64)
        place = (self.cells + 1) @ strides
        number[place] = np.arange(self.count, dtype=np.int32)
        return number[place[:, None] + OFFSETS @ strides]

    @cached_property
    def earlier(self) -> NDArray[np.bool_]:
        """(N, 27) whether a neighbour exists and belongs to an earlier pass."""
        parity = np.append(self.parity, PASSES)
        earlier: NDArray[np.bool_] = parity[self.neighbours] < self.parity[:, None]
        return earlier

    @cached_property
    def first(self) -> NDArray[np.bool_]:
        """(N,) whether a cell has the lowest parity of its parent's children."""
        lowest = np.full(int(self.parents.max(initial=0)) + 1, PASSES, dtype=np.int64)
        np.minimum.at(lowest, self.parents, self.parity)
        first: NDArray[np.bool_] = lowest[self.parents] == self.parity
        return first


class Hierarchy:
    """Levels of a set of occupied cells, root first.

    Parameters
    ----------
    occupied : (X, Y, Z) bool, at least one of them set.
    """

    def __init__(self, occupied: NDArray[np.bool_], limits: Limits | None = None) -> None:
        occupied = np.asarray(occupied, dtype=bool)
        if occupied.ndim != 3 or not occupied.any():
            raise ValueError("colours need a three-dimensional grid with at least one occupied cell")
        count = int(np.count_nonzero(occupied))
        # Numbers of the padded grid; neighbours of the cells of all levels, and a few integers for each of them.
        (limits or Limits()).check(8 * occupied.size + 1500 * count, "cell colours")
        shape: tuple[int, int, int] = occupied.shape
        cells = np.argwhere(occupied)
        self.levels: list[Level] = []
        while max(shape) > 1:
            smaller: tuple[int, int, int] = tuple((size + 1) // 2 for size in shape)  # type: ignore[assignment]
            halves = cells >> 1
            key = (halves[:, 0] * smaller[1] + halves[:, 1]) * smaller[2] + halves[:, 2]
            unique, parents = np.unique(key, return_inverse=True)
            self.levels.append(Level(shape, cells, parents.reshape(-1).astype(np.int64)))
            shape, cells = smaller, np.stack(np.unravel_index(unique, smaller), axis=1).astype(np.int64)
        self.levels.append(Level(shape, cells, np.zeros(0, dtype=np.int64)))
        self.levels.reverse()

    @property
    def count(self) -> int:
        """Number of occupied cells."""
        return self.levels[-1].count

    def pooled_times(self, times: int) -> Hierarchy:
        """The hierarchy without its `times` finest levels, which it shares."""
        if times == 0:
            return self
        coarser = Hierarchy.__new__(Hierarchy)
        coarser.levels = self.levels[:-times]
        return coarser

    def pooled(
        self, values: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Weighted means (N, C) and weights (N,) of all levels, root first, from those of the cells."""
        result = [(values, weights)]
        for level in self.levels[:0:-1]:
            values, weights = result[-1]
            size = int(level.parents.max()) + 1
            total: NDArray[np.float64] = np.bincount(level.parents, weights, size).astype(np.float64)
            sums = [np.bincount(level.parents, weights * column, size) for column in values.T]
            means = np.stack(sums, axis=1) / np.where(total > 0, total, 1.0)[:, None]
            result.append((means, total))
        return result[::-1]


def interpolated(level: Level, coarse: Level, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Predict the (N, C) values of a level from the (M, C) values of the coarser one.

    Each axis weighs the parent with 3 and the next cell towards the child with 1; cells that are not occupied drop
    out, and the sum is divided by the weights left, rounded half up.
    """
    around = np.take_along_axis(coarse.neighbours[level.parents], _COLUMNS[level.parity], axis=1)
    weights = np.where(around < coarse.count, _WEIGHTS[level.parity], 0)
    total = weights.sum(axis=1)[:, None]
    padded = np.concatenate([values, np.zeros((1, values.shape[1]), dtype=np.int64)])
    sums = np.stack([(padded[:, k][around] * weights).sum(axis=1) for k in range(values.shape[1])], axis=1)
    result: NDArray[np.int64] = (2 * sums + total) // (2 * total)
    return result
