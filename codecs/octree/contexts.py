"""What is known about a node before its children are coded, as contexts of `Mixer`.

```text
levels above ────────────► planes through what is near, twice: wide and narrow ─┐
nodes around the node ───► plane through them; which have children, and where ──┼─► one context each
children coded before ───► mask so far ─────────────────────────────────────────┤   for each octant
nodes with the same x … ─► how many children lie on either side ────────────────┘
```

The nodes of a level are coded in `PASSES` passes. No two nodes of a pass share a face, and those of later passes see
the children of more and more of their neighbours. A pass is a few array operations for each octant.

Everything is integer. All constants are part of the format.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.octree.mixing import logarithms
from squeeze3d.codecs.octree.planes import DEEPEST, Planes, Window, near_planes
from squeeze3d.codecs.octree.tree import BITS, OCTANTS, OFFSETS, POPCOUNT, ROWS, Nodes

OCTANT_ORDER = (0, 1, 2, 4, 3, 5, 6, 7)
"""Order in which the children of a node are coded."""
PASSES = 9
PASS_OF = np.array([0, 5, 2, 6, 3, 7, 4, 8], dtype=np.int8)
"""Pass of a node by (x + 2 y + 3 z) mod 8, in which no face neighbours agree. Of the first, three quarters move to pass
1: it knows nothing of this level, so fewer nodes had better go first."""
REFINED = 2
"""Pass after which planes are fitted again, through the children that are known."""
LEAST_REFINED = 64
"""Nodes of a level up to which they are not."""
UNKNOWN, ABSENT = 256, 257
"""Masks of nodes that are coded later, and of places where there is no node."""

WIDTHS = ((3, 1), (7, 5))
"""A window's anchors are the nodes of the deepest level that has at most N / (n / d) nodes for (n, d)."""
DISTANCES = (2, 4, 7, 10, 12, 15, 18, 22, 27, 34, 44, 60)
"""Bounds of distances from planes, in 1/32 of a node's side."""
SPREADS = (40, 163, 409, 819, 1638, 3276, 8192)
"""Bounds of variances along normals, as of `Planes`."""
OUTSIDE = (1, 4000)
"""Bounds of how far a plane passes by a node."""
SUPPORTS = (6, 14)
"""Bounds of how much a plane goes through."""
CROWDS = (3, 6, 9, 13)
"""Bounds of the nodes around a node, itself included."""
RATIOS = (41, 43, 46, 50, 55, 60, 70, 80, 90, 100, 115, 130)
"""Bounds of 40 times the mean number of children of the nodes around a node's parent."""
COARSE_RATIOS = (50, 90)
BALANCES = (-512, -256, -96, 97, 257, 513)
"""Bounds of 128 times the logarithm of how many more children lie on the far side."""
LOCAL = 3
"""Level whose nodes are counted in by themselves for the second kind of balances."""
DEEPEST_BALANCE = 12
"""Deepest level where children are counted by coordinate."""
MOST_COUNTED = 100_000

_DISTANCE_SHIFT, _MOST_DISTANCE = 9, 63
_DISTANCE_CLASS = np.searchsorted(DISTANCES, np.arange(_MOST_DISTANCE + 1), side="right").astype(np.int32)
_DISTANCES, _SPREADS, _RATIOS, _BALANCES = (len(b) + 1 for b in (DISTANCES, SPREADS, RATIOS, BALANCES))
_FITS = _SPREADS * (len(OUTSIDE) + 1) * (len(SUPPORTS) + 1)
_CROWDS = len(CROWDS) + 1

SIZES = (
    _DISTANCES * _FITS * 16,
    _DISTANCES * _FITS * 16,
    _DISTANCES * _SPREADS * _CROWDS * 8,
    35 * 64 * 8,
    255 * 4 * _RATIOS,
    _BALANCES**3 * 16,
    _BALANCES**3 * 16,
)
"""Number of contexts of each kind: two planes of windows, near plane, neighbours, siblings, two balances."""
SETS = 3 * 8 * 3
"""Sets of weights."""

