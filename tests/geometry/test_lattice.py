"""Doubling and reading of lattices against plain interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.geometry.lattice import doubled, lattice_points, read


def linear(points: np.ndarray) -> np.ndarray:
    return points @ np.array([0.5, -2.0, 1.0]) + 3.0


def test_points_are_in_c_order():
    points = lattice_points(-1.0, 0.5, (2, 3, 4), np.array([0, 1, 4, 12, 23]))
    assert points.tolist() == [[-1, -1, -1], [-1, -1, -0.5], [-1, -0.5, -1], [-0.5, -1, -1], [-0.5, 0, 0.5]]


def test_doubling_keeps_linear_fields_and_repeats_the_border():
    shape = (3, 4, 5)
    values = linear(lattice_points(0.0, 1.0, shape, np.arange(60))).reshape(shape).astype(np.float32)
    fine = doubled(values)
    wanted = linear(lattice_points(-0.25, 0.5, fine.shape, np.arange(480))).reshape(fine.shape)
    assert np.allclose(fine[1:-1, 1:-1, 1:-1], wanted[1:-1, 1:-1, 1:-1], atol=1e-5)
    assert np.allclose(fine[0, 0, 0], values[0, 0, 0])
    assert np.allclose(fine[-1, -1, -1], values[-1, -1, -1])


def test_doubling_interpolates_between_neighbours_alone():
    values = random().normal(size=(4, 3, 5)).astype(np.float32)
    fine = doubled(values)
    assert fine.shape == (8, 6, 10)
    expected = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod([(0.75, 0.25)[k] for k in corner])
        expected += weight * values[2 - corner[0], 1 + corner[1], 3 - corner[2]]
    assert fine[4, 3, 6] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_reading_is_trilinear_inside_and_constant_outside(kind):
    shape = (4, 5, 6)
    values = np.rint(100 * linear(lattice_points(2.0, 0.5, shape, np.arange(120)))).reshape(shape).astype(kind)
    points = random(1).uniform([2, 2, 2], [3.5, 4, 4.5], (50, 3))
    assert np.allclose(read(values, 2.0, 0.5, points), 100 * linear(points), atol=0.02)
    assert read(values, 2.0, 0.5, np.array([[-9.0, -9, -9]]))[0] == values[0, 0, 0]
