"""How much of the light that leaves a field comes from each cell, seen from all around: in integers.

```text
14 directions, to the faces and corners of a cube:  light 1 ─► cell ─► 1 - a ─► cell ─► … ─► what is left
                                                     each cell sends a part a of the light that reaches it
```

What nobody sees may look like anything, and what is hardly seen may be coarse. A decoder knows the opacities before the
colours, so it can work out by itself how coarse.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.fields.distances import window_of

OPAQUE = 1 << 24
"""Opacity of a cell that lets nothing through."""
FULL = 1 << 20
"""Light that enters the grid along each direction."""
DIRECTIONS = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if np.count_nonzero(step) in (1, 3))
"""Part of the format."""
SLANTED = 7
"""Quarters of a cell's opacity that count for the way from corner to corner, about the root of 3. Part of the format.
"""
CLASSES = 24
"""Classes of `classes_of`."""


def arriving(opacity: NDArray[np.int64]) -> NDArray[np.int64]:
    """(X, Y, Z) mean over all directions of the light that reaches each cell, 0 to FULL.

    Cells outside the box of those that take light count as fully lit: nothing is there to be seen.

    Parameters
    ----------
    opacity : (X, Y, Z) part of the light that each cell takes, 0 to OPAQUE.
    """
    result = np.full(opacity.shape, FULL, dtype=np.int64)
    window = window_of(opacity > 0)
    opacity = opacity[window]
    total = np.zeros(opacity.shape, dtype=np.int64)
    for direction in DIRECTIONS:
        axis = next(k for k in range(3) if direction[k])
        slanted = np.count_nonzero(direction) == 3
        taken = np.minimum(opacity * SLANTED >> 2, OPAQUE) if slanted else opacity
        _sweep(
            np.moveaxis(taken, axis, 0)[:: direction[axis]],
            np.moveaxis(total, axis, 0)[:: direction[axis]],
            [direction[k] for k in range(3) if k != axis] if slanted else [0, 0],
        )
    result[window] = total // len(DIRECTIONS)
    return result


def _sweep(taken: NDArray[np.int64], total: NDArray[np.int64], shift: list[int]) -> None:
    """Light plane by plane; `total` gets what arrives."""
    light = np.full(taken.shape[1:], FULL, dtype=np.int64)
    rows, columns = (slice(max(step, 0), min(step, 0) or None) for step in shift)
    back_rows, back_columns = (slice(max(-step, 0), min(-step, 0) or None) for step in shift)
    for plane, arrived in zip(taken, total, strict=True):
        arrived += light
        light = light - (light * plane >> 24)
        if any(shift):
            # Rays that enter through a side of the grid are still at full light.
            moved = np.full_like(light, FULL)
            moved[rows, columns] = light[back_rows, back_columns]
            light = moved


def classes_of(light: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class of an amount of light: 0 from FULL / sqrt 2 on, and one more for each half of an octave less;
    CLASSES for what is less than FULL / 2**12.
    """
    limits = sorted(FULL >> (k >> 1) if k % 2 == 0 else (FULL * 46341 >> 16) >> (k >> 1) for k in range(1, CLASSES + 1))
    return CLASSES - np.searchsorted(np.array(limits, dtype=np.int64), light, side="right")