# What a neighbour's mask says about an octant, added up over neighbours in fields of one integer: neighbours not coded
# yet (3 bits), missing face neighbours (2), face neighbours by state (4 x 2), edge neighbours that have a child next to
# the octant and that are not coded yet (2 x 2), the same of the corner neighbour (2).
_UNKNOWN, _MISSING, _FACES, _EDGES, _UNKNOWN_EDGES, _CORNER = 0, 3, 5, 13, 15, 17


def _neighbour_tables() -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """(8, 7) rows of `Nodes.around` that touch each octant: 3 faces, 3 edges, 1 corner; (8, 7, 258) their fields by
    mask.
    """
    rows = np.zeros((8, 7), dtype=np.intp)
    fields = np.zeros((8, 7, 258), dtype=np.int32)
    masks = np.arange(256)
    for octant in range(8):
        side = 2 * BITS[octant] - 1
        axes = np.eye(3, dtype=np.int64)
        steps = [*(side * axis for axis in axes), *(side * (1 - axis) for axis in axes), side]
        for index, step in enumerate(steps):
            row = OFFSETS.index((int(step[0]), int(step[1]), int(step[2])))
            rows[octant, index] = row
            touching = sum(1 << int(OCTANTS[octant, near]) for near in range(27) if ROWS[octant, near] == row)
            number = POPCOUNT[masks & touching]
            table = fields[octant, index]
            table[UNKNOWN] = 1 << _UNKNOWN
            if index < 3:
                # The child across the face, else any that touches the face, else none.
                direct = masks >> (octant ^ (4 >> index)) & 1
                state = np.where(direct, 3, np.where(number > 0, 2, 1))
                table[:256] = 1 << (_FACES + 2 * state)
                table[UNKNOWN] += 1 << _FACES
                table[ABSENT] = 1 << _MISSING
            elif index < 6:
                table[:256] = (number > 0) << _EDGES
                table[UNKNOWN] += 1 << _UNKNOWN_EDGES
            else:
                table[:256] = (number > 0) << (_CORNER + 1)
                table[UNKNOWN] += 1 << _CORNER
    return rows, fields


_NEIGHBOURS, _FIELDS = _neighbour_tables()


def _face_classes() -> NDArray[np.int32]:
    """(256,) number of a combination of states of at most three face neighbours, two bits for how many are in each."""
    classes = np.zeros(256, dtype=np.int32)
    combinations = (c for c in itertools.product(range(4), repeat=4) if sum(c) <= 3)
    for number, (unknown, away, touching, direct) in enumerate(combinations):
        classes[unknown | away << 2 | touching << 4 | direct << 6] = number
    return classes


def _sibling_classes() -> NDArray[np.int32]:
    """(8, 256) number of the octants that are coded and which of them are there, by turn and mask."""
    masks = np.arange(256)
    result = np.zeros((8, 256), dtype=np.int32)
    for turn in range(8):
        found = sum((masks >> octant & 1) << index for index, octant in enumerate(OCTANT_ORDER[:turn]))
        result[turn] = found + (1 << turn) - 1
    return result


_FACE_CLASSES = _face_classes()
_SIBLING_CLASSES = _sibling_classes()
_HALVES = np.array(
    [[sum(1 << o for o in range(8) if BITS[o][axis] == side) for side in (0, 1)] for axis in range(3)], dtype=np.int32
)
"""(3, 2) masks of the octants on each side along each axis."""


