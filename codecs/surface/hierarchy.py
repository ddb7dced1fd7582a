"""Which vertices predict which: the vertices of a refined mesh from coarse to fine, and how much each one stands for.

```text
roots, one per piece ─► … ─► all vertices of the coded mesh ─► midpoints of round 1 ─► … ─► all vertices
        independent sets, put back in reverse                     from both ends
```

Coarser versions of the coded mesh come from its graph: of the vertices that stand for least, as many as have no edge
between them are taken out, each merged into its nearest neighbour, again and again. A vertex is later predicted from
all the neighbours it had. After Jansen, Nason & Silverman (2009), who lift one coefficient at a time this way.

Integer arithmetic: both sides agree on everything here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.refinement import Refinement
from squeeze3d.compiled import compiled
from squeeze3d.geometry.edges import edges_of

UNIT = 1 << 12
"""Weights of a prediction sum to this."""
MAX_DEGREE = 14
"""Vertices with more neighbours stay."""
LEAST_SHARE = 32
"""A level holds at least this part of the vertices left: the number of levels stays logarithmic."""
MOST_ROOTS = 2048
"""Pieces that are linked to their nearest one; more are linked in order."""


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Vertices from coarse to fine.

    Level k holds `order[starts[k]:starts[k + 1]]`; level 0 is the root. The neighbours that predict vertex `order[i]`
    are `sources[first[i]:first[i + 1]]`, all of them on coarser levels.
    """

    order: NDArray[np.int64]
    """(N,) every vertex once."""
    starts: NDArray[np.int64]
    """(L + 1,)."""
    first: NDArray[np.int64]
    """(N + 1,)."""
    sources: NDArray[np.int64]
    weights: NDArray[np.int64]
    """Parts of `UNIT`."""
    updates: NDArray[np.int64]
    """What a vertex hands back to each source, parts of 65536 of its detail."""
    amounts: NDArray[np.int64]
    """(N,) area that vertex `order[i]` stood for when it was taken out; any unit, at least 1."""


@dataclass(frozen=True, eq=False)
class _Level:
    """Vertices taken out together, and their stencils."""

    vertices: NDArray[np.int64]
    first: NDArray[np.int64]
    sources: NDArray[np.int64]
    weights: NDArray[np.int64]
    updates: NDArray[np.int64]
    amounts: NDArray[np.int64]

    @classmethod
    def taken(
        cls,
        amount: NDArray[np.int64],
        vertices: NDArray[np.int64],
        first: NDArray[np.int64],
        sources: NDArray[np.int64],
        weights: NDArray[np.int64],
    ) -> _Level:
        """Take vertices out: what they stand for, in (N,) `amount`, goes to their sources."""
        amounts = amount[vertices].copy()
        return cls(vertices, first, sources, weights, _hand_over(amount, vertices, first, sources, weights), amounts)


