"""The list of settings worth considering."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from colour_cases import coded, gradient, halves, shell

from squeeze3d.codecs.colour import ColourMode, ColourSettings, choose
from squeeze3d.codecs.colour.search import Candidate, pareto


@pytest.fixture(scope="module")
def occupied():
    return shell(14)


def test_sizes_rise_and_errors_fall(occupied):
    front = choose(occupied, gradient(occupied), np.ones(int(occupied.sum())))
    assert len(front) > 3
    for smaller, larger in itertools.pairwise(front):
        assert smaller.bytes < larger.bytes
        assert smaller.error > larger.error


def test_estimates_hold_when_the_settings_are_used(occupied):
    rgb = gradient(occupied)
    for candidate in choose(occupied, rgb, np.ones(len(rgb))):
        data, colours = coded(occupied, rgb, candidate.settings)
        assert abs(len(data) - 2 - candidate.bytes) < 0.15 * len(data) + 4
        assert ((colours.rgb.astype(float) - rgb) ** 2).mean() == pytest.approx(candidate.error)


def test_flat_parts_are_given_a_palette_and_one_colour_none(occupied):
    weights = np.ones(int(occupied.sum()))
    assert choose(occupied, halves(occupied), weights, 40)[-1].settings.mode is ColourMode.PALETTE
    flat = np.full((len(weights), 3), 255, dtype=np.uint8)
    assert [c.settings.mode for c in choose(occupied, flat, weights)] == [ColourMode.UNIFORM]


def test_budget_bounds_the_size_but_leaves_something(occupied):
    rgb, weights = gradient(occupied), np.ones(int(occupied.sum()))
    assert choose(occupied, rgb, weights, 40)[-1].bytes <= 40
    assert [c.settings.mode for c in choose(occupied, rgb, weights, 0)] == [ColourMode.UNIFORM]


def test_a_measure_of_the_caller_replaces_the_error_of_the_cells(occupied):
    rgb, weights = gradient(occupied), np.ones(int(occupied.sum()))
    front = choose(occupied, rgb, weights, error=lambda colours: 7.0 if colours.skip == 1 else 9.0)
    assert front[-1].error == 7.0
    assert front[-1].settings.skip == 1


def test_dominated_settings_are_dropped():
    a, b, c, d = (Candidate(*point, ColourSettings()) for point in ((10, 5.0), (20, 6.0), (20, 3.0), (30, 3.0)))
    assert pareto([d, c, b, a]) == [a, c]


def test_only_pyramids_take_the_sharpened_colours(occupied):
    rgb, weights = gradient(occupied), np.ones(int(occupied.sum()))
    other = np.full(rgb.shape, 77.0)
    seen = []

    def error(colours):
        seen.append((colours.mode is ColourMode.PYRAMID, float(np.abs(colours.rgb - other).mean())))
        return 0.0

    choose(occupied, rgb, weights, smooth=other, error=error)
    assert {near < 8 for smooth, near in seen if smooth} == {True}
    assert {near < 8 for smooth, near in seen if not smooth} == {False}