class LevelContexts:
    """Contexts of the nodes of the deepest of some levels."""

    def __init__(self, levels: Sequence[Nodes]) -> None:
        nodes = levels[-1]
        count = nodes.count
        self.nodes = nodes
        self.masks = np.full(count + 1, UNKNOWN, dtype=np.uint16)
        """(N + 1,) masks as far as they are known; the last is that of a missing node."""
        self.masks[count] = ABSENT
        self.windows = [_window(levels, width) for width in WIDTHS]
        self.planes = [window.planes() for window in self.windows]
        self.near = near_planes(nodes)
        self.near_class = np.searchsorted(SPREADS, self.near.spread, side="left").astype(np.int32) * _CROWDS
        crowds = (nodes.around < count).sum(axis=0)
        self.near_class += np.searchsorted(CROWDS, crowds).astype(np.int32)
        self.ratios = _ratios(levels)
        self.balances = [_Balances(levels, local) for local in (0, LOCAL)]
        number = nodes.cells[0] + 2 * nodes.cells[1] + 3 * nodes.cells[2]
        self._passes = PASS_OF[number & 7]
        self._passes[(self._passes == 0) & (number >> 3 & 3 > 0)] = 1

    def passes(self) -> Iterator[Pass]:
        """Passes that have nodes, one after the other; `learn` must follow each."""
        for number in range(PASSES):
            rows = np.flatnonzero(self._passes == number)
            if len(rows):
                yield Pass(self, rows)
            if number == REFINED and self.nodes.count > LEAST_REFINED:
                self.planes = [window.planes(self.masks[:-1]) for window in self.windows]

    def learn(self, rows: NDArray[np.intp], masks: NDArray[np.uint8]) -> None:
        """Take note of the masks of the nodes of a pass."""
        self.masks[rows] = masks
        for balances in self.balances:
            balances.learn(rows, masks)


def _window(levels: Sequence[Nodes], width: tuple[int, int]) -> Window:
    last = len(levels) - 1
    numerator, denominator = width
    most = levels[last].count * denominator
    fitting = [level for level in range(last) if numerator * levels[level].count <= most]
    anchors = max([0, last - DEEPEST, *fitting])
    return Window(levels[last], levels[anchors], _ancestors(levels, anchors), last - anchors)


def _ancestors(levels: Sequence[Nodes], level: int) -> NDArray[np.int32]:
    """(N,) numbers of the nodes of a level that hold the nodes of the deepest one."""
    owners = np.arange(levels[-1].count, dtype=np.int32)
    for nodes in levels[:level:-1]:
        owners = nodes.parents[owners]
    return owners


def _ratios(levels: Sequence[Nodes]) -> NDArray[np.int32]:
    """(N,) 40 times the mean number of children of the nodes around each node's parent."""
    nodes = levels[-1]
    if len(levels) == 1:
        return np.full(nodes.count, 80, dtype=np.int32)
    above = levels[-2]
    children = np.append(np.bincount(nodes.parents, minlength=above.count), 0)
    number = children[above.around].sum(axis=0)
    ratios = 40 * number // (above.around < above.count).sum(axis=0)
    return ratios.astype(np.int32)[nodes.parents]


