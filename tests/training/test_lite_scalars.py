"""Training of the context network of the scalars."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.lite.cells import surface_cells
from squeeze3d.codecs.lite.context_net import cascade_bits
from squeeze3d.codecs.lite.patches import SCALARS
from squeeze3d.codecs.lite.scalars import PASSES, decode_scalars, encode_scalars, scalar_bits
from squeeze3d.codecs.lite.steps import SYMBOLS, quantise
from squeeze3d.errors import UsageError
from squeeze3d.training.context_mlp import cost
from squeeze3d.training.lite_data import UNIT
from squeeze3d.training.lite_patches import Pool, join, sample_surface_cells
from squeeze3d.training.lite_scalars import Recipe, ScalarTraining, decisions_of, known_offsets, samples

RECIPE = Recipe(hidden=(16, 8), batch=256, rate=1e-2)


def wave(phase: float):
    """Structure below a wavy height field, and distances at its surface cells."""
    axis = np.arange(14.0)
    height = 6 + 2.5 * np.sin(axis[:, None] / 3 + phase) * np.cos(axis / 4)
    distance = axis - height[:, :, None]
    occupied = distance < 0.5
    return occupied, np.clip(distance[tuple(surface_cells(occupied).T)], -0.6, 0.6)


def pool() -> Pool:
    rng = np.random.default_rng(0)
    grids = [wave(phase) for phase in (0.0, 1.0, 2.0, 3.0)]
    return join(
        sample_surface_cells(occupied, np.rint(signed / UNIT).astype(np.int8), 300, rng) for occupied, signed in grids
    )


def test_training_lowers_the_bits_and_the_result_codes(tmp_path):
    data = pool()
    run = ScalarTraining(data, tmp_path, RECIPE, steps=80)
    before = run.validate(data)
    run.run()
    after = run.validate(data)
    assert all(after[name] < 0.9 * before[name] for name in before)
    net = run.export()
    occupied, signed = wave(0.5)
    scalars = quantise(signed, 2)
    encoder = SymbolEncoder()
    encode_scalars(encoder, occupied, scalars, 2, net=net)
    data_bytes = encoder.finish()
    assert np.array_equal(decode_scalars(SymbolDecoder(data_bytes), occupied, 2, net=net), scalars)
    assert scalar_bits(occupied, scalars, 2, net=net) < len(scalars) * np.log2(SYMBOLS[2])


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    data = pool()
    whole = ScalarTraining(data, tmp_path / "whole", RECIPE, steps=6)
    whole.run()
    first = ScalarTraining(data, tmp_path / "parts", RECIPE, steps=6)
    for _ in range(3):
        first._train_step()
        first.step += 1
    first._save()
    second = ScalarTraining(data, tmp_path / "parts", RECIPE, steps=6)
    assert second.step == 3
    second.run()
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_recipe_does_not_take_up_a_checkpoint(tmp_path):
    data = pool()
    ScalarTraining(data, tmp_path, RECIPE, steps=1).run()
    with pytest.raises(UsageError, match="another recipe"):
        ScalarTraining(data, tmp_path, Recipe(hidden=(8,)), steps=2)


def test_the_loss_is_what_the_coder_pays():
    """Masked cross-entropies add up to the bits of the cascade."""
    data = pool()
    for index in (1, 2, 3):
        _, symbols = samples(data, 3, index)
        outcomes, asked = decisions_of(symbols, index)
        # Table 64 + k stands for log-odds of (2 k + 1) / 8 bits.
        tables = np.tile(np.array([60, 70, 64, 66, 50, 90]), (len(symbols), 1))
        odds = torch.from_numpy((2 * (tables - 64) + 1) / 8)
        loss = (cost(odds, torch.from_numpy(outcomes).double()) * torch.from_numpy(asked)).sum(dim=1)
        assert loss.numpy() == pytest.approx(cascade_bits(symbols, tables, SYMBOLS[index]), abs=0.01)


def test_passes_know_what_the_coder_knows():
    for number, parity in enumerate(PASSES):
        known = known_offsets(number)
        earlier = PASSES[:number]
        for offset, flag in zip(SCALARS.tolist(), known, strict=True):
            other = tuple((a + b) % 2 for a, b in zip(parity, offset, strict=True))
            assert flag == (other in earlier)
