"""Training of the local decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_runs import FIELD, field_run, planes

from squeeze3d.codecs.lite.field_net import load_field_network
from squeeze3d.codecs.lite.patches import COLUMNS, NEAR, SCALARS, STRUCTURE_COLUMNS
from squeeze3d.training.lite_field import BOXES_FULL, FieldModel, Recipe, export, field_loss, make_columns


def test_training_lowers_the_error(tmp_path):
    run = field_run(tmp_path, steps=40, objects=600)
    before = run.measure()
    run.go(every=20)
    after = run.measure()
    assert after["near@0"] < 0.8 * before["near@0"]
    assert after["near@0.15"] < 0.8 * before["near@0.15"]


def test_the_exported_network_computes_the_same(tmp_path):
    model = FieldModel(16, 2)
    path = tmp_path / "net.safetensors"
    export(model, path)
    part = planes(20)
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
    assert field_loss(torch.sign(truth) * 5, truth, FIELD) == pytest.approx(0, abs=1e-6)
    assert field_loss(torch.sign(truth) * 0.5, truth, FIELD) == pytest.approx(0.1)
    assert field_loss(-torch.sign(truth) * 5, truth, FIELD) == pytest.approx(5.6)


@pytest.mark.parametrize("name", ["sign_weight", "difference_weight", "near_weight"])
def test_every_term_has_its_least_value_at_the_truth(name):
    truth = torch.linspace(-0.5, 0.5, 64)[None]
    recipe = Recipe(**{name: 1.0})
    at_truth = field_loss(truth, truth, recipe)
    for change in (0.05, -0.05, torch.linspace(-0.1, 0.1, 64)):
        assert field_loss(truth + change, truth, recipe) > at_truth


def test_scalars_enter_as_multiples_of_their_step():
    part = planes(30)
    columns = make_columns(part, 0.3)
    assert columns.shape == (30, COLUMNS)
    values = columns[:, STRUCTURE_COLUMNS : STRUCTURE_COLUMNS + len(SCALARS)]
    assert set(np.unique(np.rint(values / 0.3))) <= {-2, -1, 0, 1, 2}
    assert np.abs(values - part.distances / 25)[part.surface].max() <= 0.15 + 1e-6
    assert (values[~part.surface] == 0).all()
    assert (make_columns(part, 0.0)[:, STRUCTURE_COLUMNS:] == 0).all()
