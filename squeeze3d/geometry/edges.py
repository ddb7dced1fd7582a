"""Edges of triangle lists, and rows that repeat: what sorts would find, in linear time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled

_SHORT = 1 << 21
"""Three indices below this make one integer of 63 bits."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Undirected edges, each once."""

    ends: NDArray[np.int64]
    """(E, 2) the smaller end first, in lexicographic order."""
    index: NDArray[np.int64]
    """(3 F,) edge from each corner to the next one of its triangle."""


def edges_of(triangles: NDArray[np.integer], count: int) -> Edges:
    """The edges of (F, 3) triangles of `count` vertices."""
    ends, index = _edges(np.ascontiguousarray(triangles, dtype=np.int64).reshape(-1, 3), count)
    return Edges(ends, index)


def first_rows(rows: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Where each different one of (N, 3) rows of numbers below `count` appears first, ascending."""
    if count > _SHORT:
        _, first = np.unique(rows, axis=0, return_index=True)
    else:
        wide = np.asarray(rows, dtype=np.int64)
        _, first = np.unique((wide[:, 0] * count + wide[:, 1]) * count + wide[:, 2], return_index=True)
    return np.sort(first)


@compiled
def _edges(triangles, count):  # type: ignore[no-untyped-def]
    """Ends and index by two counting sorts, by the larger end and then by the smaller one."""
    size = 3 * len(triangles)
    low, high = np.empty(size, np.int64), np.empty(size, np.int64)
    for f in range(len(triangles)):
        for k in range(3):
            a, b = triangles[f, k], triangles[f, (k + 1) % 3]
            low[3 * f + k], high[3 * f + k] = min(a, b), max(a, b)
    order = np.arange(size)
    after = np.empty(size, np.int64)
    place = np.empty(count + 1, np.int64)
    for key in (high, low):
        place[:] = 0
        for i in range(size):
            place[key[i] + 1] += 1
        for v in range(count):
            place[v + 1] += place[v]
        for i in range(size):
            corner = order[i]
            after[place[key[corner]]] = corner
            place[key[corner]] += 1
        order[:] = after
    ends, index = np.empty((size, 2), np.int64), np.empty(size, np.int64)
    number = -1
    for i in range(size):
        corner = order[i]
        if number < 0 or ends[number, 0] != low[corner] or ends[number, 1] != high[corner]:
            number += 1
            ends[number, 0], ends[number, 1] = low[corner], high[corner]
        index[corner] = number
    return ends[: number + 1].copy(), index
