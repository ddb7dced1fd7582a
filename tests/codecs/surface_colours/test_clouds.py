"""Colours of clouds that a generator made."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.assets.points import PointCloud
from squeeze3d.codecs.surface_colours import (
    apply_cloud_colours,
    decode_surface_colours,
    encode_cloud_colours,
)
from squeeze3d.codecs.surface_colours import encode as encoding
from squeeze3d.codecs.surface_colours.clouds import MOST_NEIGHBOURS, _colours_around
from squeeze3d.codecs.surface_colours.layout import Kind

LEFT, RIGHT = np.array([220, 40, 30]), np.array([30, 60, 200])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CLOSER", 1), ("TRIED", 1), ("SERIES", ((Kind.VOLUME, 2), (Kind.VIEWS, 0)))):
        monkeypatch.setattr(encoding, name, value)


def ball(count: int, seed: int = 0) -> np.ndarray:
    places = np.random.default_rng(seed).normal(size=(count, 3))
    return (places / np.linalg.norm(places, axis=1, keepdims=True)).astype(np.float32)


def painted(places: np.ndarray) -> PointCloud:
    rgba = np.full((len(places), 4), 255, np.uint8)
    rgba[:, :3] = np.where(places[:, :1] < 0, LEFT, RIGHT)
    return PointCloud(places, rgba)


def coded(budget: int, generated: PointCloud, original: PointCloud) -> PointCloud:
    data = encode_cloud_colours(generated, original, budget, half_extent=1.0)
    assert data is not None
    assert len(data) <= budget
    colours = decode_surface_colours(data)
    assert colours.layout.kind is Kind.VOLUME
    return apply_cloud_colours(generated, colours, half_extent=1.0)


def test_points_show_the_colours_of_the_original_there():
    generated = PointCloud(1.02 * ball(400, 1))
    errors = []
    for budget in (30, 100):
        back = coded(budget, generated, painted(ball(1000)))
        assert back.positions is generated.positions
        assert (back.colours[:, 3] == 255).all()
        errors.append(np.abs(back.colours[:, :3] - painted(generated.positions).colours[:, :3].astype(int)).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 15


def test_points_that_move_in_the_last_bits_show_the_same():
    generated = PointCloud(ball(500, 1))
    data = encode_cloud_colours(generated, painted(ball(2000)), 40, half_extent=1.0)
    assert data == encode_cloud_colours(generated, painted(ball(2000)), 40, half_extent=1.0)
    colours = decode_surface_colours(data)
    moved = PointCloud(np.nextafter(generated.positions, np.float32(2)))
    first, second = (apply_cloud_colours(each, colours, half_extent=1.0).colours for each in (generated, moved))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_where_originals_are_denser_colours_are_means():
    original = painted(ball(6400))
    original.colours[::2, :3], original.colours[1::2, :3] = 0, 200
    found = _colours_around(ball(100, 1).astype(np.float64), original)
    assert found.shape == (100, 3)
    assert found.mean() == pytest.approx(100, abs=10)
    assert found.std() < 200 / 2 / np.sqrt(MOST_NEIGHBOURS) * 1.5
    alone = _colours_around(original.positions.astype(np.float64), original)
    np.testing.assert_array_equal(alone, original.colours[:, :3])


@pytest.mark.parametrize("budget", [0, 8])
def test_nothing_fits_into_next_to_nothing(budget):
    assert encode_cloud_colours(PointCloud(ball(50)), painted(ball(60)), budget) is None


def test_few_points_and_one_place_do():
    for generated in (PointCloud(np.zeros((1, 3), np.float32)), PointCloud(np.full((9, 3), 5, np.float32))):
        back = coded(40, generated, painted(ball(60)))
        assert len(back.colours) == len(generated.positions)
