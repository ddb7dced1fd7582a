"""What LION computes between its layers, against kernels of the original that were compiled for the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import parity
import pytest
import torch
from torch import Tensor

from squeeze3d.backbones.lion.operations import (
    average_voxels,
    ball_query,
    farthest_points,
    interpolate,
    read_voxels,
    three_nearest,
    voxel_coordinates,
)
from squeeze3d.backbones.point_sets import gather

CLOUDS = {"random": 64, "lattice": 64, "tiny": 16}
"""Recorded clouds and numbers of centres; the lattice has duplicates, and distances that tie or lie on spheres."""
TOLERANCE = 5e-7
"""Of numbers of order 1: sums in another order."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.arrays("parity_lion_ops", network="lion").items()}


@pytest.mark.parametrize("name", CLOUDS)
def test_farthest_points_are_the_recorded_ones(given, name):
    found = farthest_points(given[f"{name}_points"], CLOUDS[name])
    assert torch.equal(found.int(), given[f"{name}_fps_idx"])
    assert torch.equal(gather(given[f"{name}_points"], found), given[f"{name}_centers"])


@pytest.mark.parametrize("radius", [0.1, 0.2, 0.4, 0.8])
@pytest.mark.parametrize("name", CLOUDS)
def test_neighbours_are_the_recorded_ones(given, name, radius):
    found = ball_query(given[f"{name}_centers"], given[f"{name}_points"], radius, 32)
    assert torch.equal(found.short(), given[f"{name}_ball_r{radius}"])


def test_centres_without_neighbours_have_the_first_point(given):
    found = ball_query(given["none_centers"], given["random_points"], 0.2, 32)
    assert torch.equal(found.short(), given["none_ball_r0.2"])
    assert not found.any()


@pytest.mark.parametrize("name", CLOUDS)
def test_groups_are_the_recorded_ones(given, name):
    index = ball_query(given[f"{name}_centers"], given[f"{name}_points"], 0.4, 32)
    assert torch.equal(gather(given[f"{name}_features"], index)[:1], given[f"{name}_grouped_r0.4"])


@pytest.mark.parametrize("name", CLOUDS)
def test_interpolation_is_the_recorded_one(given, name):
    points, centres = given[f"{name}_points"], given[f"{name}_centers"]
    index, weights = three_nearest(points, centres)
    assert torch.equal(index.short(), given[f"{name}_nn_idx"])
    assert (weights - given[f"{name}_nn_weight"]).abs().max() < TOLERANCE
    found = interpolate(points, centres, given[f"{name}_center_features"])
    assert (found - given[f"{name}_nn_out"]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", CLOUDS)
def test_voxels_are_the_recorded_ones(given, name):
    coordinates = voxel_coordinates(given[f"{name}_points"], 8)
    assert (coordinates - given[f"{name}_norm_coords_r8"]).abs().max() < TOLERANCE
    coordinates = given[f"{name}_norm_coords_r8"]
    found = average_voxels(given[f"{name}_features"], coordinates, 8)
    assert (found - given[f"{name}_voxels_r8"]).abs().max() < TOLERANCE
    found = read_voxels(given[f"{name}_voxels_r8"], coordinates)
    assert (found - given[f"{name}_devox_r8"]).abs().max() < TOLERANCE


def test_edges_of_the_grid_are_read_as_recorded(given):
    found = read_voxels(given["edge_voxels_r8"], given["edge_coords_r8"])
    assert torch.equal(found, given["edge_devox_r8"])


def test_halves_go_to_the_even_voxel(given):
    line = given["round_in"].clamp(0, 7)
    coordinates = torch.stack([line, torch.zeros_like(line), torch.zeros_like(line)])[None]
    assert torch.equal(given["round_in"].round().int(), given["round_out"])
    grid = average_voxels(torch.ones(1, 1, len(line)), coordinates, 8)
    assert set(grid[0, 0, :, 0, 0].nonzero().flatten().tolist()) == {int(each) for each in line.round()}


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_centres_do(count):
    points, centres = torch.randn(1, 3, 5), torch.randn(1, 3, count)
    index, weights = three_nearest(points, centres)
    assert index.max() < count
    assert torch.allclose(weights.sum(dim=1), torch.ones(1, 5))
    assert (weights[:, count:] < 1e-6).all()
    features = torch.randn(1, 4, count)
    nearest = (points[:, :, :, None] - centres[:, :, None]).norm(dim=1).argmin(dim=-1)
    if count == 1:
        assert torch.allclose(interpolate(points, centres, features), gather(features, nearest), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3e38, float("inf"), float("nan")])
def test_points_without_extent_or_beyond_all_bounds_stay_in_the_grid(value):
    coordinates = voxel_coordinates(torch.full((1, 3, 9), value), 8)
    assert coordinates.min() >= 0
    assert coordinates.max() <= 7
    average_voxels(torch.ones(1, 2, 9), coordinates, 8)


def test_gradients_flow_through_features():
    points = torch.randn(1, 3, 40, dtype=torch.float64)
    features = torch.randn(1, 2, 40, dtype=torch.float64, requires_grad=True)
    coordinates, centres = voxel_coordinates(points, 4), points[:, :, :5]

    def computed(values: Tensor) -> Tensor:
        read = read_voxels(average_voxels(values, coordinates, 4), coordinates)
        return read.square().sum() + interpolate(points, centres, values[:, :, :5]).square().sum()

    assert torch.autograd.gradcheck(computed, (features,))
