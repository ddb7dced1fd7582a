"""The inner loop of `render.splats`, compiled: Gaussians near to far, each over the pixels in its reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled

MAX_ALPHA = 0.99
"""As in the reference renderer."""
DARK = 1e-4
"""Pixels end where less light than this would come through."""


@compiled
def blend(
    shape: NDArray[np.float32],
    values: NDArray[np.float32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    least: float,
    light: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Put N Gaussians behind one another.

    Parameters
    ----------
    shape : (N, 6) column, row, inverse covariance xx, xy, yy in pixels, and opacity; near to far.
    values : (N, C) what each adds where it is opaque.
    first, last : (N, 2) first and last column and row of the rectangle that each is drawn in.
    least : alpha below which nothing is drawn.
    light : (H, W) part of the light that still comes through; updated.
    sums : (H, W, C) what is seen; updated.
    """
    half = np.float32(0.5)
    for splat in range(len(shape)):
        x, y, xx, xy, yy, opacity = shape[splat]
        for row in range(first[splat, 1], last[splat, 1] + 1):
            dy = np.float32(row) + half - y
            for column in range(first[splat, 0], last[splat, 0] + 1):
                left = light[row, column]
                if not left > DARK:
                    continue
                dx = np.float32(column) + half - x
                power = (half * xx * dx + xy * dy) * dx + half * yy * dy * dy
                alpha = min(opacity * np.exp(-power), np.float32(MAX_ALPHA))
                if not alpha >= least:
                    continue
                share = left * alpha
                for channel in range(values.shape[1]):
                    sums[row, column, channel] += share * values[splat, channel]
                light[row, column] = left - share
