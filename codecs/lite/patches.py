"""What the local networks see of the neighbourhood of a cell.

| columns | what | reach |
|---|---|---|
| 251 | occupied or not, in a ball of radius 3.7 | 3 cells |
| 125 | occupied cells of 3^3 boxes, 0 to 27, on a grid of stride 3 | 7 cells |
| 93 | scalars in a ball of radius 2.8, in cells; 0 where there is none | 2 cells |
| 93 | whether there is a scalar, at the same places | 2 cells |
| 1 | quantisation step of the scalars; 0 without | |

All columns are mapped to each other by the 48 symmetries of the cube (`symmetries`), which is how training data are
multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import permutations, product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.cells import ball, box_sums

_Number = TypeVar("_Number", bound=np.generic)

NEAR = ball(3, 14)
BOXES = 3 * ball(2, 12)
SCALARS = ball(2, 8)

STRUCTURE_COLUMNS = len(NEAR) + len(BOXES)
COLUMNS = STRUCTURE_COLUMNS + 2 * len(SCALARS) + 1

MARGIN = 8
"""Empty cells that a structure needs around it: 7 for the boxes, 1 as mixed cells may lie outside."""


class Neighbourhoods:
    """Looks up the neighbourhoods of cells of one structure.

    Parameters
    ----------
    occupied : (X, Y, Z) structure.
    """

    def __init__(self, occupied: NDArray[np.bool_]) -> None:
        padded = np.pad(occupied, MARGIN).astype(np.uint8)
        self.strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1], dtype=np.int64)
        self.size = padded.size
        self._near = padded.reshape(-1)
        self._boxes = box_sums(padded).reshape(-1)

    def places(self, cells: NDArray[np.integer]) -> NDArray[np.int64]:
        """Flat places (N,) of cell indices (N, 3), which may lie one cell outside."""
        places: NDArray[np.int64] = (cells + MARGIN) @ self.strides
        return places

    def structure(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(N, 376) occupancies, 0 or 1, and box sums, 0 to 27."""
        return np.concatenate(
            [
                self._near[places[:, None] + NEAR @ self.strides],
                self._boxes[places[:, None] + BOXES @ self.strides],
            ],
            axis=1,
        )

    def field(self, places: NDArray[np.int64], values: NDArray[_Number]) -> NDArray[_Number]:
        """An array over all places that holds `values` at some and 0 at the others, for `scalars`."""
        result = np.zeros(self.size, dtype=values.dtype)
        result[places] = values
        return result

    def scalars(self, places: NDArray[np.int64], field: NDArray[_Number]) -> NDArray[_Number]:
        """(N, 93) values of a field around places."""
        return field[places[:, None] + SCALARS @ self.strides]


def symmetries() -> Iterator[NDArray[np.int64]]:
    """The 48 symmetries of the cube as (3, 3) signed permutation matrices, the identity first."""
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            matrix = np.zeros((3, 3), dtype=np.int64)
            matrix[range(3), order] = signs
            yield matrix


@cache
def column_order(symmetry: int) -> NDArray[np.int64]:
    """Columns to read so that a neighbourhood looks as after a symmetry, by its number."""
    matrix = list(symmetries())[symmetry]
    parts, start = [], 0
    for offsets in (NEAR, BOXES, SCALARS, SCALARS):
        parts.append(start + moved(offsets, matrix))
        start += len(offsets)
    return np.concatenate([*parts, [start]])


def moved(offsets: NDArray[np.int64], matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in `offsets` each of them lies after the symmetry is undone: new[i] = old[moved[i]]."""
    key = {tuple(offset): index for index, offset in enumerate(offsets.tolist())}
    return np.array([key[tuple(offset)] for offset in (offsets @ matrix).tolist()])
