"""Recipes: Table 6 of the paper, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from squeeze3d.errors import UsageError
from squeeze3d.training.optimisers import build_optimisers
from squeeze3d.training.presets import PRESETS, preset

TABLE_6 = {
    # epochs, decay, batch, accumulation, initial and final rate, dropout, optimiser
    "openlrm": (700, 700, 16, 1, 1e-2, 1e-7, 0.35, "muon"),
    "shape": (700, None, 8, 2, 1e-4, 1e-4, 0.35, "adam"),
    "instantmesh": (700, 600, 16, 1, 1e-3, 1e-7, 0.35, "muon"),
    "nerfmae": (2000, 1000, 4, 1, 1e-2, 1e-5, 0.2, "muon"),
    "lion-1024": (4000, 1000, 16, 1, 1e-3, 1e-7, 0.3, "muon"),
    "lion-2048": (4000, 1000, 16, 1, 1e-3, 1e-7, 0.3, "muon"),
    "lion-4096": (1000, 1000, 16, 1, 1e-3, 1e-7, 0.3, "muon"),
    "lion-8192": (400, 1000, 16, 1, 1e-3, 1e-7, 0.3, "muon"),
}


@pytest.mark.parametrize("name", TABLE_6)
def test_published_presets_hold_table_6(name: str) -> None:
    r = preset(name)
    row = (r.epochs, r.decay_epochs, r.batch_size, r.accumulate, r.lr, r.final_lr, r.dropout, r.optimiser)
    assert row == TABLE_6[name]
    assert r.precision == "32"
    assert r.weight_decay == (1e-2 if name == "openlrm" else 0)


def test_optimisers_of_the_presets_hold_table_6() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(4, 4)), torch.nn.Parameter(torch.zeros(4))]
    muon, _ = build_optimisers(parameters, "muon", lr=1e-3)
    assert (muon.param_groups[0]["momentum"], muon.param_groups[0]["ns_steps"]) == (0.95, 6)
    (adam,) = build_optimisers(parameters, "adam", lr=1e-4)
    assert adam.param_groups[0]["betas"] == (0.9, 0.999)


def test_there_is_a_preset_for_every_published_network_and_a_default() -> None:
    assert set(PRESETS) == {*TABLE_6, "default", "lite", "nerfmae-code-only"}


def test_unknown_presets_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="no preset `best`"):
        preset("best")


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": float("nan")},
        {"gram_weight": float("inf")},
        {"dropout": 1.0},
        {"gram": "other"},
        {"precision": "16"},
    ],
)
def test_rejects_recipes_that_cannot_be_trained(change: dict) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(preset("default"), **change)
