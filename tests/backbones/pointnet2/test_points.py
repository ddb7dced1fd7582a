"""What PointNet++ sees of a cloud."""

from __future__ import annotations

import numpy as np
import parity
import pytest

from squeeze3d.backbones.pointnet2.points import POINTS, prepare_points, unit_sphere
from squeeze3d.errors import InputError


def cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def test_normalised_points_are_the_recorded_ones():
    given = parity.arrays("parity_pointnet2_cls_ssg", network="pointnet2")
    for raw, wanted in zip(given["raw_points"], given["points"], strict=True):
        assert np.abs(unit_sphere(raw) - wanted).max() < 2e-7


@pytest.mark.parametrize("count", [5, POINTS])
def test_few_points_keep_their_order(count):
    places = cloud(count)
    found = prepare_points(places)
    assert np.array_equal(found, unit_sphere(places))
    assert np.linalg.norm(found, axis=1).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(found.mean(axis=0)).max() < 1e-6


def test_of_many_points_those_far_from_each_other_are_taken():
    places = cloud(POINTS + 500)
    found = prepare_points(places)
    assert found.shape == (POINTS, 3)
    assert len(np.unique(found, axis=0)) == POINTS
    # The farthest one from the mean comes first, and the order in the file does not matter.
    assert np.linalg.norm(found[0]) > 0.9
    assert np.array_equal(found, prepare_points(places[::-1]))


def test_size_and_place_make_no_difference():
    places = cloud(300)
    assert np.abs(unit_sphere(places * 8 + 100) - unit_sphere(places)).max() < 1e-5


@pytest.mark.parametrize("places", [np.zeros((1, 3)), np.full((9, 3), 3.0)])
def test_points_in_one_spot_are_refused(places):
    with pytest.raises(InputError, match="no extent"):
        prepare_points(places)