def hierarchy(refinement: Refinement, triangles: NDArray[np.int64]) -> Hierarchy:
    """Levels of a refined mesh whose coded triangles are `triangles`."""
    amount = _areas(refinement)
    number = len(amount)
    levels = []
    for added in reversed(refinement.rounds):
        size = len(added.ends)
        sources = added.ends.reshape(-1)
        first = np.arange(0, 2 * size + 1, 2)
        halves = np.full(2 * size, UNIT // 2)
        levels.append(_Level.taken(amount, np.arange(number - size, number), first, sources, halves))
        number -= size
    levels += _coarsened(refinement, triangles, amount)
    levels.reverse()
    lengths = np.concatenate([np.diff(level.first) for level in levels])
    return Hierarchy(
        order=np.concatenate([level.vertices for level in levels]),
        starts=np.concatenate([[0], np.cumsum([len(level.vertices) for level in levels])]),
        first=np.concatenate([[0], np.cumsum(lengths)]),
        sources=np.concatenate([level.sources for level in levels]),
        weights=np.concatenate([level.weights for level in levels]),
        updates=np.concatenate([level.updates for level in levels]),
        amounts=np.concatenate([level.amounts for level in levels]),
    )


def _areas(refinement: Refinement) -> NDArray[np.int64]:
    """(N,) about how much surface is next to each vertex: at least 1."""
    total = _around(refinement.cells, refinement.triangles)
    # Added up in two parts, each of which stays far below 2**63.
    whole = (int((total >> 20).sum()) << 20) + int((total & 0xFFFFF).sum())
    mean = max(whole // max(len(total), 1), 1)
    # Scaled to about 256 each; the limits keep all sums far below 2**63.
    return np.clip(total * 256 // mean if mean < 1 << 30 else total // (mean >> 8), 16, 1 << 16)


@compiled
def _around(cells, triangles):  # type: ignore[no-untyped-def]
    """(N,) sums over the triangles around each vertex of twice their areas, about, of 64."""
    total = np.zeros(len(cells), np.int64)
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = cells[b, 0] - cells[a, 0], cells[b, 1] - cells[a, 1], cells[b, 2] - cells[a, 2]
        vx, vy, vz = cells[c, 0] - cells[a, 0], cells[c, 1] - cells[a, 1], cells[c, 2] - cells[a, 2]
        x, y, z = abs(uy * vz - uz * vy), abs(uz * vx - ux * vz), abs(ux * vy - uy * vx)
        # Length of the cross product without a root, to 8 %.
        largest = max(x, y, z)
        size = largest + (3 * (x + y + z - largest) >> 3)
        for v in (a, b, c):
            total[v] += size >> 6
    return total


@compiled
def _hand_over(amount, vertices, first, sources, weights):  # type: ignore[no-untyped-def]
    """Give what each vertex stands for to its sources.

    Returns the updates that keep the mean, of smallest norm: I_m I_i / (sum of I_j^2 over the sources j), in 1/65536.
    """
    for i in range(len(vertices)):
        own = amount[vertices[i]]
        for k in range(first[i], first[i + 1]):
            amount[sources[k]] += (own * weights[k]) >> 12
    updates = np.zeros(len(sources), dtype=np.int64)
    for i in range(len(vertices)):
        own = amount[vertices[i]]
        total = 0.0
        for k in range(first[i], first[i + 1]):
            total += float(amount[sources[k]]) ** 2
        for k in range(first[i], first[i + 1]):
            share = float(own) * float(amount[sources[k]]) / total
            updates[k] = np.int64(np.floor(min(share, 1.0) * 65536 + 0.5))
    return updates


def _coarsened(refinement: Refinement, triangles: NDArray[np.int64], amount: NDArray[np.int64]) -> list[_Level]:
    """Levels of the coded mesh, fine to coarse. `amount` is changed."""
    count = refinement.base
    places = refinement.cells[:count]
    edges = edges_of(triangles, count).ends
    active = np.arange(count)
    levels = []
    while len(active) > 1:
        if len(edges) == 0:
            edges = _links(places, active)
        offsets, near = _adjacency(edges, count)
        order = active[np.argsort(amount[active], kind="stable")]
        vertices, first, sources, weights, home = _take_out(order, offsets, near, places, count)
        if len(vertices) * LEAST_SHARE < len(active):  # Little but hubs is left: all follow each other.
            edges = np.stack([active[:-1], active[1:]], axis=1)
            continue
        levels.append(_Level.taken(amount, vertices, first, sources, weights))
        gone = np.zeros(count, dtype=bool)
        gone[vertices] = True
        active = active[~gone[active]]
        edges = _unique_edges(home[edges[:, 0]], home[edges[:, 1]], count)
    nothing = np.zeros(0, dtype=np.int64)
    levels.append(_Level(active, np.zeros(len(active) + 1, np.int64), nothing, nothing, nothing, amount[active].copy()))
    return levels


def _unique_edges(start: NDArray[np.int64], end: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(E, 2) undirected edges without loops and repeats."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    keys = np.unique((low * count + high)[low != high])
    return np.stack([keys // count, keys % count], axis=1)


def _adjacency(edges: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbours of every vertex as (count + 1,) offsets and a list."""
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0] * count + both[:, 1], kind="stable")]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(both[:, 0], minlength=count))])
    return offsets, np.ascontiguousarray(both[:, 1])


def _links(places: NDArray[np.int64], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    """(R - 1, 2) edges between pieces: each with the nearest one before it."""
    if len(roots) > MOST_ROOTS:
        return np.stack([roots[:-1], roots[1:]], axis=1)
    edges = []
    for index in range(1, len(roots)):
        gap = ((places[roots[:index]] - places[roots[index]]) ** 2).sum(axis=1)
        edges.append((roots[int(np.argmin(gap))], roots[index]))
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


@compiled
def _take_out(order, first, near, places, count):  # type: ignore[no-untyped-def]
    """Independent vertices in the given order, their stencils, and (count,) where each vertex is merged to."""
    state = np.zeros(count, dtype=np.int64)
    home = np.arange(count)
    vertices = np.zeros(len(order), dtype=np.int64)
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    sources = np.zeros(len(near), dtype=np.int64)
    weights = np.zeros(len(near), dtype=np.int64)
    taken = 0
    size = 0
    for place in range(len(order)):
        v = order[place]
        degree = first[v + 1] - first[v]
        if state[v] != 0 or degree == 0 or degree > MAX_DEGREE:
            continue
        total = 0
        best = -1
        nearest = -1
        for k in range(first[v], first[v + 1]):
            u = near[k]
            state[u] = 1
            gap = 0
            for axis in range(3):
                step = places[u, axis] - places[v, axis]
                gap += step * step
            length = int(np.floor(np.sqrt(float(gap))))
            weight = (1 << 40) // (length + 16)
            sources[size + k - first[v]] = u
            weights[size + k - first[v]] = weight
            total += weight
            if best < 0 or gap < nearest:
                best, nearest = u, gap
        state[v] = 2
        home[v] = best
        left = UNIT
        for k in range(size, size + degree):
            weights[k] = weights[k] * UNIT // total
            left -= weights[k]
        weights[size] += left
        size += degree
        vertices[taken] = v
        taken += 1
        offsets[taken] = size
    return vertices[:taken].copy(), offsets[: taken + 1].copy(), sources[:size].copy(), weights[:size].copy(), home
