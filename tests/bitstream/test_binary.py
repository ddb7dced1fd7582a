"""The binary coder: exact, short, and the same tables everywhere."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.binary import (
    INTEGER,
    RATES,
    SQUASH,
    STRETCH,
    BinaryDecoder,
    BinaryEncoder,
    BinaryMeter,
    Contexts,
    code_integer,
    code_raw,
)
from squeeze3d.errors import FormatError


def _walk(coder: BinaryEncoder | BinaryDecoder | BinaryMeter, values: list[int]) -> list[int]:
    """Code integers in the context of the one before."""
    contexts = Contexts.even(9 * INTEGER, INTEGER)
    result, before = [], 0
    for value in values:
        rows = min(abs(before), 7) * INTEGER, 8 * INTEGER, 8 * INTEGER
        before = code_integer(
            coder.state, coder.data, contexts.chances, contexts.seen, contexts.weights, 0, *rows, value
        )
        result.append(before)
    return result


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**20) + 1, 2**20 - 1)), max_size=60))
def test_what_goes_in_comes_out(values: list[int]) -> None:
    encoder = BinaryEncoder(16 * len(values))
    _walk(encoder, values)
    decoder = BinaryDecoder(encoder.finish())
    assert _walk(decoder, [0] * len(values)) == values
    decoder.finish()


def test_bytes_are_what_the_meter_says_and_near_the_entropy() -> None:
    values = np.rint(np.random.default_rng(1).laplace(0, 2, 4000)).astype(int).tolist()
    encoder, meter = BinaryEncoder(8000), BinaryMeter()
    _walk(encoder, values)
    _walk(meter, values)
    size = len(encoder.finish())
    assert size == pytest.approx(meter.bits / 8, rel=0.01, abs=3)
    _, counts = np.unique(values, return_counts=True)
    assert size * 8 < 1.03 * -(counts * np.log2(counts / len(values))).sum()


def test_carries_run_through() -> None:
    for seed in range(200):
        values = np.random.default_rng(seed).integers(0, 2, 40).tolist()
        # Raw ones push the lower end up to the next byte's border again and again.
        encoder = BinaryEncoder(64)
        for value in values:
            code_raw(encoder.state, encoder.data, 8, 255 if value else 0)
        decoder = BinaryDecoder(encoder.finish())
        assert [code_raw(decoder.state, decoder.data, 8, 0) for _ in values] == [255 * v for v in values]


def test_a_full_buffer_and_left_over_bytes_are_noticed() -> None:
    encoder = BinaryEncoder(0)
    for _ in range(30):
        code_raw(encoder.state, encoder.data, 16, 12345)
    with pytest.raises(OverflowError):
        encoder.finish()
    with pytest.raises(FormatError):
        BinaryDecoder(bytes(range(1, 9))).finish()


def test_tables_are_part_of_the_format() -> None:
    digest = zlib.crc32(
        SQUASH.astype("<i4").tobytes() + STRETCH.astype("<i4").tobytes() + RATES.astype("<i4").tobytes()
    )
    assert digest == 27655767
