"""The pyramid over a binary grid: which cells are coded, in which order, and what is known about each of them.

```text
root (1, 1, 1) ─► ... ─► level 1 ─► level 0 = the grid      a cell is occupied if any of its children is
                 children of occupied cells, front by front: x + y + z = 0, 1, 2 ...
```

Cells of one front do not see each other, so a decoder evaluates them at once, and a level of n cells a side has 3 n
fronts. A cell sees the half of its window that lies in earlier fronts, and the whole level above.

Eight passes, one for each place of a child in its parent, are fewer and see cells on all sides. They lose on flat
faces: where the level above leaves open on which of two layers a face lies, each cell of the first pass pays for it
anew. Measured at 64 cells a side: 1.4 to 2 times the bytes of this order on furniture and buildings.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]

OCTANTS: tuple[Shape, ...] = tuple(itertools.product((0, 1), repeat=3))  # type: ignore[arg-type]
"""Places of a child in its parent: octant 4 x + 2 y + z."""
REACH = 3
"""Cells on each side of the centre that a context may hold."""
FARTHEST = 11
"""Largest squared distance of a cell in the window of its own level."""
PAST: tuple[Shape, ...] = tuple(
    (x, y, z)
    for x, y, z in itertools.product(range(-REACH, REACH + 1), repeat=3)
    if x + y + z < 0 and x * x + y * y + z * z <= FARTHEST
)
"""Window of the own level, in earlier fronts. Part of the format."""
ABOVE: tuple[Shape, ...] = tuple(itertools.product(range(-2, 3), repeat=3))  # type: ignore[arg-type]
"""Window of the level above, around the parent. Part of the format."""
SIZES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
"""Classes of the longest side of a level: one for each bound it exceeds. Part of the format."""
DEPTHS = 3
"""Levels are told apart by their distance to the grid, 0, 1, or 2 and more. Part of the format."""
FACES = (1, 2, 4)
"""A cell knows whether it is nearer to each face of the grid than this, in cells. Part of the format."""

DYNAMIC = len(PAST)
"""Leading inputs that are known once earlier fronts are."""
STATIC = len(ABOVE) + 6 * len(FACES) + len(SIZES) + 1 + DEPTHS
"""Inputs that are known before a level begins: window of the level above, faces, size, distance to the grid."""
FEATURES = DYNAMIC + STATIC
"""Length of a context."""


def shapes(shape: Shape) -> list[Shape]:
    """Shapes of all levels, from the grid to the root (1, 1, 1)."""
    result = [shape]
    while max(shape) > 1:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2), -(-shape[2] // 2))
        result.append(shape)
    return result


def pyramid(occupied: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """All levels, from the grid to the root."""
    levels = [np.asarray(occupied, dtype=bool)]
    while max(levels[-1].shape) > 1:
        below = np.pad(levels[-1], [(0, side % 2) for side in levels[-1].shape])
        x, y, z = (side // 2 for side in below.shape)
        levels.append(np.asarray(below.reshape(x, 2, y, 2, z, 2).any(axis=(1, 3, 5))))
    return levels


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a level that are coded, in the order of the file: by front, then in raster order."""

    index: NDArray[np.intp]
    """(K, 3)."""
    octants: NDArray[np.intp]
    """(K,) place in the parent."""
    fronts: NDArray[np.intp]
    """Where each front begins, and K; fronts without cells are left out."""

    def __len__(self) -> int:
        return len(self.index)


