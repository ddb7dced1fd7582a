"""Which cells of a structure carry what.

```text
. . . . . .      S  surface cell: occupied, with an empty face neighbour. It may carry a scalar.
. S S S . .      m  mixed cell: its 3^3 neighbourhood holds occupied and empty cells. Its sub-cells are decoded.
. S # S . .         All surface cells are mixed.
. S S S . .      #  all others are far from the surface.
```

A structure is a boolean array of shape n + 1; everything outside of it is empty. Mixed cells reach one cell beyond it
on every side, so their indices count from that margin: margin index = cell index + 1.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

MARGIN = 1
"""Cells around a structure that the decoded field covers as well."""

Flags = NDArray[np.bool_]


def surface_cells(occupied: Flags) -> NDArray[np.int64]:
    """(K, 3) cell indices of the surface cells, in raster order."""
    return np.argwhere(surface_flags(occupied))


def surface_flags(occupied: Flags) -> Flags:
    """Which cells are surface cells; an array like `occupied`."""
    return occupied & ~_inner(np.pad(occupied, 1))


def mixed_flags(occupied: Flags) -> Flags:
    """Which cells are mixed, margin included: shape n + 3."""
    padded = np.pad(occupied, 2)
    some, every = padded, padded
    for axis in range(3):
        low, middle, high = (_range(padded.ndim, axis, start, stop) for start, stop in ((0, -2), (1, -1), (2, None)))
        some = some[low] | some[middle] | some[high]
        every = every[low] & every[middle] & every[high]
    return some & ~every


def box_sums(occupied: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Occupied cells in the 3^3 box around each cell. The border of the array is to be empty, and is left at 0."""
    total = occupied
    for axis in range(3):
        low, middle, high = (_range(3, axis, start, stop) for start, stop in ((0, -2), (1, -1), (2, None)))
        total = total[low] + total[middle] + total[high]
    return np.pad(total, 1)


def ball(reach: int, square: int) -> NDArray[np.int64]:
    """(N, 3) offsets of at most `reach` cells along each axis whose squared length is at most `square`."""
    span = range(-reach, reach + 1)
    return np.array([offset for offset in product(span, repeat=3) if sum(k * k for k in offset) <= square])


def _inner(padded: Flags) -> Flags:
    """Cells whose six face neighbours are all occupied."""
    inner = np.ones(tuple(size - 2 for size in padded.shape), dtype=bool)
    for axis in range(3):
        for start, stop in ((0, -2), (2, None)):
            window = [slice(1, -1)] * 3
            window[axis] = slice(start, stop)
            inner &= padded[tuple(window)]
    return inner


def _range(dimensions: int, axis: int, start: int, stop: int | None) -> tuple[slice, ...]:
    window = [slice(None)] * dimensions
    window[axis] = slice(start, stop)
    return tuple(window)
