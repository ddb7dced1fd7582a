"""Taubin smoothing: removes ripple from a mesh and keeps its volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHRINK, INFLATE = 0.5, -0.53
"""Weights of the two halves of a step: the pass band ends at 1 / 0.5 - 1 / 0.53 = 0.11 of the spectrum."""


def taubin(positions: NDArray[np.floating], triangles: NDArray[np.integer], steps: int) -> NDArray[np.float32]:
    """Vertices (V, 3) after a number of smoothing steps.

    Each step moves every vertex towards the mean of its neighbours by `SHRINK` of the way, then away from the new mean
    by `-INFLATE` of the way: a low-pass filter (G. Taubin, A signal processing approach to fair surface design, 1995).
    Vertices without neighbours stay.
    """
    result = np.array(positions, dtype=np.float32)
    if steps == 0 or len(triangles) == 0:
        return result
    from scipy.sparse import csr_array

    count = len(result)
    start = np.concatenate([triangles[:, k] for k in (0, 1, 2, 1, 2, 0)])
    end = np.concatenate([triangles[:, k] for k in (1, 2, 0, 0, 1, 2)])
    links = csr_array((np.ones(len(start), dtype=np.float32), (start, end)), shape=(count, count))
    links.sum_duplicates()
    links.data[:] = 1
    degrees = np.diff(links.indptr)
    links.data /= np.repeat(np.maximum(degrees, 1), degrees).astype(np.float32)
    loose = degrees == 0
    for _ in range(steps):
        for weight in (SHRINK, INFLATE):
            move = links @ result - result
            move[loose] = 0
            result += np.float32(weight) * move
    return result
