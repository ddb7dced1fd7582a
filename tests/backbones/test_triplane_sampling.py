"""Triplane lookups: the folded and the lattice path against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from squeeze3d.backbones.triplane_sampling import (
    folded,
    interpolation,
    lattice_planes,
    lattice_values,
    sample_planes,
    sample_sum,
)


@pytest.fixture
def planes():
    return torch.randn(2, 3, 5, 6, 9, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def points():
    """Some of them outside of the cube."""
    return torch.rand(2, 200, 3, generator=torch.Generator().manual_seed(2)) * 2.6 - 1.3


def at_centre(planes, plane, row, column):
    """Value of a cell's centre, read without interpolation."""
    return planes[0, plane, :, row, column]


@pytest.mark.parametrize(("plane", "along_width", "along_height"), [(0, 0, 1), (1, 0, 2), (2, 2, 1)])
def test_centres_of_cells_give_the_cells_own_values(planes, plane, along_width, along_height):
    row, column = 4, 2
    point = torch.zeros(1, 1, 3)
    point[0, 0, along_width] = (2 * column + 1) / 9 - 1
    point[0, 0, along_height] = (2 * row + 1) / 6 - 1
    found = sample_planes(planes[:1], point)[0, 0].view(3, 5)[plane]
    torch.testing.assert_close(found, at_centre(planes, plane, row, column), atol=1e-5, rtol=0)


def test_values_vanish_half_a_cell_outside(planes):
    edge = torch.tensor([[[1 + 1 / 6 + 1e-4] * 3]])
    assert not sample_planes(planes[:1], edge).any()
    assert sample_planes(planes[:1], torch.ones(1, 1, 3)).any()


def test_a_linear_layer_and_the_lookup_change_places(planes, points):
    weight = torch.randn(7, 15, generator=torch.Generator().manual_seed(3))
    expected = sample_planes(planes, points) @ weight.T
    torch.testing.assert_close(sample_sum(folded(planes, weight), points), expected, atol=1e-5, rtol=0)


def test_interpolation_weights_are_those_of_the_lookup(planes):
    places = torch.linspace(-1.3, 1.3, 23)
    points = torch.zeros(1, 23, 3)
    points[0, :, 0] = places
    points[0, :, 1] = (2 * 2 + 1) / 6 - 1
    by_rows = planes[0, 0, :, 2] @ interpolation(places, 9).T
    found = sample_planes(planes[:1], points)[0, :, :5].T
    torch.testing.assert_close(by_rows, found, atol=1e-5, rtol=0)


def test_lattice_planes_sum_to_what_points_find(planes):
    places = torch.linspace(-1.1, 1.1, 8)
    xy, xz, yz = lattice_planes(planes[0], places)
    total = xy[:, :, None] + xz[:, None] + yz
    points = torch.stack(torch.meshgrid(places, places, places, indexing="ij"), dim=-1).view(1, -1, 3)
    expected = sample_sum(planes[:1], points)[0].view(8, 8, 8, -1)
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [2, 13, 40])
def test_networks_see_the_same_on_a_lattice_as_at_points(planes, count):
    torch.manual_seed(4)
    layers = [nn.Linear(15, 8), nn.Linear(8, 8), nn.Linear(8, 3)]
    places = torch.linspace(-1, 1, count)
    values = lattice_values(planes[0], layers, places, channel=2)
    points = torch.stack(torch.meshgrid(places, places, places, indexing="ij"), dim=-1).view(1, -1, 3)
    hidden = sample_planes(planes[:1], points)
    for layer in layers[:-1]:
        hidden = layer(hidden).relu()
    expected = layers[-1](hidden)[0, :, 2].view(count, count, count)
    torch.testing.assert_close(values, expected.detach(), atol=1e-5, rtol=0)


def test_the_same_values_on_any_number_of_threads(planes):
    torch.manual_seed(5)
    layers = [nn.Linear(15, 8), nn.Linear(8, 8), nn.Linear(8, 1)]
    places = torch.linspace(-1, 1, 33)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(lattice_values(planes[0], layers, places))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert not found[0].requires_grad


def test_errors_of_threads_arrive_and_leave_the_number_of_threads(planes):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError):
            lattice_values(planes[0], [nn.Linear(15, 8), nn.Linear(7, 8), nn.Linear(8, 1)], torch.linspace(-1, 1, 9))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
