from __future__ import annotations

import math

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.octree.mixing import (
    FARTHEST,
    ONE,
    Estimator,
    Mixer,
    Reader,
    Writer,
    bit_tables,
    code_lengths,
    logarithms,
    probabilities,
)


def sample(count: int = 5000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contexts, sets and bits: the first context tells nine bits of ten, the second nothing."""
    numbers = random(5)
    contexts = numbers.integers(0, 8, (2, count)).astype(np.int32)
    bits = ((contexts[0] & 1) ^ (numbers.random(count) < 0.1)).astype(np.uint8)
    return contexts, (contexts[1] & 1).astype(np.int32), bits


def test_decodes_what_was_encoded():
    contexts, sets, bits = sample()
    encoder = SymbolEncoder()
    Mixer([8, 8], 2).code(contexts, sets, Writer(encoder, bits))
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    assert (Mixer([8, 8], 2).code(contexts, sets, Reader(decoder)) == bits).all()
    decoder.finish()


def test_learns_which_context_to_trust():
    contexts, sets, bits = sample(20000)
    estimator = Estimator()
    Mixer([8, 8], 2).code(contexts, sets, estimator.channel(bits))
    entropy = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert entropy < estimator.bits / len(bits) < 1.06 * entropy


def test_estimates_are_what_a_stream_takes():
    contexts, sets, bits = sample()
    encoder, estimator = SymbolEncoder(), Estimator()
    Mixer([8, 8], 2).code(contexts, sets, Writer(encoder, bits))
    Mixer([8, 8], 2).code(contexts, sets, estimator.channel(bits))
    assert abs(len(encoder.finish()) - 2 - estimator.bits / 8) < 4


def test_forgets_counts_that_are_full():
    count = 20000
    contexts, sets = np.zeros((1, count), np.int32), np.zeros(count, np.int32)
    mixer, taken = Mixer([1], 1), []
    for bit in (0, 1, 1):
        estimator = Estimator()
        mixer.code(contexts, sets, estimator.channel(np.full(count, bit, np.uint8)))
        taken.append(estimator.bits / count)
    assert taken[2] < 0.05 < taken[1]


def test_logarithms_are_rounded_down():
    table = logarithms()
    for value in (1, 2, 3, 7, 100, 4095, (1 << 18) - 1):
        assert table[value] in (math.floor(ONE * math.log2(value)), math.ceil(ONE * math.log2(value)) - 1)
    assert (np.diff(table) >= 0).all()


def test_probabilities_are_those_of_the_log_odds():
    table = probabilities()
    assert len(table) == 2 * FARTHEST + 1 == len(bit_tables().counts)
    odds = np.arange(-FARTHEST, FARTHEST + 1) / ONE
    assert np.abs(table / 65536 - 1 / (1 + 2.0**-odds)).max() < 1e-4
    assert (table + table[::-1] == 65536).all()
    assert code_lengths().min() > 1 / 2850


@pytest.mark.parametrize("count", [0, 1])
def test_few_decisions(count):
    contexts, sets, bits = sample(count)
    assert (Mixer([8, 8], 2).code(contexts, sets, Estimator().channel(bits)) == bits).all()
