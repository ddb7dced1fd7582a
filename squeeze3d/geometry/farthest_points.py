"""Farthest point sampling: an order of points in which every beginning covers the whole set evenly.

Eldar, Lindenbaum, Porat and Zeevi, "The farthest point strategy for progressive image sampling", 1997; PointNet++ picks
its centres so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def farthest_points(points: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """(count,) indices: the point farthest from the mean, then always the one farthest from all before it.

    Takes `count` passes over the (N, 3) points. More than N give the N again from the start. Ties: the lower index.

    Raises ValueError for no points.
    """
    if not len(points):
        raise ValueError("there are no points to choose from")
    x, y, z = (np.ascontiguousarray(points[:, k], dtype=np.float32) for k in range(3))
    chosen = np.empty(min(count, len(points)), dtype=np.int64)
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    last = int(((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2).argmax())
    # Points that were chosen must not come again, not even where all that is left lies on top of them.
    nearest = np.full(len(x), np.inf, dtype=np.float32)
    part, total = np.empty_like(x), np.empty_like(x)
    for number in range(len(chosen)):
        chosen[number] = last
        np.subtract(x, x[last], out=total)
        np.multiply(total, total, out=total)
        for axis in (y, z):
            np.subtract(axis, axis[last], out=part)
            np.multiply(part, part, out=part)
            np.add(total, part, out=total)
        np.minimum(nearest, total, out=nearest)
        nearest[last] = -1.0
        last = int(nearest.argmax())
    return np.resize(chosen, count)
