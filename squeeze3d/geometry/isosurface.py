"""Marching cubes: the surface of constant value in a grid of samples.

```text
samples ─► inside or outside ─► cubes with both ─► loops over their edges ─► triangles
```

The triangles of each of the 256 patterns of a cube follow from one rule (`_pattern`). On each face of the cube, lines
separate inside from outside corners; where two inside corners lie across each other, the lines keep them connected, so
that thin parts hold together. The rule sees the face alone, hence two cubes always agree on the face they share: the
surface is closed, and every sample edge has one vertex with one fan of triangles.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

CLEARANCE = 0.02
"""Least distance between a vertex and the samples next to it, in sample spacings: no triangle shrinks to a point."""

CORNERS = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)], dtype=np.int64)
"""(8, 3) corners of a cube, by number."""

_FACES = tuple((axis, side) for axis in range(3) for side in (0, 1))
_Edge = tuple[int, int]
"""An edge of the cube: number of its lower corner, axis. Corner k lies at (k & 1, k >> 1 & 1, k >> 2)."""
_Triangle = tuple[_Edge, _Edge, _Edge]


def isosurface(samples: NDArray[np.floating], level: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and triangles of the surface where samples equal `level`; lower values are inside.

    Parameters
    ----------
    samples : (X, Y, Z). The outermost samples count as outside, whatever their value: the surface is closed.

    Returns
    -------
    positions : (V, 3) in index coordinates: sample (i, j, k) lies at (i, j, k).
    triangles : (F, 3), looking outwards. Closed; no vertex is unused.
    """
    inside = samples < level
    for axis in range(3):
        edge = np.moveaxis(inside, axis, 0)
        edge[:1] = edge[-1:] = False
    strides = np.array([samples.shape[1] * samples.shape[2], samples.shape[2], 1], dtype=np.int64)
    cubes = np.flatnonzero(_mixed(inside))
    places = cubes[:, None] + CORNERS @ strides
    # Only entries of mixed cubes are ever read; the rest stays untouched, and costs no memory.
    slots = np.empty(samples.size, dtype=np.int32)
    slots[cubes] = np.arange(len(cubes), dtype=np.int32)
    origins = np.stack(np.unravel_index(cubes, samples.shape), axis=1).astype(np.int64)
    return polygonise(
        samples.reshape(-1)[places].astype(np.float32), inside.reshape(-1)[places], level, origins, slots[places]
    )


def polygonise(
    values: NDArray[np.float32],
    inside: NDArray[np.bool_],
    level: float,
    origins: NDArray[np.int64],
    cubes: NDArray[np.int32],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Surface within some cubes, among them all that have inside and outside corners.

    Parameters
    ----------
    values, inside : (N, 8) samples at the corners of each cube, in the order of `CORNERS`, and which count as inside.
    origins : (N, 3) index coordinates of their lowest corners.
    cubes : (N, 8) the rows of the cubes whose lowest corners are the corners of a cube; anything where there is none.
        Every crossed edge must start at the lowest corner of a cube.

    Returns
    -------
    positions, triangles : as of `isosurface`.
    """
    patterns = np.packbits(inside, axis=1, bitorder="little")[:, 0]
    crossed = inside[:, :1] ^ inside[:, [1, 2, 4]]
    numbers = np.cumsum(crossed.reshape(-1), dtype=np.int32).reshape(-1, 3) - 1
    owner, axes = np.nonzero(crossed)
    first, second = values[owner, 0], values[owner, 1 << axes]
    # At the border two inside samples may be on both ends.
    rise = np.where(second == first, np.float32(1), second - first)
    share = np.clip((np.float32(level) - first) / rise, CLEARANCE, 1 - CLEARANCE)
    positions = origins[owner].astype(np.float32)
    positions[np.arange(len(owner)), axes] += share

    counts, edges = _tables()
    amounts = counts[patterns]
    place = np.repeat(np.arange(len(values)), amounts)
    order = np.arange(len(place)) - np.repeat(np.cumsum(amounts) - amounts, amounts)
    chosen = edges[patterns[place], order]
    starts = cubes[place[:, None], chosen // 3]
    return positions, numbers[starts, chosen % 3]


def _mixed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cubes with inside and outside corners, at the index of their lowest corner; an array like `inside`."""
    some, every = inside, inside
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        some, every = some[low] | some[high], every[low] & every[high]
    result = np.zeros_like(inside)
    result[:-1, :-1, :-1] = some & ~every
    return result


@cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles of all patterns: (256,) how many, and (256, most, 3) edges as 3 * lower corner + axis."""
    patterns = [_pattern(pattern) for pattern in range(256)]
    counts = np.array([len(triangles) for triangles in patterns])
    edges = np.zeros((256, counts.max(), 3), dtype=np.int64)
    for pattern, triangles in enumerate(patterns):
        for row, triangle in enumerate(triangles):
            edges[pattern, row] = [3 * corner + axis for corner, axis in triangle]
    return counts, edges


def _pattern(pattern: int) -> list[_Triangle]:
    """Triangles, as edges of the cube, for the corners inside (bits of `pattern`)."""
    following: dict[_Edge, _Edge] = {}
    for face in _FACES:
        following.update(_lines(pattern, *face))
    triangles: list[_Triangle] = []
    while following:
        start = min(following)
        loop = [start]
        while (edge := following.pop(loop[-1])) != start:
            loop.append(edge)
        triangles += _triangulated(tuple(loop))[1]
    return triangles


def _lines(pattern: int, axis: int, side: int) -> dict[_Edge, _Edge]:
    """Lines across one face, from edge to edge, with the inside on their left as seen from outside the cube."""
    u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
    base = side << axis
    ring = [base, base + u, base + u + v, base + v]
    if side == 0:
        ring.reverse()
    inside = [bool(pattern >> corner & 1) for corner in ring]
    edges = [_edge(ring[k], ring[(k + 1) % 4]) for k in range(4)]
    enters = [k for k in range(4) if not inside[k] and inside[(k + 1) % 4]]
    # Going around the face, the line from where it is left goes to the next place where it is entered again: it cuts
    # off the outside corners in between.
    lines = {}
    for k in range(4):
        if inside[k] and not inside[(k + 1) % 4]:
            ahead = min(enters, key=lambda e: (e - k) % 4)
            lines[edges[ahead]] = edges[k]
    return lines


def _edge(a: int, b: int) -> _Edge:
    return min(a, b), (a ^ b).bit_length() - 1


def _faces(edge: _Edge) -> set[tuple[int, int]]:
    """The two faces an edge belongs to."""
    corner, along = edge
    return {(axis, corner >> axis & 1) for axis in range(3) if axis != along}


@cache
def _triangulated(loop: tuple[_Edge, ...]) -> tuple[int, tuple[_Triangle, ...]]:
    """Triangles of a polygon, with as few diagonals as possible that lie in a face of the cube; (how many, triangles).

    The neighbour could have the same diagonal, and four triangles would meet there.
    """
    if len(loop) < 3:
        return 0, ()
    best: tuple[int, tuple[_Triangle, ...]] | None = None
    for middle in range(1, len(loop) - 1):
        cost = 0
        triangles: tuple[_Triangle, ...] = ((loop[0], loop[middle], loop[-1]),)
        for low, high in ((0, middle), (middle, len(loop) - 1)):
            if high - low > 1:
                inner = _triangulated(loop[low : high + 1])
                cost += inner[0] + bool(_faces(loop[low]) & _faces(loop[high]))
                triangles += inner[1]
        if best is None or cost < best[0]:
            best = cost, triangles
    assert best is not None
    return best
