"""Training of the structure network, in miniature."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from toy_runs import STRUCTURE, grids, structure_run

from squeeze3d.codecs.lite.context_net import load_net, odds_costs
from squeeze3d.codecs.lite.pyramid import DYNAMIC, FEATURES, OCTANTS
from squeeze3d.codecs.lite.structure import WEIGHTS, check_net, structure_bits
from squeeze3d.errors import UsageError
from squeeze3d.training.context_mlp import ContextMLP, cost
from squeeze3d.training.lite_contexts import sample, turned
from squeeze3d.training.lite_data import DESCRIPTION, FORMAT_VERSION, is_validation
from squeeze3d.training.lite_structure import StructureRun, load_grids, train_structure

GRIDS = grids()


def test_the_integer_network_is_the_rounded_one():
    torch.manual_seed(3)
    model = ContextMLP(40, (20, 10), 2, groups=3, common=15)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.rounding = True
    contexts = torch.randint(0, 2, (3, 200, 40)).float()
    log_odds = model(contexts)
    net = model.export()
    first = net.layers[0].weights
    assert (first[0, :, :15] == first[1, :, :15]).all()
    assert (first[0, :, 15:] != first[1, :, 15:]).any()
    for group in range(3):
        tables = net.choose(contexts[group].numpy(), group)
        assert np.array_equal(tables, np.clip(np.floor(4 * log_odds[group].detach().numpy()) + 64, 0, 127))
        assert len(np.unique(tables)) > 10


def test_gradients_pass_the_rounding():
    model = ContextMLP(6, (4,), groups=2)
    model.rounding = True
    cost(model(torch.ones(2, 5, 6)), torch.ones(2, 5, 1)).sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
    assert model.biases[-1].grad.abs().sum() > 0


def test_costs_are_bits():
    odds = torch.tensor([3.125, -1.625])
    tables = np.floor(4 * odds.numpy()).astype(int) + 64
    found = cost(odds, torch.tensor([1.0, 1.0])).numpy()
    assert np.allclose(found, odds_costs()[tables, 1], atol=1e-3)


def test_turning_keeps_the_cells():
    random = np.random.default_rng(0)
    shapes = set()
    for _ in range(40):
        grid = turned(GRIDS[0], random)
        assert grid.sum() == GRIDS[0].sum()
        shapes.add(grid.shape)
    assert len(shapes) == 6


def test_samples_are_the_cells_that_are_coded():
    samples = sample([GRIDS[0]], np.random.default_rng(0), count=10**9, turn=False)
    assert len(samples) == len(OCTANTS)
    model = ContextMLP(FEATURES, (8, 4), groups=len(OCTANTS), common=DYNAMIC)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    net = model.export()
    bits = 0.0
    for group, part in enumerate(samples):
        contexts = part.unpacked(np.arange(len(part.outcomes))).astype(np.float32)
        bits += odds_costs()[net.choose(contexts, group)[:, 0], part.outcomes].sum()
    # What is left is the root and the flags of enclosed parents.
    assert 0 <= structure_bits(GRIDS[0], net) - bits < 0.1


def test_fewer_samples_on_request():
    samples = sample(GRIDS, np.random.default_rng(0), count=100)
    assert 100 < sum(len(part.outcomes) for part in samples) < 300


def test_training_lowers_the_bits(tmp_path):
    run = structure_run(tmp_path, steps=150)
    before = run.validate(GRIDS)
    run.go(every=150)
    assert run.validate(GRIDS) < 0.5 * before


def test_refuses_to_train_on_nothing(tmp_path):
    with pytest.raises(UsageError, match="no grids"):
        StructureRun(tmp_path, STRUCTURE, [], steps=1)


def test_packed_data_become_a_network_and_the_run_says_how_it_goes(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps({"version": FORMAT_VERSION}))
    names = {is_validation(str(number)): str(number) for number in range(50)}
    arrays = {}
    for name, grid in zip(names.values(), GRIDS, strict=True):
        arrays |= {f"{name}|occupied": np.packbits(grid), f"{name}|shape": grid.shape, f"{name}|tau": 1.0}
    np.savez(folder / "structures-16-000.npz", **arrays)
    assert [len(load_grids(folder, split)) for split in ("train", "validation")] == [1, 1]
    told: list[str] = []
    path = train_structure(folder, tmp_path / "run", recipe=STRUCTURE, steps=2, say=told.append)
    assert path == tmp_path / "run" / WEIGHTS
    assert [layer.weights.shape[1] for layer in check_net(load_net(path)).layers] == [*STRUCTURE.hidden, 1]
    assert any("step 2 of 2" in line for line in told)
    assert "bytes per grid of the validation split" in told[-1]
