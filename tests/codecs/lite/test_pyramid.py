"""Pyramids, the order of their cells, and contexts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from squeeze3d.codecs.lite.pyramid import (
    ABOVE,
    DYNAMIC,
    FACES,
    OCTANTS,
    PAST,
    SIZES,
    STATIC,
    LevelContexts,
    pyramid,
    shapes,
)


def blob(shape, seed):
    return np.random.default_rng(seed).random(shape) < 0.4


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2), (7, 3, 1), (9, 14, 5), (1, 1, 30)])
def test_a_cell_is_occupied_if_any_child_is(shape):
    levels = pyramid(blob(shape, 1))
    assert [level.shape for level in levels] == shapes(shape)
    assert levels[-1].shape == (1, 1, 1)
    for below, above in itertools.pairwise(levels):
        for cell in itertools.product(*map(range, above.shape)):
            children = below[tuple(slice(2 * c, 2 * c + 2) for c in cell)]
            assert above[cell] == children.any()


def test_windows_hold_earlier_fronts_only():
    assert all(x + y + z < 0 for x, y, z in PAST)
    assert {(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-3, 0, 0), (1, -1, -1)} <= set(PAST)
    # Any turn of the axes gives the same window, so turned objects are coded alike.
    assert {(y, z, x) for x, y, z in PAST} == set(PAST) == {(y, x, z) for x, y, z in PAST}


@pytest.mark.parametrize("shape", [(8, 6, 4), (7, 5, 1)])
def test_cells_are_the_children_in_the_grid_by_front(shape):
    parents = pyramid(blob(shape, 3))[1]
    cells = LevelContexts(parents, shape, 0).cells(np.argwhere(parents))
    expected = [c for c in itertools.product(*map(range, shape)) if parents[c[0] // 2, c[1] // 2, c[2] // 2]]
    assert [tuple(c) for c in cells.index] == sorted(expected, key=lambda c: (sum(c), c))
    assert [OCTANTS[octant] for octant in cells.octants] == [tuple(c % 2) for c in cells.index]
    sums = cells.index.sum(axis=1)
    assert cells.fronts[0] == 0
    assert cells.fronts[-1] == len(cells)
    for start, stop in itertools.pairwise(cells.fronts):
        assert len(set(sums[start:stop])) == 1
    assert len(cells.fronts) - 1 == len(set(sums))


def test_no_parents_have_no_cells():
    cells = LevelContexts(np.zeros((2, 2, 2), bool), (4, 4, 4), 0).cells(np.empty((0, 3), np.intp))
    assert len(cells) == 0
    assert cells.fronts.tolist() == [0]


def inside(grid, cell):
    return all(0 <= c < n for c, n in zip(cell, grid.shape, strict=True)) and bool(grid[tuple(cell)])


@pytest.mark.parametrize(("shape", "depth"), [((9, 12, 7), 0), ((5, 2, 13), 4)])
def test_contexts_are_those_of_a_slow_reference(shape, depth):
    level, parents = pyramid(blob(shape, 2))[:2]
    contexts = LevelContexts(parents, shape, depth)
    contexts.load(level)
    cells = contexts.cells(np.argwhere(parents))
    dynamic = contexts.dynamic(contexts.places(cells.index))
    static = contexts.static(cells.index)
    assert dynamic.shape == (len(cells), DYNAMIC)
    assert static.shape == (len(cells), STATIC)
    for row, cell in zip(np.concatenate([dynamic, static], axis=1), cells.index, strict=True):
        expected = [inside(level, cell + step) for step in PAST] + [inside(parents, cell // 2 + s) for s in ABOVE]
        distances = [*cell, *(np.array(shape) - 1 - cell)]
        expected += [distance < face for distance in distances for face in FACES]
        size = sum(max(shape) > limit for limit in SIZES)
        expected += [k == size for k in range(len(SIZES) + 1)] + [k == min(depth, 2) for k in range(3)]
        assert row.tolist() == expected


def test_contexts_front_by_front_are_those_of_the_whole_level():
    shape = (11, 8, 9)
    level, parents = pyramid(blob(shape, 4))[:2]
    whole, growing = LevelContexts(parents, shape, 0), LevelContexts(parents, shape, 0)
    whole.load(level)
    cells = whole.cells(np.argwhere(parents))
    places = whole.places(cells.index)
    for start, stop in itertools.pairwise(cells.fronts):
        part = places[start:stop]
        assert np.array_equal(growing.dynamic(part), whole.dynamic(part))
        growing.mark(part[level[tuple(cells.index[start:stop].T)]])
    assert np.array_equal(growing.result(), level)


def test_filled_parents_fill_their_children():
    contexts = LevelContexts(np.ones((3, 3, 3), bool), (6, 6, 6), 0)
    contexts.fill(np.array([[1, 1, 1]]))
    assert np.argwhere(contexts.result()).tolist() == [list(c) for c in itertools.product((2, 3), repeat=3)]


def test_enclosed_parents_have_26_occupied_neighbours():
    parents = np.ones((4, 5, 3), bool)
    assert np.argwhere(LevelContexts(parents, (8, 10, 5), 0).enclosed()).tolist() == [
        [x, y, 1] for x in (1, 2) for y in (1, 2, 3)
    ]
    parents[0, 0, 0] = False
    assert not LevelContexts(parents, (8, 10, 5), 0).enclosed()[1, 1, 1]
