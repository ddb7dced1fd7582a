"""Integers of unknown range on top of the symbol coder."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_range_decoder import Adaptive, Decoder, integers
from reference_range_decoder import prior as reference_prior

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.integers import (
    CLASSES,
    SCALES,
    IntegerTables,
    best_scale,
    decode_integers,
    encode_integers,
    prior,
)
from squeeze3d.errors import FormatError

LARGEST = 2**20 - 1
GOLDEN = [0, 1, -1, 7, -7, 8, -8, 15, 16, -1000, 65535, -65536, 131072, LARGEST, -LARGEST, 0, 0, 3]

values = st.one_of(
    st.integers(-9, 9),
    st.integers(-LARGEST, LARGEST),
    st.builds(
        lambda e, d, s: s * min(2**e + d, LARGEST),
        st.integers(3, 19),
        st.integers(-1, 1),
        st.sampled_from([-1, 1]),
    ),
)


def encode(array, scales, context=0):
    encoder = SymbolEncoder()
    encode_integers(encoder, array, IntegerTables(scales), context)
    return encoder.finish()


def test_golden_bytes():
    assert encode(GOLDEN, [6]).hex() == "a47b8a42867809653d5d05537863fc73a9ba02a9f503de199493240000d66dfffffe2267"


def test_golden_priors():
    assert prior(0).tolist() == [
        1,
        1,
        1,
        1,
        2,
        19,
        322,
        5462,
        322,
        19,
        2,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
    ]
    assert prior(11).tolist() == [
        111,
        151,
        204,
        275,
        373,
        504,
        682,
        924,
        682,
        504,
        373,
        275,
        204,
        151,
        111,
        286,
        286,
        28,
        28,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
    ]


@pytest.mark.parametrize("scale", range(SCALES))
def test_priors_match_the_reference(scale):
    counts = prior(scale)
    assert counts.tolist() == reference_prior(scale)
    assert len(counts) == CLASSES == 49
    assert counts.min() >= 1


def test_priors_have_the_mean_they_say():
    magnitudes = [abs(c - 7) for c in range(15)]
    for exponent in range(3, 20):
        magnitudes += [1.5 * 2**exponent] * 2
    for scale in range(4, SCALES):
        weights = prior(scale) - 1
        spread = 2 ** (scale / 2 - 4)
        mean = (weights * magnitudes).sum() / weights.sum()
        expected = 2 * spread * (1 + spread) / (1 + 2 * spread)
        assert mean == pytest.approx(expected, rel=0.15, abs=0.02), scale


@pytest.mark.parametrize("scale", [-1, SCALES])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(ValueError, match="scale"):
        prior(scale)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(values, st.integers(0, 1)), max_size=50), st.integers(0, 31), st.integers(0, 31))
def test_round_trip_and_reference_agree(pairs, first, second):
    array, context = [v for v, _ in pairs], [c for _, c in pairs]
    data = encode(array, [first, second], context)
    decoder = SymbolDecoder(data)
    assert decode_integers(decoder, len(array), IntegerTables([first, second]), context).tolist() == array
    decoder.finish()
    reference = Decoder(data)
    tables = Adaptive([reference_prior(first), reference_prior(second)])
    assert integers(reference, tables, context) == array
    assert reference.hash_is_right()


def test_every_magnitude_up_to_a_few_thousand_and_all_powers_of_two_round_trip():
    array = np.concatenate(
        [np.arange(-3000, 3001), [s * (2**e + d) for e in range(3, 20) for d in (-1, 0) for s in (-1, 1)]]
    )
    decoder = SymbolDecoder(encode(array, [12]))
    assert (decode_integers(decoder, len(array), IntegerTables([12])) == array).all()
    decoder.finish()


@pytest.mark.parametrize("value", [2**20, -(2**20), 2**31, 2**40, -(2**63), 2**63 - 1])
def test_values_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="2\\*\\*20"):
        encode([value], [5])


def test_floats_are_refused():
    with pytest.raises(TypeError, match="integers"):
        encode([1.5], [5])
    assert encode([], [5]) == encode(np.zeros(0, dtype=np.int8), [5])


def test_narrow_types_are_not_overflown():
    array = np.array([-128, 127, 0], dtype=np.int8)
    decoder = SymbolDecoder(encode(array, [5]))
    assert decode_integers(decoder, 3, IntegerTables([5])).tolist() == [-128, 127, 0]


def test_best_scale_grows_with_the_values_and_pays():
    random = np.random.default_rng(2)
    last = -1
    for spread in (0.05, 0.5, 4, 60, 1000):
        array = np.round(random.laplace(0, spread, 300)).astype(np.int64)
        scale = best_scale(array)
        assert scale > last
        assert len(encode(array, [scale])) <= len(encode(array, [20])) + 1
        last = scale
    assert best_scale(np.zeros(0, dtype=np.int64)) == 0


def test_geometric_values_cost_close_to_their_entropy():
    array = np.round(np.random.default_rng(4).laplace(0, 20, 5000)).astype(np.int64)
    _, counts = np.unique(array, return_counts=True)
    entropy = -(counts * np.log2(counts / counts.sum())).sum() / 8
    assert len(encode(array, [best_scale(array)])) < 1.05 * entropy


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 31))
def test_garbage_gives_values_in_range_or_an_error(data, scale):
    decoder = SymbolDecoder(data)
    with contextlib.suppress(FormatError):
        array = decode_integers(decoder, 40, IntegerTables([scale]))
        assert np.abs(array).max() <= LARGEST
        decoder.finish()
