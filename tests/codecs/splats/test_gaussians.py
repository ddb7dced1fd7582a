"""Shapes survive their canonical spelling."""

from __future__ import annotations

import numpy as np
import pytest
from splat_samples import scene

from squeeze3d.assets.splats import Splats
from squeeze3d.codecs.splats.gaussians import MAX_ALPHA, Gaussians, from_splats, to_splats


def covariances(gaussians: Gaussians) -> np.ndarray:
    factors = gaussians.axes * np.exp(gaussians.logs)[:, None, :]
    return factors @ factors.transpose(0, 2, 1)


def test_covariances_and_colours_stay():
    splats = scene(300, degree=2)
    first = from_splats(splats)
    again = from_splats(to_splats(first))
    assert np.allclose(covariances(first), covariances(again), rtol=1e-4, atol=1e-9)
    assert np.allclose(first.colours, again.colours, atol=1e-5)
    assert np.allclose(np.minimum(first.alpha, MAX_ALPHA), again.alpha, atol=1e-5)


def test_axes_are_rotations_with_the_longest_first():
    gaussians = from_splats(scene(300))
    assert np.allclose(np.linalg.det(gaussians.axes), 1)
    assert (np.diff(gaussians.logs, axis=1) <= 0).all()


def test_a_quaternion_and_its_negative_are_one_shape():
    splats = scene(50)
    turned = Splats(
        splats.positions, splats.sh_dc, splats.sh_rest, splats.opacity, splats.scales, -3 * splats.rotations
    )
    assert np.allclose(covariances(from_splats(splats)), covariances(from_splats(turned)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("rotation", [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, -1), (1e-30, 0, 0, 0), (1e20, 0, 0, 1e20)])
def test_odd_quaternions_are_rotations(rotation):
    one = scene(1)
    odd = Splats(one.positions, one.sh_dc, one.sh_rest, one.opacity, one.scales, np.array([rotation], dtype=np.float32))
    gaussians = from_splats(odd)
    assert np.allclose(gaussians.axes[0] @ gaussians.axes[0].T, np.eye(3))
    assert np.isfinite(to_splats(gaussians).rotations).all()


def test_extreme_values_stay_finite():
    one = scene(4)
    huge = Splats(
        one.positions, one.sh_dc, one.sh_rest, np.float32([1e30, -1e30, 88, 0]), 1e3 * one.scales - 500, one.rotations
    )
    back = to_splats(from_splats(huge))
    assert np.isfinite(back.scales).all()
    assert np.isfinite(back.opacity).all()
