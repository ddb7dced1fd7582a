"""Fewer triangles for surfaces that were extracted from a fine grid, with nothing to be seen of it.

```text
triangles ─► blocks ─► edge collapses inside ─► blocks shifted by a half ─► edge collapses inside ─► triangles
                       borders of blocks stay                               borders of these blocks stay
```

An isosurface has the same triangles on a flat table top as on a carved leg. Edge collapses (Garland and Heckbert, 1997)
end at a distance to the planes of the original triangles, so they take what says nothing. Colours of vertices are only
known between vertices: where they change within a block, no edge grows longer than two blocks, and blocks of one colour
are one large block.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LEAST = 2000
"""Triangles from which it is worth the trouble."""
PLAIN = 5 / 255
"""Blocks whose colours differ by no more than this have one colour."""
SHIFTS = (0.0, 0.5)
"""Where the blocks of each pass begin, in blocks."""

Colours = Callable[[NDArray[np.float64]], NDArray[np.floating]]
"""(N, 3) colours in [0, 1] at (N, 3) positions."""


def thin(
    positions: NDArray[np.floating], triangles: NDArray[np.integer], colours: Colours, *, tolerance: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (V, 3) and triangles (F, 3) of a surface with fewer triangles.

    Parameters
    ----------
    positions : (V, 3) in units of blocks, on both sides of 0 as they like.
    triangles : (F, 3).
    colours : what vertices will be given; asked twice.
    tolerance : distance of vertices from the planes of the triangles that they stand for, as the root of a sum of
        squares.
    """
    vertices, faces = positions.astype(np.float64), triangles.astype(np.int64)
    for shift in SHIFTS:
        if len(faces) < LEAST:
            break
        block = _blocks(vertices, faces, colours(vertices), shift)
        vertices, faces = _thin_inside(vertices, faces, block, tolerance)
    return vertices.astype(np.float32), faces.astype(np.int32)


def _blocks(
    positions: NDArray[np.float64], triangles: NDArray[np.int64], rgb: NDArray[np.floating], shift: float
) -> NDArray[np.int64]:
    """(F,) number of the block of each triangle, which is that of its first corner; plain blocks share one."""
    cells = np.floor(positions + shift).astype(np.int64)
    cells -= cells.min(axis=0)
    sides = cells.max(axis=0) + 1
    block = (cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2]
    order = np.argsort(block, kind="stable")
    first = np.append(True, np.diff(block[order]) > 0)
    starts = np.flatnonzero(first)
    number = np.empty(len(block), dtype=np.int64)
    number[order] = np.cumsum(first) - 1
    ordered = rgb[order]
    span = np.maximum.reduceat(ordered, starts) - np.minimum.reduceat(ordered, starts)
    names = np.where(span.max(axis=1) > PLAIN, np.arange(len(starts)), len(starts))
    own: NDArray[np.int64] = names[number][triangles[:, 0]]
    return own


def _thin_inside(
    positions: NDArray[np.float64], triangles: NDArray[np.int64], block: NDArray[np.int64], tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Collapse edges whose ends lie in one block each."""
    import fast_simplification

    # Blocks are made parts of their own: their borders are open then, and open borders stay.
    count = len(positions)
    parts, corners = np.unique(block[:, None] * count + triangles, return_inverse=True)
    # A lossless run collapses what costs no more than the last bit of 1. At this scale, that is the tolerance. A power
    # of two changes no digits, and copies of a vertex stay equal.
    scale = 2.0 ** np.floor(np.log2(np.sqrt(np.finfo(np.float64).eps) / tolerance))
    thinner, faces = fast_simplification.simplify(
        positions[parts % count] * scale,
        np.ascontiguousarray(corners.reshape(-1, 3)),
        target_count=1,
        lossless=True,
        preserve_border=True,
    )
    return _joined(np.asarray(thinner) / scale, np.asarray(faces, dtype=np.int64).reshape(-1, 3))


def _joined(
    positions: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One vertex for equal ones, without triangles that lose an area by that and vertices without triangles."""
    order = np.lexsort(positions.T)
    ordered = positions[order]
    first = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    number = np.empty(len(positions), dtype=np.int64)
    number[order] = np.cumsum(first) - 1
    faces = number[triangles]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    used, faces = np.unique(faces, return_inverse=True)
    return ordered[first][used], faces.reshape(-1, 3)
