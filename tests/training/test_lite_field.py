"""Training of the local decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.codecs.lite.field_net import load_field_network
from squeeze3d.codecs.lite.patches import COLUMNS, NEAR, SCALARS, STRUCTURE_COLUMNS
from squeeze3d.errors import UsageError
from squeeze3d.training.lite_field import (
    BOXES_FULL,
    FieldModel,
    Recipe,
    Run,
    export,
    field_loss,
    learning_rate,
    make_columns,
)
from squeeze3d.training.lite_patches import Pool

RECIPE = Recipe(
    width=16, depth=1, steps=40, batch=256, warmup=5, average=0.9, precision="32", sign_weight=0, difference_weight=0
)


def pool(count: int = 600) -> Pool:
    """Cells cut by planes: the structure is the half space, seen with noise-free distances."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    shift = rng.uniform(-0.5, 0.5, (count, 1))
    span = (np.arange(4) - 1.5) / 4
    subs = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(64, 3)
    structure = np.zeros((count, STRUCTURE_COLUMNS), dtype=np.uint8)
    structure[:, : len(NEAR)] = normal @ NEAR.T + shift < 0.5
    around = normal @ SCALARS.T + shift
    surface = np.abs(around) < 0.5
    return Pool(
        structure,
        np.where(surface, np.rint(around * 25), 0).astype(np.int8),
        surface,
        np.rint((normal @ subs.T + shift) * 25).astype(np.int8),
    )


def test_training_lowers_the_error(tmp_path):
    data = pool()
    run = Run(tmp_path, RECIPE, data, data)
    before = run.measure()
    run.go(every=20)
    after = run.measure()
    assert after["near@0"] < 0.8 * before["near@0"]
    assert after["near@0.15"] < 0.8 * before["near@0.15"]


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    data = pool(100)
    whole = Run(tmp_path / "whole", RECIPE, data, data)
    whole.go(every=4, until=8)
    Run(tmp_path / "parts", RECIPE, data, data).go(every=4, until=4)
    second = Run(tmp_path / "parts", RECIPE, data, data)
    assert second.step == 4
    second.go(every=4, until=8)
    for a, b in zip(whole.mean.parameters(), second.mean.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_network_does_not_take_up_a_checkpoint(tmp_path):
    data = pool(50)
    Run(tmp_path, RECIPE, data, data).go(every=1, until=1)
    with pytest.raises(UsageError, match="another network"):
        Run(tmp_path, Recipe(width=8, depth=1), data, data)


def test_the_exported_network_computes_the_same(tmp_path):
    model = FieldModel(16, 2)
    path = tmp_path / "net.safetensors"
    export(model, path)
    part = pool(20)
    columns = make_columns(part, 0.15)
    plain = columns.copy()
    plain[:, len(NEAR) : STRUCTURE_COLUMNS] *= BOXES_FULL
    with torch.no_grad():
        expected = model(torch.from_numpy(columns)).numpy()
    assert load_field_network(path)(plain) == pytest.approx(expected, abs=0.01)
    without = make_columns(part, 0.0)
    with torch.no_grad():
        expected = model(torch.from_numpy(without)).numpy()
    assert load_field_network(path)(without[:, :STRUCTURE_COLUMNS]) == pytest.approx(expected, abs=0.01)


def test_beyond_the_clip_anything_on_the_same_side_is_right():
    truth = torch.tensor([[0.9] * 32 + [-0.9] * 32])
    assert field_loss(torch.sign(truth) * 5, truth, RECIPE) == pytest.approx(0, abs=1e-6)
    assert field_loss(torch.sign(truth) * 0.5, truth, RECIPE) == pytest.approx(0.1)
    assert field_loss(-torch.sign(truth) * 5, truth, RECIPE) == pytest.approx(5.6)


@pytest.mark.parametrize("name", ["sign_weight", "difference_weight", "near_weight"])
def test_every_term_has_its_least_value_at_the_truth(name):
    truth = torch.linspace(-0.5, 0.5, 64)[None]
    recipe = Recipe(**{name: 1.0})
    at_truth = field_loss(truth, truth, recipe)
    for change in (0.05, -0.05, torch.linspace(-0.1, 0.1, 64)):
        assert field_loss(truth + change, truth, recipe) > at_truth


def test_scalars_enter_as_multiples_of_their_step():
    part = pool(30)
    columns = make_columns(part, 0.3)
    assert columns.shape == (30, COLUMNS)
    values = columns[:, STRUCTURE_COLUMNS : STRUCTURE_COLUMNS + len(SCALARS)]
    assert set(np.unique(np.rint(values / 0.3))) <= {-2, -1, 0, 1, 2}
    assert np.abs(values - part.distances / 25)[part.surface].max() <= 0.15 + 1e-6
    assert (values[~part.surface] == 0).all()
    assert (make_columns(part, 0.0)[:, STRUCTURE_COLUMNS:] == 0).all()


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    recipe = Recipe(steps=1000, warmup=100, decay=0.5, lr=1.0)
    assert learning_rate(0, recipe) == pytest.approx(0.01)
    assert learning_rate(300, recipe) == 1.0
    assert learning_rate(750, recipe) == pytest.approx(0.5)
    assert learning_rate(999, recipe) < 0.01
