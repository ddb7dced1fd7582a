"""Taubin smoothing: removes ripple from a mesh, keeps its volume, and brings its corners out a little."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SHRINK = 0.5
"""Weight of the first half of a step."""
_NODES = 512
_NEGLIGIBLE = 2e-4
"""Chebyshev coefficients below this at the end of the series are left out."""


def taubin(
    positions: NDArray[np.floating], triangles: NDArray[np.integer], steps: int, inflate: float = 0.53
) -> NDArray[np.float32]:
    """Vertices (V, 3) after a number of smoothing steps.

    Each step moves every vertex towards the mean of its neighbours by `SHRINK` of the way, then away from the new mean
    by `inflate` of the way (G. Taubin, A signal processing approach to fair surface design, 1995). Ripple whose
    Laplacian eigenvalue k = 1 - cos(2 pi / edges in a wave) lies above 1 / `SHRINK` - 1 / `inflate` goes; slower
    changes grow by a few percent.

    All steps together are the polynomial ((1 - SHRINK k)(1 + inflate k))^steps of the Laplacian. It is applied as a
    Chebyshev series, which takes a tenth of the products (G. Taubin, T. Zhang, G. Golub, Optimal surface smoothing as
    filter design, 1996). Vertices without neighbours stay.
    """
    original = np.array(positions, dtype=np.float32)
    if steps == 0 or len(triangles) == 0:
        return original
    from scipy.sparse import csr_array

    count = len(original)
    start = np.concatenate([triangles[:, k] for k in (0, 1, 2, 1, 2, 0)])
    end = np.concatenate([triangles[:, k] for k in (1, 2, 0, 0, 1, 2)])
    means = csr_array((np.ones(len(start), dtype=np.float32), (start, end)), shape=(count, count))
    means.sum_duplicates()
    degrees = np.diff(means.indptr)
    means.data = np.repeat(1 / np.maximum(degrees, 1), degrees).astype(np.float32)
    first, second, *others = _series(steps, inflate)
    before, now = original, means @ original
    result: NDArray[np.float32] = first * before + second * now
    for weight in others:
        before, now = now, 2 * (means @ now) - before
        result += weight * now
    loose = degrees == 0
    result[loose] = original[loose]
    return result


@cache
def _series(steps: int, inflate: float) -> NDArray[np.float32]:
    """Chebyshev coefficients of the filter in t = 1 - k, at least two, with sum 1: nothing moves as a whole."""
    angles = np.pi * (np.arange(_NODES) + 0.5) / _NODES
    k = 1 - np.cos(angles)
    values = ((1 - SHRINK * k) * (1 + inflate * k)) ** steps
    weights = 2 / _NODES * np.cos(np.outer(np.arange(_NODES // 2), angles)) @ values
    weights[0] /= 2
    weights = weights[: max(2, 1 + np.flatnonzero(np.abs(weights) > _NEGLIGIBLE)[-1])]
    result: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return result
