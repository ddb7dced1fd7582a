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
        start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
        keys, index = np.unique(np.minimum(start, end) * count + np.maximum(start, end), return_inverse=True)
        index = index.reshape(-1)
        a, b = keys // count, keys % count
        # Squares of differences below 2**26 stay below 2**54.
        cut = ((places[a] - places[b]) ** 2).sum(axis=1) > spacing * spacing
        number = int(np.count_nonzero(cut))
        if number == 0 or count + number > most:
            break
        middle = np.full(len(keys), -1, dtype=np.int64)
        middle[cut] = count + np.arange(number)
        rounds.append(Midpoints(np.stack([a[cut], b[cut]], axis=1)))
        places = np.concatenate([places, (places[a[cut]] + places[b[cut]]) >> 1])
        faces, owners = _cut(faces, owners, middle[index].reshape(-1, 3), places)
    return Refinement(base, tuple(rounds), places, faces, owners)


def _cut(
    faces: NDArray[np.int64], owners: NDArray[np.int64], middle: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles after a round; `middle` has the midpoint of each edge (corner k to k + 1), -1 where it stays."""
    cuts = np.count_nonzero(middle >= 0, axis=1)
    # Turned so that a single cut is edge 0, and a single whole edge is edge 2.
    turn = np.zeros(len(faces), dtype=np.int64)
    turn[cuts == 1] = np.argmax(middle[cuts == 1] >= 0, axis=1)
    turn[cuts == 2] = (np.argmax(middle[cuts == 2] < 0, axis=1) + 1) % 3
    order = (np.arange(3) + turn[:, None]) % 3
    a, b, c = np.take_along_axis(faces, order, axis=1).T
    m, n, o = np.take_along_axis(middle, order, axis=1).T
    parts: list[tuple[NDArray[np.intp], NDArray[np.int64]]] = []

    def add(chosen: NDArray[np.bool_], *corners: NDArray[np.int64]) -> None:
        which = np.flatnonzero(chosen)
        parts.append((which, np.stack([corner[which] for corner in corners], axis=1)))

    add(cuts == 0, a, b, c)
    add(cuts == 1, a, m, c)
    add(cuts == 1, m, b, c)
    add(cuts == 2, m, b, n)
    shorter = ((places[a] - places[n]) ** 2).sum(axis=1) <= ((places[m] - places[c]) ** 2).sum(axis=1)
    add((cuts == 2) & shorter, a, m, n)
    add((cuts == 2) & shorter, a, n, c)
    add((cuts == 2) & ~shorter, a, m, c)
    add((cuts == 2) & ~shorter, m, n, c)
    add(cuts == 3, a, m, o)
    add(cuts == 3, m, b, n)
    add(cuts == 3, o, n, c)
    add(cuts == 3, m, n, o)
    source = np.concatenate([which for which, _ in parts])
    result = np.concatenate([corners for _, corners in parts])
    order = np.argsort(source, kind="stable")
    return result[order], owners[source[order]]
