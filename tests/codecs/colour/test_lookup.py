"""Colours between cells, and cells from points."""

from __future__ import annotations

import numpy as np
import pytest
from colour_cases import coded, gradient, halves, shell

from squeeze3d.codecs.colour import ColourMode, ColourSettings, cell_means, lookup


def test_centres_of_cells_have_the_colours_of_the_cells():
    occupied = shell(16)
    for setting in (
        ColourSettings(step=4),
        ColourSettings(ColourMode.PALETTE, entries=5),
        ColourSettings(ColourMode.SUM, entries=3, step=8),
        ColourSettings(ColourMode.UNIFORM),
    ):
        _, colours = coded(occupied, gradient(occupied), setting)
        found = lookup(colours, np.argwhere(occupied)) * 255
        # The cells' bytes come from the integer transform, which rounds twice.
        assert np.abs(found - colours.rgb).max() <= 1.5


def test_a_point_between_two_cells_takes_their_mean():
    occupied = np.zeros((4, 4, 4), dtype=bool)
    occupied[1, 2, 2] = occupied[2, 2, 2] = True
    _, colours = coded(
        occupied, np.array([[0, 0, 0], [200, 200, 200]], dtype=np.uint8), ColourSettings(step=1, strength=0)
    )
    near, middle, far = lookup(colours, np.array([[1.0, 2, 2], [1.5, 2, 2], [2.25, 2, 2]])) * 255
    np.testing.assert_allclose(near, 0, atol=2)
    np.testing.assert_allclose(middle, 100, atol=2)
    np.testing.assert_allclose(far, 200, atol=2)  # Nothing but that cell is occupied around it.


def test_palette_entries_pass_into_each_other_between_cells():
    occupied = np.ones((8, 4, 4), dtype=bool)
    _, colours = coded(occupied, halves(occupied), ColourSettings(ColourMode.PALETTE, entries=2))
    found = lookup(colours, np.array([[3.0, 1, 1], [3.25, 1, 1], [4.0, 1, 1]])) * 255
    first, last = np.array([220, 30, 20]), np.array([20, 40, 200])
    np.testing.assert_allclose(found, [first, 0.75 * first + 0.25 * last, last], atol=2.5)


def test_points_far_from_all_cells_take_coarser_colours():
    occupied = np.zeros((16, 16, 16), dtype=bool)
    occupied[0, 0, 0] = occupied[15, 15, 15] = True
    _, colours = coded(
        occupied, np.array([[0, 0, 0], [255, 255, 255]], dtype=np.uint8), ColourSettings(step=1, strength=0)
    )
    low, high = lookup(colours, np.array([[3.0, 3, 3], [13.0, 13, 13]])) * 255
    assert low.max() < 60
    assert high.min() > 195
    assert np.isfinite(lookup(colours, np.array([[-1e9, 1e9, np.nan]]))).all()


@pytest.mark.parametrize("mode", [ColourMode.PYRAMID, ColourMode.PALETTE])
def test_left_out_levels_agree_with_interpolated_cells(mode):
    occupied = np.ones((16, 16, 16), dtype=bool)
    _, colours = coded(occupied, gradient(occupied), ColourSettings(mode, step=2, skip=1, entries=16))
    inner = np.all((np.argwhere(occupied) > 0) & (np.argwhere(occupied) < 15), axis=1)
    found = lookup(colours, np.argwhere(occupied)[inner]) * 255
    assert np.abs(found - colours.rgb[inner]).mean() < 1.0


def test_means_are_those_of_the_points_of_a_cell():
    points = np.array([[0.1, 0, 0], [-0.4, 0.3, 0], [2.2, 1, 1]])
    occupied, rgb, weights = cell_means(points, np.array([[10, 0, 0], [20, 0, 0], [7, 8, 9]]), (3, 2, 2))
    assert np.argwhere(occupied).tolist() == [[0, 0, 0], [2, 1, 1]]
    assert rgb.tolist() == [[15, 0, 0], [7, 8, 9]]
    assert weights.tolist() == [2, 1]


def test_points_on_the_far_faces_belong_to_the_last_cells():
    occupied, _, weights = cell_means(np.array([[3.5, 9, -7]]), np.array([[1, 2, 3]]), (4, 4, 4))
    assert np.argwhere(occupied).tolist() == [[3, 3, 0]]
    assert weights.tolist() == [1]
