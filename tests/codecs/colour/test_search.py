"""The search for settings that make the most of a number of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from colour_cases import coded, gradient, halves, shell

from squeeze3d.codecs.colour import CellAims, ColourMode, ColourSearch, ColourSettings
from squeeze3d.codecs.colour.cells import Hierarchy


@pytest.fixture(scope="module")
def occupied():
    return shell(14)


def search(occupied, rgb) -> ColourSearch:
    full = Hierarchy(occupied)
    return ColourSearch(full, CellAims(full, rgb, np.ones(len(rgb))))


def modes(candidates) -> list[ColourMode]:
    return [candidate.settings.mode for candidate in candidates]


def test_the_best_comes_first(occupied):
    found = search(occupied, gradient(occupied)).fill(120)
    errors = [candidate.error for candidate in found]
    assert len(found) > 3
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 4


def test_more_bytes_never_look_worse(occupied):
    one = search(occupied, gradient(occupied))
    errors = [one.fill(budget)[0].error for budget in (10, 40, 160, 640)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


def test_estimates_hold_when_the_settings_are_used(occupied):
    rgb = gradient(occupied)
    for candidate in search(occupied, rgb).fill(300)[:6]:
        data, colours = coded(occupied, rgb, candidate.settings)
        assert abs(len(data) - 2 - candidate.bytes) < 0.15 * len(data) + 4
        assert ((colours.rgb.astype(float) - rgb) ** 2).mean() == pytest.approx(candidate.error)


def test_the_budget_is_kept_and_used(occupied):
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (int(occupied.sum()), 3)).astype(np.uint8)
    best = search(occupied, noise).fill(150)[0]
    assert 100 < best.bytes <= 150


def test_flat_parts_are_given_a_palette_and_one_colour_none(occupied):
    assert search(occupied, halves(occupied)).fill(40)[0].settings.mode is ColourMode.PALETTE
    flat = np.full((int(occupied.sum()), 3), 255, dtype=np.uint8)
    assert modes(search(occupied, flat).fill(1000)) == [ColourMode.UNIFORM]


def test_without_room_the_smallest_setting_is_left(occupied):
    assert modes(search(occupied, gradient(occupied)).fill(0)) == [ColourMode.UNIFORM]


def test_a_quick_search_tries_less_and_keeps_the_budget(occupied):
    rgb = gradient(occupied)
    thorough, quick = search(occupied, rgb).fill(80), search(occupied, rgb).fill(80, quick=True)
    assert len(quick) < len(thorough)
    assert thorough[0].error <= quick[0].error
    assert quick[0].bytes <= 80


def test_settings_of_a_level_that_is_not_there_count_as_the_coarsest():
    occupied = np.ones((2, 1, 1), dtype=bool)
    rgb = np.array([[0, 0, 0], [255, 255, 255]])
    assert search(occupied, rgb).fill(100, skips=(5, 6))[0].settings == ColourSettings(ColourMode.UNIFORM)