class _Balances:
    """How many children lie on either side of nodes with a coordinate, along each axis.

    Parameters
    ----------
    local : level whose nodes are counted in by themselves.
    """

    def __init__(self, levels: Sequence[Nodes], local: int) -> None:
        nodes, level = levels[-1], len(levels) - 1
        self._used = level <= DEEPEST_BALANCE
        if self._used:
            local = min(local, level)
            owners = _ancestors(levels, local).astype(np.intp)
            self._places = (owners << level) + nodes.cells
            self._counts = np.zeros((3, 2, levels[local].count << level), dtype=np.int32)

    def learn(self, rows: NDArray[np.intp], masks: NDArray[np.uint8]) -> None:
        """Count the children of some nodes."""
        if self._used:
            for axis, places in enumerate(self._places[:, rows]):
                for side in (0, 1):
                    np.add.at(self._counts[axis, side], places, POPCOUNT[masks & _HALVES[axis, side]])

    def classes(self, rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """(3, M) classes of some nodes along each axis; the far side mirrors them."""
        result = np.full((3, len(rows)), _BALANCES // 2, dtype=np.int32)
        if self._used:
            for axis, places in enumerate(self._places[:, rows]):
                counts = np.minimum(self._counts[axis][:, places], MOST_COUNTED)
                near, far = logarithms()[2 * counts + 1]
                result[axis] = np.searchsorted(BALANCES, far - near)
        return result


@dataclass(frozen=True, eq=False)
class _View:
    """Planes as some nodes see them."""

    normals: NDArray[np.int32]
    """(3, M)."""
    middle: NDArray[np.int32]
    """(M,) distance of the nodes' middles."""
    base: NDArray[np.int32]
    """(M,) first of the contexts of a distance."""
    contexts: int
    """Contexts of a distance."""

    def distances(self, octant: int, active: NDArray[np.intp] | slice) -> NDArray[np.int32]:
        """(A,) contexts of the nodes' octants by their distance from the plane."""
        x, y, z = self.normals[:, active]
        sx, sy, sz = (1 if bit else -1 for bit in BITS[octant])
        distance = np.abs(self.middle[active] + sx * x + sy * y + sz * z) >> _DISTANCE_SHIFT
        classes = _DISTANCE_CLASS[np.minimum(distance, _MOST_DISTANCE)]
        result: NDArray[np.int32] = classes * self.contexts + self.base[active]
        return result


class Pass:
    """Nodes that are coded together, octant by octant."""

    def __init__(self, level: LevelContexts, rows: NDArray[np.intp]) -> None:
        self.rows = rows
        self._around = level.masks[level.nodes.around[:, rows]]
        self._views = [_window_view(*each, rows) for each in zip(level.windows, level.planes, strict=True)]
        base = level.near_class[rows] * 8
        self._near = _View(level.near.normals[:, rows], -level.near.offsets[rows], base, _SPREADS * _CROWDS * 8)
        ratios = level.ratios[rows]
        self._ratios = np.searchsorted(RATIOS, ratios).astype(np.int32)
        self._sets = np.searchsorted(COARSE_RATIOS, ratios).astype(np.int32) * 3
        self._balances = [balances.classes(rows) for balances in level.balances]

    def contexts(
        self, turn: int, found: NDArray[np.uint8], active: NDArray[np.intp] | slice
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """(K, A) contexts and (A,) sets of weights of the octant of a turn, for the `active` ones of the M nodes.

        Parameters
        ----------
        found : (M,) masks of the octants of the turns before.
        """
        octant = OCTANT_ORDER[turn]
        masks = found[active]
        fields = np.zeros(len(masks), dtype=np.int32)
        for table, row in zip(_FIELDS[octant], _NEIGHBOURS[octant], strict=True):
            fields += table[self._around[row, active]]
        some = (masks > 0).astype(np.int32)
        begun = some + 2 * turn
        faces = _FACE_CLASSES[fields >> _FACES & 255]
        siblings = _SIBLING_CLASSES[turn][masks]
        rows = [view.distances(octant, active) + begun for view in self._views]
        rows.append(self._near.distances(octant, active) + 2 * int(POPCOUNT[octant]) + some)
        rows.append(((faces << 6) + (fields >> _EDGES)) * 8 + turn)
        rows.append((siblings * 4 + (fields >> _MISSING & 3)) * _RATIOS + self._ratios[active])
        for classes in self._balances:
            x, y, z = (
                each[active] if bit else _BALANCES - 1 - each[active]
                for each, bit in zip(classes, BITS[octant], strict=True)
            )
            rows.append(((x * _BALANCES + y) * _BALANCES + z) * 16 + begun)
        sets = self._sets[active] + 9 * turn + np.minimum(fields >> _UNKNOWN & 7, 2)
        return np.stack(rows), sets


def _window_view(window: Window, planes: Planes, rows: NDArray[np.intp]) -> _View:
    owners = window.owners[rows]
    normals = planes.normals[:, owners]
    products = (normals * window.places[:, rows]).sum(axis=0) - planes.offsets[owners]
    middle = products.astype(np.int32)
    passing = np.abs(middle) - np.abs(normals).sum(axis=0)
    base = np.searchsorted(SPREADS, planes.spread[owners])
    base = base * (len(OUTSIDE) + 1) + np.searchsorted(OUTSIDE, passing)
    base = base * (len(SUPPORTS) + 1) + np.searchsorted(SUPPORTS, planes.counts[owners])
    return _View(normals, middle, (base * 16).astype(np.int32), _FITS * 16)
