"""PointNet++ computes what the original does, and its keys are those of the published file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import parity
import pytest
import torch

from squeeze3d.backbones.point_sets import farthest_points
from squeeze3d.backbones.pointnet2.encoder import COUNTERS
from squeeze3d.backbones.pointnet2.network import FrozenNorm, PointNet2, ball_query
from squeeze3d.backbones.published import shapes_of

TOLERANCE = 6e-7
"""To which an independent implementation agreed with the recorded features."""
STARTS = [0, 7]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def given() -> dict[str, torch.Tensor]:
    arrays = parity.arrays("parity_pointnet2_cls_ssg", network="pointnet2")
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


@pytest.fixture(scope="module")
def network() -> PointNet2:
    weights = parity.weights("parity_pointnet2_cls_ssg", network="pointnet2")
    made = PointNet2(whole=True)
    made.load_state_dict({key: torch.from_numpy(weights[key]) for key in made.state_dict()})
    return made.eval().requires_grad_(False)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max()) < TOLERANCE


@pytest.mark.parametrize("first", STARTS)
def test_every_choice_is_the_recorded_one(network, given, first):
    points = given["points"]
    assert torch.equal(farthest_points(points, 512, first).int(), given[f"start{first}_fps1_idx"])
    centres, _ = network.sa1(points.transpose(1, 2), None, first)
    found = ball_query(centres, points.transpose(1, 2), 0.2, 32)
    assert torch.equal(found.short(), given[f"start{first}_ball1_idx"])
    assert torch.equal(farthest_points(centres.transpose(1, 2), 128, first).int(), given[f"start{first}_fps2_idx"])
    found = ball_query(given[f"start{first}_sa2_xyz"], centres, 0.4, 64)
    assert torch.equal(found.short(), given[f"start{first}_ball2_idx"])


@pytest.mark.parametrize("first", STARTS)
def test_features_of_every_stage_are_the_recorded_ones(network, given, first):
    centres, features = network.sa1(given["points"].transpose(1, 2), None, first)
    assert torch.equal(centres, given[f"start{first}_sa1_xyz"])
    assert close(features, given[f"start{first}_sa1_feat"])
    centres, features = network.sa2(centres, features, first)
    assert torch.equal(centres, given[f"start{first}_sa2_xyz"])
    assert close(features, given[f"start{first}_sa2_feat"])
    feature = network(given["points"], first)
    assert close(feature, given[f"start{first}_feature"])
    assert close(network.classes(feature), given[f"start{first}_log_probs"])


def test_full_size_layout_is_that_of_the_published_file():
    with torch.device("meta"):
        found = shapes_of(PointNet2(whole=True))
    assert not set(found) & set(COUNTERS)
    wanted = parity.shapes("pointnet2_cls_ssg", network="pointnet2")
    assert {**found, **COUNTERS} == wanted
    assert sum(np.prod(shape, dtype=int) for key, shape in found.items() if "running" not in key) == 1_475_688
    encoder = {key for key in found if key.startswith("sa")}
    with torch.device("meta"):
        assert set(shapes_of(PointNet2())) == encoder


def test_norms_are_batch_norms_in_evaluation_mode():
    x = torch.randn(3, 5, 4, 2)
    reference, ours = torch.nn.BatchNorm2d(5), FrozenNorm(5)
    reference(10 * x + 3)
    ours.load_state_dict({key: value for key, value in reference.state_dict().items() if key != "num_batches_tracked"})
    assert torch.equal(ours.train()(x), reference.eval()(x))


@pytest.mark.parametrize("count", [1, 2, 31, 100, 600])
def test_any_number_of_points_has_a_feature(network, count):
    points = torch.rand(1, count, 3, generator=torch.Generator().manual_seed(count)) - 0.5
    feature = network(points)
    assert feature.shape == (1, 1024)
    assert torch.isfinite(feature).all()
    assert feature.min() >= 0


def test_clouds_of_a_batch_do_not_meet(network, given):
    both = network(given["points"])
    assert close(network(given["points"][1:]), both[1:])


def test_neighbours_on_the_sphere_are_inside():
    centre, points = torch.zeros(1, 3, 1), torch.tensor([[[0.5, 0.25, 0.125]], [[0.0] * 3], [[0.0] * 3]])
    assert ball_query(centre, points.transpose(0, 1), 0.25, 2).tolist() == [[[1, 2]]]
