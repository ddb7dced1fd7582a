"""Floods on small lattices against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.geometry.flood import DEPTH, Outside
from squeeze3d.geometry.lattice import lattice_points

SHAPE = (20, 16, 18)
POINTS = lattice_points(0.0, 0.5, SHAPE, np.arange(np.prod(SHAPE)))


def shell(radius: float, centre: tuple[float, float, float] = (5, 4, 4.5)) -> np.ndarray:
    """Distances to a sphere."""
    return np.abs(np.linalg.norm(POINTS - centre, axis=1) - radius).reshape(SHAPE).astype(np.float32)


@pytest.mark.parametrize("tau", [0.4, 0.75, 1.0])
def test_powers_match_brute_force(tau):
    distance = shell(2.3)
    outside = Outside.flood(distance, tau, 0.0, 0.5)
    centre_distance = np.linalg.norm(POINTS - (5, 4, 4.5), axis=1)
    centres = (distance.reshape(-1) > tau) & (centre_distance > 2.3)
    radii = np.minimum(distance.reshape(-1)[centres], tau + 0.5)
    chosen = np.flatnonzero((centre_distance < 3.5) & (centre_distance > 2.3 - DEPTH))
    for index in random().permutation(chosen)[:60]:
        squared = ((POINTS[centres] - POINTS[index]) ** 2).sum(axis=1)
        assert outside.lattice().reshape(-1)[index] == pytest.approx((squared - radii**2).min(), abs=0.01)


@pytest.mark.parametrize("tau", [0.4, 1.0])
def test_covers_the_outside_and_not_the_inside(tau):
    outside = Outside.flood(shell(2.3), tau, 0.0, 0.5)
    directions = random(2).normal(size=(300, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for radius, covered in ((2.75, True), (1.85, False), (0.5, False)):
        assert ((outside.at(np.array([5, 4, 4.5]) + radius * directions) < 0) == covered).all()


def test_depth_is_that_below_the_outside():
    outside = Outside.flood(shell(2.3), 0.75, 0.0, 0.5)
    for depth in (0.2, 0.4, 0.6):
        place = np.array([[5.0, 4.0, 4.5 + 2.3 - depth]])
        assert outside.depth(outside.at(place))[0] == pytest.approx(depth, abs=0.12)
    assert outside.depth(outside.at(np.array([[5.0, 4.0, 4.5]])))[0] == DEPTH
    assert outside.depth(outside.at(np.array([[5.0, 4.0, 0.0]])))[0] < 0


def test_holes_narrower_than_the_ball_are_closed():
    """A sphere with a round hole of radius 0.7."""
    distance = shell(2.3).reshape(-1)
    rim_height = np.sqrt(2.3**2 - 0.7**2)
    offset = POINTS - (5, 4, 4.5)
    across = np.hypot(offset[:, 0], offset[:, 1])
    in_hole = (across < 0.7 / rim_height * offset[:, 2]) & (offset[:, 2] > 0)
    rim = np.hypot(across - 0.7, offset[:, 2] - rim_height)
    distance = np.where(in_hole, rim, distance).reshape(SHAPE).astype(np.float32)
    inside = np.array([[5.0, 4.0, 4.5]])
    assert Outside.flood(distance, 1.0, 0.0, 0.5).at(inside)[0] > 0
    assert Outside.flood(distance, 0.4, 0.0, 0.5).at(inside)[0] < 0
