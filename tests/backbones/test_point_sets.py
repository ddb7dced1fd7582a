"""Choices of points: against slow and obvious ones, ties and odd sets included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.backbones.point_sets import farthest_points, first_inside, gather


def slow_farthest(points: np.ndarray, count: int, first: int) -> list[int]:
    nearest, last, chosen = np.full(len(points), np.inf), first, []
    for _ in range(count):
        chosen.append(last)
        nearest = np.minimum(nearest, ((points - points[last]) ** 2).sum(axis=1))
        last = int(np.flatnonzero(nearest == nearest.max())[0])
    return chosen


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32), st.data())
def test_farthest_points_are_those_of_the_definition(size, count, seed, data):
    # Whole numbers: squares are exact, and many distances tie.
    points = np.random.default_rng(seed).integers(-3, 4, (2, size, 3)).astype(np.float32)
    first = data.draw(st.integers(0, size - 1))
    found = farthest_points(torch.from_numpy(points), count, first).numpy()
    assert found.tolist() == [slow_farthest(each, count, first) for each in points]


def test_more_points_than_there_are_repeat_the_first():
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]])
    assert farthest_points(points, 5, 1).tolist() == [[1, 0, 0, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**32))
def test_first_inside_lists_the_lowest_indices_and_repeats_the_first(count, size, share, seed):
    inside = np.random.default_rng(seed).random((2, 3, size)) < share
    found = first_inside(torch.from_numpy(inside), count).numpy()
    for flags, listed in zip(inside.reshape(-1, size), found.reshape(-1, count), strict=True):
        there = np.flatnonzero(flags)[:count].tolist()
        assert listed.tolist() == (there + [there[0] if there else 0] * count)[:count]


@pytest.mark.parametrize("shape", [(5,), (5, 7)])
def test_gather_takes_channels_along(shape):
    values = torch.randn(2, 3, 11)
    index = torch.randint(11, (2, *shape))
    found = gather(values, index)
    assert found.shape == (2, 3, *shape)
    assert torch.equal(found[1, 2].flatten(), values[1, 2][index[1].flatten()])


def test_choices_have_no_gradient_and_bear_nan():
    points = torch.full((1, 4, 3), float("nan"), requires_grad=True)
    assert not farthest_points(points, 3).requires_grad
    assert farthest_points(points, 3).max() < 4
