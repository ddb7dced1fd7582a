"""Which triangles touch, and in which order and from what the values of vertices are predicted. Integers only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

PARALLELOGRAMS = 4
"""Most parallelograms that predict one vertex. Part of the format."""


@dataclass(frozen=True)
class Plan:
    """Order of N elements, and what predicts each."""

    order: Integers
    """(N,) elements in the order in which they are coded."""
    parents: NDArray[np.int32]
    """(N, P, 3) elements a, b, c of parallelograms a + b - c."""
    counts: NDArray[np.int32]
    """(N,) parallelograms of each element."""
    neighbours: NDArray[np.int32]
    """(N,) an element coded before that is near, -1 if there is none."""
    siblings: NDArray[np.int32]
    """(N,) the last element coded before at the same place, -1 if there is none."""


PLAN_BYTES = 8 + 12 * PARALLELOGRAMS + 12
"""Memory of a plan for each element."""


def sequence_plan(count: int, depth: int = 1, stride: int = 1) -> Plan:
    """Plan of elements that follow one another, the one before each standing `stride` elements earlier.

    Depth 1 predicts by the one before, depth 2 by the line through the two before.
    """
    order = np.arange(count, dtype=np.int64)
    parents = np.zeros((count, 1, 3), np.int32)
    counts = np.zeros(count, np.int32)
    if depth == 2:
        late = order[2 * stride :]
        parents[2 * stride :, 0] = np.stack([late - stride, late - stride, late - 2 * stride], axis=1)
        counts[2 * stride :] = 1
    neighbours = np.maximum(order - stride, -1).astype(np.int32)
    return Plan(order, parents, counts, neighbours, np.full(count, -1, np.int32))


def mesh_plan(triangles: Integers, places: Integers, *, open_edges: bool = False) -> Plan:
    """Plan of the vertices of (F, 3) triangles, numbered by first appearance.

    Vertex z is predicted by parallelograms over an edge (x, y) of one of its triangles, if x, y and the third vertex c
    of the triangle beyond the edge have smaller numbers; the first `PARALLELOGRAMS` of them in the order of corners.

    Parameters
    ----------
    places : (V,) number of the place where each vertex is; those of one place are siblings.
    open_edges : also use edges without such a vertex c, which is then -1.
    """
    count = len(places)
    flat = triangles.reshape(-1)
    first = np.roll(triangles, -1, axis=1).reshape(-1)
    second = np.roll(triangles, -2, axis=1).reshape(-1)
    beyond = _opposite(triangles, count)
    known = np.maximum(first, second)
    beyond = np.where(beyond < flat, beyond, -1)
    usable = (known < flat) & (open_edges | (beyond >= 0))
    corners = np.nonzero(usable)[0]
    corners = corners[np.argsort(flat[corners], kind="stable")]
    rank = _rank_in_group(flat[corners])
    keep = rank < PARALLELOGRAMS
    corners, rank = corners[keep], rank[keep]
    parents = np.zeros((count, PARALLELOGRAMS, 3), np.int32)
    parents[flat[corners], rank] = np.stack([first[corners], second[corners], beyond[corners]], axis=1)
    counts = np.bincount(flat[corners], minlength=count).astype(np.int32)
    neighbours = np.full(count, -1, np.int32)
    for other in (first, second):
        before = other < flat
        np.maximum.at(neighbours, flat[before], other[before].astype(np.int32))
    return Plan(np.arange(count, dtype=np.int64), parents, counts, neighbours, _siblings(places))


def _siblings(places: Integers) -> NDArray[np.int32]:
    """(V,) largest smaller number of a vertex with the same place, -1 if there is none."""
    result = np.full(len(places), -1, np.int32)
    order = np.argsort(places, kind="stable")
    same = places[order[1:]] == places[order[:-1]]
    result[order[1:][same]] = order[:-1][same]
    return result


def _rank_in_group(keys: Integers) -> Integers:
    """(N,) how many equal keys stand before each of the sorted keys."""
    starts = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, bool)
    positions = np.arange(len(keys))
    return positions - np.maximum.accumulate(np.where(starts, positions, 0))


def _sorted_edges(triangles: Integers, count: int) -> tuple[Integers, Integers]:
    """Half-edges, of corners k and k + 1 of triangle t at 3 t + k, sorted by their undirected edge; and those edges."""
    start, end = triangles.reshape(-1), np.roll(triangles, -1, axis=1).reshape(-1)
    keys = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.argsort(keys, kind="stable")
    return order, keys[order]


def _opposite(triangles: Integers, count: int) -> Integers:
    """(3 F,) third vertex of the next triangle over the edge opposite to each corner, -1 at borders."""
    order, keys = _sorted_edges(triangles, count)
    last = np.concatenate([keys[1:] != keys[:-1], [True]]) if len(keys) else np.zeros(0, bool)
    starts = np.concatenate([[True], last[:-1]]) if len(keys) else last
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    following = np.where(last, begin, np.arange(len(keys)) + 1)
    alone = following == np.arange(len(keys))
    # Half-edge 3 t + k lies opposite to corner (k + 2) % 3 of t.
    tips = _corner_before(order)
    result = np.full(triangles.size, -1, np.int64)
    result[tips] = np.where(alone, -1, triangles.reshape(-1)[tips[following]])
    return result


def _corner_before(corners: Integers) -> Integers:
    return corners - corners % 3 + (corners + 2) % 3


def earlier_edges(triangles: Integers, count: int) -> Integers:
    """(3 F,) the last half-edge of an earlier triangle on the same undirected edge as each one, -1 if there is none."""
    order, keys = _sorted_edges(triangles, count)
    result = np.full(triangles.size, -1, np.int64)
    same = keys[1:] == keys[:-1]
    result[order[1:][same]] = order[:-1][same]
    return result
