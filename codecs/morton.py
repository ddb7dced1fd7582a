"""Morton order: cells of a grid along a curve that keeps neighbours together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SPREAD = (
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)
"""Shifts that part the bits of a number further, and the bits that are kept then."""


def morton(cells: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N,) keys of (N, 3) cells below 2**21: their bits interleaved, x before y before z."""
    keys = np.zeros(len(cells), dtype=np.int64)
    for axis in range(3):
        spread = cells[:, axis].astype(np.int64)
        for shift, pattern in _SPREAD:
            spread = (spread | spread << shift) & pattern
        keys |= spread << (2 - axis)
    return keys


def cells_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 3) cells; inverse of `morton`."""
    columns = []
    for axis in range(3):
        packed = keys >> (2 - axis) & _SPREAD[-1][1]
        for (shift, _), (_, pattern) in zip(_SPREAD[::-1], (*_SPREAD[-2::-1], (0, (1 << 21) - 1)), strict=True):
            packed = (packed | packed >> shift) & pattern
        columns.append(packed)
    return np.stack(columns, axis=1)
