"""Farthest point sampling covers evenly from the start, and agrees with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.geometry.farthest_points import farthest_points


def reference(points: np.ndarray, count: int) -> list[int]:
    chosen = [int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax())]
    while len(chosen) < count:
        distances = ((points[:, None] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    return chosen


def test_agrees_with_the_definition():
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    assert farthest_points(points, 20).tolist() == reference(points, 20)


def test_a_longer_choice_begins_with_the_shorter_one():
    points = np.random.default_rng(1).normal(size=(200, 3))
    assert farthest_points(points, 50)[:20].tolist() == farthest_points(points, 20).tolist()


def test_every_point_comes_once_before_any_comes_twice():
    points = np.repeat(np.random.default_rng(2).normal(size=(4, 3)), 3, axis=0)
    chosen = farthest_points(points, 30)
    assert sorted(chosen[:12]) == list(range(12))
    assert chosen[12:24].tolist() == chosen[:12].tolist()
    assert len({tuple(point) for point in points[chosen[:4]]}) == 4


def test_one_point_is_chosen_again_and_again():
    assert farthest_points(np.zeros((1, 3)), 5).tolist() == [0] * 5


def test_refuses_no_points():
    with pytest.raises(ValueError, match="no points"):
        farthest_points(np.zeros((0, 3)), 5)
