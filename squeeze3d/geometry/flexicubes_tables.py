"""Lookup tables of FlexiCubes, generated from the rules that define them.

A cube has eight corners, corner c at (c & 1, c >> 1 & 1, c >> 2), and its *case* is the sum of 2^c over the corners
inside. An edge with one end inside is *cut*. Within a cube, cut edges fall into groups, and each group becomes one
vertex of the surface:

```text
face with two cut edges      face with four: the inside corners lie across each other
  o───────o                    #──/────o         # inside
  │       │                    │ /     │         o outside
  ─────────                    │/     /│
  │       │                    │     / │
  #───────#                    o────/──#
joins both                   joins the two at each inside corner: the inside stays apart
```

Cubes that see one ambiguous face from both sides must agree on whether the inside is connected across it; `repairs`
says which cases switch to the complement of theirs for that.

Nielson, "Dual marching cubes", 2004; Schaefer, Ju and Warren, "Manifold dual contouring", 2007; Shen et al.,
"Flexible isosurface extraction for gradient-based mesh optimization", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

EDGES = ((0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4))
"""Directed edges as pairs of corners: along x and z they ascend, along y they descend."""
MOST_GROUPS, MOST_EDGES = 4, 7
"""Groups of a case, and edges of a group."""

_CASES = range(256)
_SIDES = tuple((axis, side) for axis in range(3) for side in (0, 1))


@cache
def groups() -> NDArray[np.int8]:
    """(256, 4, 7) edges of each group of each case, ascending; -1 where there is none."""
    table = np.full((256, MOST_GROUPS, MOST_EDGES), -1, dtype=np.int8)
    for case in _CASES:
        for row, group in enumerate(_groups(case)):
            table[case, row, : len(group)] = group
    table.flags.writeable = False
    return table


@cache
def group_counts() -> NDArray[np.int8]:
    """(256,) groups of each case."""
    table = (groups()[:, :, 0] >= 0).sum(axis=1).astype(np.int8)
    table.flags.writeable = False
    return table


@cache
def group_of_edge() -> NDArray[np.int8]:
    """(256, 12) group that an edge belongs to; -1 for edges that are not cut."""
    table = np.full((256, len(EDGES)), -1, dtype=np.int8)
    for case, rows in enumerate(groups()):
        for row, edges in enumerate(rows):
            table[case, edges[edges >= 0]] = row
    table.flags.writeable = False
    return table


@cache
def repairs() -> NDArray[np.int16]:
    """(256, 5) rows [1, dx, dy, dz, replacement] of the cases that are *problematic*, zeros for all others.

    A problematic case has one ambiguous face and one group. It is replaced if the cube beyond that face, in the
    direction (dx, dy, dz), is problematic, too.
    """
    table = np.zeros((256, 5), dtype=np.int16)
    for case in _CASES:
        ambiguous = [side for side in _SIDES if len(_cut_edges(case, *side)) == 4]
        if len(ambiguous) == 1 and len(_groups(case)) == 1:
            axis, side = ambiguous[0]
            table[case, 0] = 1
            table[case, 1 + axis] = 2 * side - 1
            table[case, 4] = 255 - case
    table.flags.writeable = False
    return table


def _inside(case: int, corner: int) -> bool:
    return bool(case >> corner & 1)


def _is_cut(case: int, edge: int) -> bool:
    first, second = EDGES[edge]
    return _inside(case, first) != _inside(case, second)


def _cut_edges(case: int, axis: int, side: int) -> list[int]:
    """Cut edges of the face of a cube where the bit `axis` of its corners is `side`."""
    return [
        edge
        for edge, corners in enumerate(EDGES)
        if _is_cut(case, edge) and all(corner >> axis & 1 == side for corner in corners)
    ]


@cache
def _groups(case: int) -> tuple[tuple[int, ...], ...]:
    """Groups of a case, in their order."""
    cut = [edge for edge in range(len(EDGES)) if _is_cut(case, edge)]
    joined = []
    for face in _SIDES:
        edges = _cut_edges(case, *face)
        if len(edges) == 2:
            joined.append(tuple(edges))
        for corner in range(8):
            at_corner = tuple(edge for edge in edges if corner in EDGES[edge])
            if len(edges) == 4 and _inside(case, corner) and len(at_corner) == 2:
                joined.append(at_corner)
    found = _connected(cut, joined)
    # Where all inside corners hang together, every group has the same one: outside corners tell groups apart.
    within = [(a, b) for a, b in EDGES if _inside(case, a) and _inside(case, b)]
    corners = [corner for corner in range(8) if _inside(case, corner)]
    by_inside = len(_connected(corners, within)) != 1

    def first_corner(group: tuple[int, ...]) -> int:
        return min(corner for edge in group for corner in EDGES[edge] if _inside(case, corner) == by_inside)

    return tuple(sorted(found, key=first_corner))


def _connected(items: list[int], pairs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Connected components of a graph, each ascending."""
    component = {item: {item} for item in items}
    for a, b in pairs:
        merged = component[a] | component[b]
        component.update(dict.fromkeys(merged, merged))
    return sorted({tuple(sorted(members)) for members in component.values()})
