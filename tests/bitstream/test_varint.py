"""Varints have one spelling each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeeze3d.bitstream.varint import read_varint, unzigzag, write_varint, zigzag
from squeeze3d.errors import FormatError, TruncatedError


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        (10**12, "80a094a58d1d"),
        (2**64 - 1, "ffffffffffffffffff01"),
    ],
)
def test_golden_spellings(value, spelling):
    assert write_varint(value).hex() == spelling
    assert read_varint(bytes.fromhex(spelling), 0) == (value, len(spelling) // 2)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5), st.binary(max_size=5))
def test_round_trip_at_any_offset(value, before, behind):
    data = before + write_varint(value) + behind
    assert read_varint(data, len(before)) == (value, len(data) - len(behind))


@given(st.integers(0, 2**64 - 1))
def test_every_cut_is_truncated(value):
    data = write_varint(value)
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            read_varint(data[:length], 0)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_values_out_of_range_are_not_written(value):
    with pytest.raises(ValueError, match="64-bit"):
        write_varint(value)


@pytest.mark.parametrize("spelling", ["8000", "808000", "ff00", "ffffffffffffffffff00"])
def test_padded_spellings_are_refused(spelling):
    with pytest.raises(FormatError, match="padded"):
        read_varint(bytes.fromhex(spelling), 0)


@pytest.mark.parametrize("spelling", ["ffffffffffffffffff02", "ffffffffffffffffffff", "80" * 10 + "01", "80" * 1000])
def test_more_than_64_bits_are_refused(spelling):
    with pytest.raises(FormatError, match="64 bits"):
        read_varint(bytes.fromhex(spelling), 0)


@given(st.binary(max_size=12))
def test_what_is_read_is_written_the_same(data):
    try:
        value, end = read_varint(data, 0)
    except FormatError:
        return
    assert write_varint(value) == data[:end]


def test_offsets_behind_the_end_are_truncated():
    with pytest.raises(TruncatedError, match="offset 7"):
        read_varint(b"abc", 7)


def test_zigzag_counts_outwards_from_zero():
    assert [zigzag(value) for value in (0, -1, 1, -2, 2)] == [0, 1, 2, 3, 4]


@given(st.integers(-(2**63), 2**63 - 1))
def test_zigzag_round_trip_in_64_bits(value):
    assert 0 <= zigzag(value) < 2**64
    assert unzigzag(zigzag(value)) == value
