"""Levels of an octree: the occupied cells of a grid at halved and halved resolutions, and who is next to whom.

```text
1 root node ─► the children its mask names ─► … ─► the cells themselves
```

Nodes of a level are listed parent by parent, the children of a parent by octant. Everything is integer and follows from
the masks, so a decoder that reads masks level by level has the same lists as the encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OFFSETS: tuple[tuple[int, int, int], ...] = tuple(itertools.product((-1, 0, 1), repeat=3))  # type: ignore[arg-type]
"""27 steps to the nodes around a node, in the order of the rows of `Nodes.around`."""
CENTRE = 13
BITS = np.array(list(itertools.product((0, 1), repeat=3)), dtype=np.int32)
"""(8, 3) place of an octant in its parent: octant 4 x + 2 y + z."""
POPCOUNT = np.array([bin(mask).count("1") for mask in range(256)], dtype=np.int32)
RANK = np.array([[bin(mask & ((1 << octant) - 1)).count("1") for octant in range(8)] for mask in range(256)], np.int32)
"""(256, 8) how many children of a mask come before an octant."""
MAX_DEPTH = 21
"""Levels that keys of 64 bits have room for."""


def _steps() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(8, 27): row of the parent's neighbour that holds a child's neighbour, and the octant it has there."""
    rows, octants = np.zeros((8, 27), dtype=np.intp), np.zeros((8, 27), dtype=np.intp)
    for octant in range(8):
        for index, offset in enumerate(OFFSETS):
            place = BITS[octant] + offset
            x, y, z = place >> 1
            rows[octant, index] = 9 * x + 3 * y + z + CENTRE
            a, b, c = place & 1
            octants[octant, index] = 4 * a + 2 * b + c
    return rows, octants


ROWS, OCTANTS = _steps()


@dataclass(frozen=True, eq=False)
class Nodes:
    """The N nodes of one level."""

    cells: NDArray[np.int32]
    """(3, N) coordinates."""
    around: NDArray[np.int32]
    """(27, N) numbers of the nodes around each node, in the order of `OFFSETS`; N where there is none."""
    parents: NDArray[np.int32]
    """(N,) numbers in the level above; empty at the root."""

    @property
    def count(self) -> int:
        """Number of nodes N."""
        return self.cells.shape[1]


def root() -> Nodes:
    """The level of one node."""
    around = np.ones((27, 1), dtype=np.int32)
    around[CENTRE] = 0
    return Nodes(np.zeros((3, 1), dtype=np.int32), around, np.zeros(0, dtype=np.int32))


def descend(nodes: Nodes, masks: NDArray[np.uint8]) -> Nodes:
    """The level below, from the (N,) masks of the nodes' children: bit `octant` is set where a child is."""
    sizes = POPCOUNT[masks]
    first = np.zeros(nodes.count + 1, dtype=np.int32)
    np.cumsum(sizes, out=first[1:])
    count = int(first[-1])
    parents = np.repeat(np.arange(nodes.count, dtype=np.int32), sizes)
    bits = np.unpackbits(masks[:, None], axis=1, bitorder="little").reshape(-1)
    octant = np.flatnonzero(bits).astype(np.int32) & 7
    cells = 2 * nodes.cells[:, parents] + BITS.T[:, octant]
    padded = np.append(masks, np.uint8(0))
    around = np.empty((27, count), dtype=np.int32)
    for value in range(8):
        rows = np.flatnonzero(octant == value)
        above = parents[rows]
        result = np.empty((27, len(rows)), dtype=np.int32)
        for row in np.unique(ROWS[value]):
            near = nodes.around[row][above]
            mask, start = padded[near], first[near]
            for step in np.flatnonzero(ROWS[value] == row):
                child = OCTANTS[value, step]
                result[step] = np.where(mask >> child & 1, start + RANK[:, child][mask], count)
        around[:, rows] = result
    return Nodes(cells, around, parents)


def levels_of(masks: Sequence[NDArray[np.uint8]]) -> list[Nodes]:
    """All levels of an octree, root first, one more than masks."""
    levels = [root()]
    for each in masks:
        levels.append(descend(levels[-1], each))
    return levels


def masks_of(keys: NDArray[np.int64], depth: int) -> list[NDArray[np.uint8]]:
    """Masks of all levels, root first, of cells of a grid of 2**depth cells a side, by their sorted `morton` keys
    without repetitions. The nodes of the deepest level are the cells in this order.
    """
    result = []
    for _ in range(depth):
        parents = keys >> 3
        new = np.flatnonzero(np.append(True, parents[1:] != parents[:-1]))
        result.append(np.bitwise_or.reduceat(np.left_shift(1, keys & 7), new).astype(np.uint8))
        keys = parents[new]
    return result[::-1]
