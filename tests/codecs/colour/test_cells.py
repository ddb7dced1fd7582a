"""Levels, neighbours and interpolation against slow, obvious versions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from squeeze3d.codecs.colour.cells import CENTRE, OFFSETS, Hierarchy, interpolated


@pytest.fixture(scope="module")
def hierarchy():
    return Hierarchy(np.random.default_rng(5).random((7, 4, 10)) < 0.3)


def test_a_cell_is_occupied_where_a_child_is(hierarchy):
    for coarse, fine in itertools.pairwise(hierarchy.levels):
        halves = {tuple(cell) for cell in (fine.cells // 2).tolist()}
        assert {tuple(cell) for cell in coarse.cells.tolist()} == halves
        np.testing.assert_array_equal(coarse.cells[fine.parents], fine.cells // 2)
    assert hierarchy.levels[0].cells.tolist() == [[0, 0, 0]]
    assert hierarchy.levels[0].shape == (1, 1, 1)


def test_neighbours_are_the_cells_around(hierarchy):
    for level in hierarchy.levels:
        number = {tuple(cell): k for k, cell in enumerate(level.cells.tolist())}
        for cell, row in zip(level.cells, level.neighbours, strict=True):
            assert row.tolist() == [number.get(tuple(cell + offset), level.count) for offset in OFFSETS]
    assert OFFSETS[CENTRE].tolist() == [0, 0, 0]


def test_passes_hold_each_cell_once_and_no_two_that_touch(hierarchy):
    for level in hierarchy.levels:
        assert sorted(np.concatenate(level.passes).tolist()) == list(range(level.count))
        for cells in level.passes:
            inside = np.zeros(level.count + 1, dtype=bool)
            inside[cells] = True
            assert inside[level.neighbours[cells]].sum() == len(cells)


def test_every_parent_has_one_first_child(hierarchy):
    for coarse, fine in itertools.pairwise(hierarchy.levels):
        assert sorted(fine.parents[fine.first].tolist()) == list(range(coarse.count))


def test_interpolation_weighs_near_parents_three_to_one(hierarchy):
    random = np.random.default_rng(6)
    for coarse, fine in itertools.pairwise(hierarchy.levels):
        values = random.integers(-300, 300, (coarse.count, 3))
        known = {tuple(cell): value for cell, value in zip(coarse.cells.tolist(), values.tolist(), strict=True)}
        expected = []
        for cell in fine.cells.tolist():
            total, sums = 0, [0, 0, 0]
            for far in itertools.product((0, 1), repeat=3):
                place = tuple(c // 2 + f * (1 if c % 2 else -1) for c, f in zip(cell, far, strict=True))
                if place in known:
                    weight = 3 ** (3 - sum(far))
                    total += weight
                    sums = [s + weight * v for s, v in zip(sums, known[place], strict=True)]
            expected.append([(2 * s + total) // (2 * total) for s in sums])
        assert interpolated(fine, coarse, values).tolist() == expected


def test_a_constant_stays_constant(hierarchy):
    coarse, fine = hierarchy.levels[-2:]
    assert (interpolated(fine, coarse, np.full((coarse.count, 2), -37)) == -37).all()


def test_pooled_means_keep_the_weighted_mean(hierarchy):
    random = np.random.default_rng(7)
    values, weights = random.random((hierarchy.count, 3)), random.random(hierarchy.count)
    weights[::3] = 0
    for means, totals in hierarchy.pooled(values, weights):
        np.testing.assert_allclose(totals.sum(), weights.sum())
        np.testing.assert_allclose(totals @ means, weights @ values)
