"""A mesh cut finer where its edges are long: the places that colours stand at. It follows from the coded mesh alone.

```text
every edge longer than the spacing gets a midpoint      a triangle with 1, 2, 3 of them becomes 2, 3, 4 triangles
```

Rounds repeat until no edge is too long, or the finest round is reached. Everything is integer arithmetic: both sides
agree on it. Coordinates double in each round, so that midpoints are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.edges import edges_of

MAX_ROUNDS = 7
"""Part of the format."""


@dataclass(frozen=True, eq=False)
class Midpoints:
    """Vertices that one round added."""

    ends: NDArray[np.int64]
    """(N, 2) vertices at the ends of the edge each one halves."""


@dataclass(frozen=True, eq=False)
class Refinement:
    """A mesh and what was added to it."""

    base: int
    """Vertices of the coded mesh; those that rounds added follow in order."""
    rounds: tuple[Midpoints, ...]
    cells: NDArray[np.int64]
    """(N, 3) coordinates of all vertices, in grid cells times 2**MAX_ROUNDS."""
    triangles: NDArray[np.int64]
    """(F, 3), those of one coded triangle in a row."""
    owners: NDArray[np.int64]
    """(F,) coded triangle of each."""


def refine(triangles: NDArray[np.int64], cells: NDArray[np.int64], spacing: int, most: int) -> Refinement:
    """Cut all edges longer than `spacing`, in grid cells times 2**MAX_ROUNDS.

    Parameters
    ----------
    most : vertices at most; a round that would exceed it is not begun.
    """
    places = np.asarray(cells, dtype=np.int64) << MAX_ROUNDS
    faces = np.asarray(triangles, dtype=np.int64).reshape(-1, 3)
    owners = np.arange(len(faces))
    base = len(places)
    rounds = []
    for _ in range(MAX_ROUNDS):
        count = len(places)
        edges = edges_of(faces, count)
        a, b = edges.ends.T
        cut = _too_long(places, edges.ends, spacing * spacing)
        number = int(np.count_nonzero(cut))
        if number == 0 or count + number > most:
            break
        middle = np.full(len(cut), -1, dtype=np.int64)
        middle[cut] = count + np.arange(number)
        a, b = a[cut], b[cut]
        rounds.append(Midpoints(np.stack([a, b], axis=1)))
        places = np.concatenate([places, (places[a] + places[b]) >> 1])
        faces, owners = _cut(faces, owners, middle, edges.index, places)
    return Refinement(base, tuple(rounds), places, faces, owners)


@compiled
def _too_long(places, ends, limit):  # type: ignore[no-untyped-def]
    """(E,) whether the square of the length of each edge is above the limit."""
    result = np.zeros(len(ends), np.bool_)
    for e in range(len(ends)):
        total = 0
        for axis in range(3):
            # Squares of differences below 2**26 stay below 2**54.
            step = places[ends[e, 0], axis] - places[ends[e, 1], axis]
            total += step * step
        result[e] = total > limit
    return result


@compiled
def _square(places, a, b):  # type: ignore[no-untyped-def]
    x, y, z = places[a, 0] - places[b, 0], places[a, 1] - places[b, 1], places[a, 2] - places[b, 2]
    return x * x + y * y + z * z


@compiled
def _cut(faces, owners, middle, index, places):  # type: ignore[no-untyped-def]
    """Triangles after a round, and their owners.

    `middle` has the midpoint of each edge, -1 where it stays; `index` the edge from each corner to the next.
    """
    size = len(faces)
    for corner in range(3 * len(faces)):
        if middle[index[corner]] >= 0:
            size += 1
    result, source = np.empty((size, 3), np.int64), np.empty(size, np.int64)
    halves = np.empty(3, np.int64)
    n = 0
    for f in range(len(faces)):
        cuts, first_cut, first_whole = 0, -1, -1
        for k in range(3):
            halves[k] = middle[index[3 * f + k]]
            if halves[k] >= 0:
                cuts += 1
                first_cut = k if first_cut < 0 else first_cut
            else:
                first_whole = k if first_whole < 0 else first_whole
        # Turned so that a single cut is edge 0, and a single whole edge is edge 2.
        turn = first_cut if cuts == 1 else ((first_whole + 1) % 3 if cuts == 2 else 0)
        a, b, c = faces[f, turn], faces[f, (turn + 1) % 3], faces[f, (turn + 2) % 3]
        p, q, r = halves[turn], halves[(turn + 1) % 3], halves[(turn + 2) % 3]
        source[n : n + cuts + 1] = owners[f]
        if cuts == 0:
            result[n, 0], result[n, 1], result[n, 2] = a, b, c
        elif cuts == 1:
            result[n, 0], result[n, 1], result[n, 2] = a, p, c
            result[n + 1, 0], result[n + 1, 1], result[n + 1, 2] = p, b, c
        elif cuts == 2:
            result[n, 0], result[n, 1], result[n, 2] = p, b, q
            if _square(places, a, q) <= _square(places, p, c):
                result[n + 1, 0], result[n + 1, 1], result[n + 1, 2] = a, p, q
                result[n + 2, 0], result[n + 2, 1], result[n + 2, 2] = a, q, c
            else:
                result[n + 1, 0], result[n + 1, 1], result[n + 1, 2] = a, p, c
                result[n + 2, 0], result[n + 2, 1], result[n + 2, 2] = p, q, c
        else:
            result[n, 0], result[n, 1], result[n, 2] = a, p, r
            result[n + 1, 0], result[n + 1, 1], result[n + 1, 2] = p, b, q
            result[n + 2, 0], result[n + 2, 1], result[n + 2, 2] = r, q, c
            result[n + 3, 0], result[n + 3, 1], result[n + 3, 2] = p, q, r
        n += cuts + 1
    return result, source
