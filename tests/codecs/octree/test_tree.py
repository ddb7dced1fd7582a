"""The vectorised octree against a slow, obvious one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.octree.tree import OFFSETS, Nodes, levels_of, masks_of


def tree(cells: np.ndarray, depth: int) -> list[Nodes]:
    return levels_of(masks_of(np.unique(morton(cells)), depth))


def slow_levels(cells: np.ndarray, depth: int) -> list[list[tuple[int, int, int]]]:
    """Cells of all levels: halved again and again, the children of a cell in the order x, y, z."""
    levels = [sorted({tuple(map(int, cell)) for cell in cells})]
    for _ in range(depth):
        levels.append(sorted({tuple(c // 2 for c in cell) for cell in levels[-1]}))
    levels.reverse()
    ordered = [levels[0]]
    for level in levels[1:]:
        inside = set(level)
        children = itertools.product(ordered[-1], itertools.product((0, 1), repeat=3))
        ordered.append([c for p, b in children if (c := tuple(2 * x + y for x, y in zip(p, b, strict=True))) in inside])
    return ordered


CLOUDS = {
    "one": np.array([[5, 0, 7]]),
    "twice": np.array([[5, 0, 7], [5, 0, 7]]),
    "corners": np.array(list(itertools.product((0, 7), repeat=3))),
    "block": np.array(list(itertools.product(range(2, 6), repeat=3))),
    "some": random(3).integers(0, 8, (60, 3)),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_levels_are_those_of_the_slow_tree(name):
    cells = CLOUDS[name]
    for nodes, expected in zip(tree(cells, 3), slow_levels(cells, 3), strict=True):
        assert list(zip(*nodes.cells.tolist(), strict=True)) == expected
        numbers = {cell: number for number, cell in enumerate(expected)}
        for number, cell in enumerate(expected):
            around = [tuple(c + o for c, o in zip(cell, offset, strict=True)) for offset in OFFSETS]
            assert nodes.around[:, number].tolist() == [numbers.get(place, len(expected)) for place in around]


@pytest.mark.parametrize("name", CLOUDS)
def test_parents_hold_their_children(name):
    levels = tree(CLOUDS[name], 3)
    for above, below in itertools.pairwise(levels):
        assert (above.cells[:, below.parents] == below.cells >> 1).all()
        assert sorted(set(below.parents.tolist())) == list(range(above.count))


def test_the_deepest_nodes_are_the_cells_in_order_of_keys():
    cells = random(1).integers(0, 1 << 12, (500, 3))
    nodes = tree(cells, 12)[-1]
    assert (morton(nodes.cells.T) == np.unique(morton(cells))).all()


def test_keys_interleave_bits_up_to_the_deepest_level():
    assert morton(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]])).tolist() == [4, 2, 1, 32]
    largest = (1 << 21) - 1
    assert morton(np.array([[largest] * 3])).tolist() == [(1 << 63) - 1]
