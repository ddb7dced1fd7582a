"""Parameters: one spelling, bounded, plain data only."""

from __future__ import annotations

import math
import struct
import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.parameters import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, pack_parameters, unpack_parameters
from squeeze3d.errors import FormatError

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=40),
)
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=5), inner, max_size=5),
        st.dictionaries(st.integers(-(2**63), 2**64 - 1), inner, max_size=5),
    ),
    max_leaves=20,
)


def test_golden_bytes():
    value = {"b": [1, -1, 1.5], "a": None, "text": "é", "bin": b"\0\xff", "on": True}
    assert pack_parameters(value).hex() == (
        "85"
        + "a161c0"
        + "a162"
        + "9301ffcb3ff8000000000000"
        + "a362696e"
        + "c40200ff"
        + "a26f6ec3"
        + "a474657874a2c3a9"
    )


@settings(max_examples=200)
@given(plain)
def test_round_trip(value):
    assert unpack_parameters(pack_parameters(value)) == value


def test_infinities_nan_and_negative_zero_round_trip():
    values = unpack_parameters(pack_parameters([math.inf, -math.inf, math.nan, -0.0]))
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])
    assert math.copysign(1, values[3]) == -1


def test_order_of_keys_does_not_matter():
    assert pack_parameters({"b": {"y": 1, "x": 2}, "a": 1}) == pack_parameters({"a": 1, "b": {"x": 2, "y": 1}})


def test_tuples_come_back_as_lists():
    assert unpack_parameters(pack_parameters((1, (2,)))) == [1, [2]]


@pytest.mark.parametrize(
    "value",
    [
        {1.5: 1},
        {True: 1},
        {None: 1},
        {b"a": 1},
        {(1, 2): 1},
        {1: 0, "a": 0},
        {1, 2},
        np.float32(1),
        np.zeros(3),
        msgpack.Timestamp(1),
        bytearray(b"a"),
    ],
)
def test_other_types_are_not_written(value):
    with pytest.raises(TypeError):
        pack_parameters(value)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_too_much_is_not_written():
    for value in (nested(MAX_DEPTH + 1), [None] * (MAX_ITEMS + 1), b"x" * MAX_BYTES):
        with pytest.raises(ValueError, match="more than"):
            pack_parameters(value)
    with pytest.raises(OverflowError):
        pack_parameters(2**64)


def test_the_limits_themselves_are_fine():
    for value in (
        nested(MAX_DEPTH),
        [None] * MAX_ITEMS,
        dict.fromkeys(range(MAX_ITEMS)),
        b"x" * (MAX_BYTES - 5),
    ):
        assert unpack_parameters(pack_parameters(value)) == value


@pytest.mark.parametrize(
    ("hexadecimal", "what"),
    [
        ("", "empty"),
        ("c1", "reserved byte"),
        ("82a16101a16102", "duplicate key"),
        ("82a16201a16102", "keys out of order"),
        ("8201020102", "duplicate integer key"),
        ("81c0c0", "nil as key"),
        ("81c3c0", "bool as key"),
        ("81cb3ff8000000000000c0", "float as key"),
        ("81c40161c0", "bytes as key"),
        ("8190c0", "list as key"),
        ("820101a16102", "mixed keys"),
        ("0000", "trailing bytes"),
        ("93c0c0", "cut list"),
        ("81a161", "cut map"),
        ("a3c3a9", "cut text"),
        ("a2c328", "text that is not UTF-8"),
        ("a3eda080", "a lone surrogate"),
        ("d40500", "fixext 1"),
        ("d6ff00000000", "timestamp"),
        ("c70005", "empty extension"),
        ("c700ff", "empty timestamp"),
        ("cc01", "uint 8 where a fixint does"),
        ("cd0001", "uint 16 where a fixint does"),
        ("d0ff", "int 8 where a fixint does"),
        ("d200000001", "signed spelling of a positive integer"),
        ("ca3fc00000", "32-bit float"),
        ("d90161", "str 8 where a fixstr does"),
        ("dc0000", "array 16 where a fixarray does"),
        ("de0000", "map 16 where a fixmap does"),
        ("c50000", "bin 16 where a bin 8 does"),
        ("ddffffffff", "list of 4 billion items"),
        ("dfffffffff", "map of 4 billion items"),
        ("dbffffffff", "text of 4 GB"),
        ("c6ffffffff", "4 GB of bytes"),
        ("c9ffffffff05", "extension of 4 GB"),
    ],
)
def test_other_spellings_are_refused(hexadecimal, what):
    with pytest.raises(FormatError):
        unpack_parameters(bytes.fromhex(hexadecimal))


def test_more_than_a_mebibyte_is_refused():
    data = b"\xc6" + struct.pack(">I", MAX_BYTES) + bytes(MAX_BYTES)
    with pytest.raises(FormatError, match="more than"):
        unpack_parameters(data)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 1023, 1024, 5000, 1 << 19])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x00"])
def test_deep_nesting_is_refused(depth, opening):
    with pytest.raises(FormatError):
        unpack_parameters(opening * min(depth, MAX_BYTES // 2 - 1) + b"\xc0")


def test_nested_headers_that_claim_many_items_take_bounded_memory():
    data = (b"\xdc\xff\xff") * 1000
    tracemalloc.start()
    with pytest.raises(FormatError):
        unpack_parameters(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@settings(max_examples=500)
@given(st.binary(max_size=60))
def test_garbage_is_a_value_with_that_spelling_or_an_error(data):
    try:
        value = unpack_parameters(data)
    except FormatError:
        return
    assert pack_parameters(value) == data


@given(plain)
def test_every_cut_and_every_extra_byte_is_refused(value):
    data = pack_parameters(value)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            unpack_parameters(data[:length])
    with pytest.raises(FormatError):
        unpack_parameters(data + b"\xc0")
