"""Training of the context network of the scalars."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_runs import SCALARS_RECIPE, scalar_run, wave, waves

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.lite.context_net import cascade_bits
from squeeze3d.codecs.lite.patches import SCALARS
from squeeze3d.codecs.lite.scalars import PASSES, decode_scalars, encode_scalars, scalar_bits
from squeeze3d.codecs.lite.steps import SYMBOLS, quantise
from squeeze3d.errors import UsageError
from squeeze3d.training.context_mlp import cost
from squeeze3d.training.lite_scalars import ScalarRun, decisions_of, known_offsets, samples


def test_training_lowers_the_bits_and_the_result_codes(tmp_path):
    data = waves()
    run = scalar_run(tmp_path, steps=80)
    before = run.validate(data)
    run.go(every=80)
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


def test_refuses_to_train_on_nothing(tmp_path):
    with pytest.raises(UsageError, match="no cells"):
        ScalarRun(tmp_path, SCALARS_RECIPE, waves().take(np.arange(0), 0), steps=1)


def test_the_loss_is_what_the_coder_pays():
    """Masked cross-entropies add up to the bits of the cascade."""
    data = waves()
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
