"""Which earlier vertices predict which later one, from connectivity alone.

Both sides know the whole connectivity before the first coordinate, so a vertex may be predicted across every edge
whose far triangle is complete, not only across the gate it was discovered through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Parallelograms:
    """Parallelogram predictions: vertex `target` lies near a + b - opposite. Sorted by target."""

    targets: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    opposite: NDArray[np.int64]


def parallelograms(triangles: NDArray[np.int64], vertex_count: int) -> Parallelograms:
    """All parallelograms whose other three corners have smaller numbers than the target.

    Parameters
    ----------
    triangles : (F, 3) in coding order.
    """
    start, end, apex = _half_edges(triangles)
    order = np.argsort(start * vertex_count + end, kind="stable")
    keys = (start * vertex_count + end)[order]
    wanted = end * vertex_count + start
    # Where several triangles share a directed edge, the first in coding order serves.
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    twin = order[place]
    usable = (keys[place] == wanted) & (np.maximum(np.maximum(start, end), apex[twin]) < apex)
    chosen = np.flatnonzero(usable)
    chosen = chosen[np.argsort(apex[chosen], kind="stable")]
    return Parallelograms(apex[chosen], start[chosen], end[chosen], apex[twin[chosen]])


def earlier_neighbours(triangles: NDArray[np.int64], vertex_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(E,) targets and (E,) neighbours: every edge once, from the later vertex to the earlier; sorted by target."""
    start, end, _ = _half_edges(triangles)
    later, earlier = np.maximum(start, end), np.minimum(start, end)
    keys = np.unique(later * vertex_count + earlier)
    return keys // vertex_count, keys % vertex_count


def _half_edges(
    triangles: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Start, end and apex of all 3 F directed edges, triangle by triangle."""
    a, b, c = triangles.T
    start = np.stack([a, b, c], axis=1).reshape(-1)
    end = np.stack([b, c, a], axis=1).reshape(-1)
    apex = np.stack([c, a, b], axis=1).reshape(-1)
    return start, end, apex
