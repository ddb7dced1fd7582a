"""The distance between clouds is what its formula says, and its gradient brings points nearer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.backbones.cloud_distance import COLOUR, FAR, Target

RANDOM = np.random.default_rng(3)
GIVEN = RANDOM.uniform(-1, 1, (50, 3)).astype(np.float32)
SHOWN = RANDOM.uniform(0, 1, (50, 3)).astype(np.float32)


def length(squared: np.ndarray) -> float:
    return float((np.sqrt(squared + 1e-6) - 1e-3 + FAR * squared).mean())


def test_agrees_with_all_pairs():
    places = RANDOM.uniform(-1, 1, (30, 3)).astype(np.float32)
    colours = RANDOM.uniform(0, 1, (30, 3)).astype(np.float32)
    squared = ((places[:, None] - GIVEN) ** 2).sum(axis=2)
    geometry = length(squared.min(axis=1)) + length(squared.min(axis=0))
    there, back = squared.argmin(axis=1), squared.argmin(axis=0)
    shown = np.abs(colours - SHOWN[there]).mean() + np.abs(SHOWN - colours[back]).mean()
    found = Target(GIVEN, SHOWN)(torch.from_numpy(places), torch.from_numpy(colours))
    assert float(found) == pytest.approx(geometry + COLOUR * shown, rel=1e-5)


def test_a_cloud_is_at_no_distance_from_itself():
    assert float(Target(GIVEN, SHOWN)(torch.from_numpy(GIVEN), torch.from_numpy(SHOWN))) == pytest.approx(0, abs=1e-6)


def test_without_colours_only_places_count():
    target = Target(GIVEN, None)
    places = torch.from_numpy(GIVEN + 0.01)
    assert float(target(places, torch.zeros(50, 3))) == float(target(places, torch.ones(50, 3)))


def test_gradients_bring_points_and_colours_nearer():
    target = Target(GIVEN, SHOWN)
    places = torch.from_numpy(RANDOM.uniform(-1, 1, (40, 3)).astype(np.float32)).requires_grad_()
    colours = torch.full((40, 3), 0.5, requires_grad=True)
    before = target.parts(places, colours)
    optimiser = torch.optim.Adam([places, colours], lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        target(places, colours).backward()
        optimiser.step()
    after = target.parts(places, colours)
    assert float(after[0]) < 0.7 * float(before[0])
    assert float(after[1]) < 0.7 * float(before[1])


def test_coincident_points_are_no_trouble():
    one = np.zeros((3000, 3), dtype=np.float32)
    places = torch.zeros(3000, 3, requires_grad=True)
    found = Target(one, None)(places, torch.zeros(3000, 3))
    found.backward()
    assert float(found) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(places.grad).all()
