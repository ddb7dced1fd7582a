"""Taubin smoothing."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.geometry.isosurface import isosurface
from squeeze3d.geometry.smoothing import taubin


def rough_ball(noise: float):
    axis = np.arange(24) - 11.5
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    wobble = np.random.default_rng(0).standard_normal(radius.shape) * noise
    positions, triangles = isosurface((radius - 8 + wobble).astype(np.float32))
    return positions - np.float32(11.5), triangles


def test_ripple_goes_and_size_stays():
    positions, triangles = rough_ball(0.2)
    smooth = np.linalg.norm(taubin(positions, triangles, 20), axis=1)
    assert smooth.std() < 0.6 * np.linalg.norm(positions, axis=1).std()
    assert smooth.mean() == pytest.approx(8.0, abs=0.1)


@pytest.mark.parametrize(("steps", "inflate"), [(1, 0.53), (20, 0.53), (120, 0.54), (200, 0.54)])
def test_it_equals_one_step_after_the_other(steps, inflate):
    positions, triangles = rough_ball(0.2)
    neighbours = [set() for _ in positions]
    for triangle in triangles.tolist():
        for vertex in triangle:
            neighbours[vertex] |= set(triangle) - {vertex}
    width = max(map(len, neighbours))
    rows = np.array([[*sorted(near), *[own] * (width - len(near))] for own, near in enumerate(neighbours)])
    counts = np.array([len(near) for near in neighbours])[:, None]
    slow = positions.astype(np.float64)
    for _ in range(steps):
        for weight in (0.5, -inflate):
            means = (slow[rows].sum(axis=1) - (width - counts) * slow) / counts
            slow = slow + weight * (means - slow)
    assert np.abs(taubin(positions, triangles, steps, inflate) - slow).max() < 0.01


def test_no_steps_change_nothing():
    positions, triangles = rough_ball(0.2)
    assert np.array_equal(taubin(positions, triangles, 0), positions)


def test_vertices_without_triangles_stay():
    positions, triangles = rough_ball(0.0)
    lonely = np.concatenate([positions, [[50, 60, 70]]]).astype(np.float32)
    assert np.array_equal(taubin(lonely, triangles, 3)[-1], lonely[-1])


def test_the_input_is_left_alone():
    positions, triangles = rough_ball(0.1)
    before = positions.copy()
    taubin(positions, triangles, 2)
    assert np.array_equal(positions, before)