class LevelContexts:
    """One level while it is being coded.

    Parameters
    ----------
    parents : (X, Y, Z) bool, the whole level above.
    shape : of this level.
    depth : distance to the grid; 0 is the grid itself.
    """

    def __init__(self, parents: NDArray[np.bool_], shape: Shape, depth: int) -> None:
        self.shape = shape
        self._above = np.pad(parents.astype(np.uint8), 2)
        self._known = np.zeros([side + 2 * REACH for side in shape], dtype=np.uint8)
        self._steps_above = _steps(ABOVE, self._above.shape)
        self._steps = _steps(PAST, self._known.shape)
        bound = sum(max(shape) > limit for limit in SIZES)
        self._constant = np.zeros(len(SIZES) + 1 + DEPTHS, dtype=np.float32)
        self._constant[bound] = 1
        self._constant[len(SIZES) + 1 + min(depth, DEPTHS - 1)] = 1

    def enclosed(self) -> NDArray[np.bool_]:
        """(X, Y, Z) parents that are occupied and so are their 26 neighbours. Their children all lie in the grid."""
        full = self._above[1:-1, 1:-1, 1:-1]
        for axis in range(3):
            length = full.shape[axis] - 2
            parts = [full.take(np.arange(start, start + length), axis) for start in range(3)]
            full = parts[0] & parts[1] & parts[2]
        return full.astype(bool)

    def fill(self, parents: NDArray[np.intp]) -> None:
        """Note all children of (K, 3) parents as occupied."""
        for octant in OCTANTS:
            self._known.reshape(-1)[self.places(2 * parents + octant)] = 1

    def load(self, level: NDArray[np.bool_]) -> None:
        """Note a whole level. Contexts look back only, so an encoder need not go front by front."""
        self._known[REACH:-REACH, REACH:-REACH, REACH:-REACH] = level

    def cells(self, parents: NDArray[np.intp]) -> Cells:
        """The children of (N, 3) parents that lie in the grid."""
        children = (2 * parents[:, None] + np.array(OCTANTS)).reshape(-1, 3)
        octants = np.tile(np.arange(len(OCTANTS)), len(parents))
        inside = (children < self.shape).all(axis=1)
        children, octants = children[inside], octants[inside]
        x, y, z = self.shape
        front = children.sum(axis=1)
        order = np.argsort(front * (x * y * z) + _flat(children, self.shape))
        front = front[order]
        fronts = np.unique(front, return_index=True)[1]
        return Cells(children[order], octants[order], np.append(fronts, len(order)).astype(np.intp))

    def static(self, index: NDArray[np.intp]) -> NDArray[np.float32]:
        """(K, STATIC) zeros and ones about (K, 3) cells."""
        result = np.empty((len(index), STATIC), dtype=np.float32)
        at = _flat((index >> 1) + 2, self._above.shape)
        result[:, : len(ABOVE)] = self._above.reshape(-1)[at[:, None] + self._steps_above]
        distances = np.concatenate([index, np.array(self.shape) - 1 - index], axis=1)
        end = len(ABOVE) + 6 * len(FACES)
        result[:, len(ABOVE) : end] = (distances[:, :, None] < FACES).reshape(len(index), 6 * len(FACES))
        result[:, end:] = self._constant
        return result

    def places(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """(K,) places of (K, 3) cells, for `dynamic` and `mark`."""
        return _flat(index + REACH, self._known.shape)

    def dynamic(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """(K, DYNAMIC) zeros and ones about cells: what is noted of the fronts before theirs."""
        return self._known.reshape(-1)[places[:, None] + self._steps].astype(np.float32)

    def mark(self, places: NDArray[np.intp]) -> None:
        """Note cells as occupied."""
        self._known.reshape(-1)[places] = 1

    def result(self) -> NDArray[np.bool_]:
        """The level, as far as it is noted."""
        return self._known[REACH:-REACH, REACH:-REACH, REACH:-REACH].astype(bool)


def _flat(cells: NDArray[np.intp], shape: Sequence[int]) -> NDArray[np.intp]:
    return (cells[:, 0] * shape[1] + cells[:, 1]) * shape[2] + cells[:, 2]


@cache
def _table(window: tuple[Shape, ...]) -> NDArray[np.intp]:
    return np.array(window, dtype=np.intp)


def _steps(window: tuple[Shape, ...], shape: Sequence[int]) -> NDArray[np.intp]:
    """Steps in a flat grid to the cells of a window."""
    return _flat(_table(window), shape)
