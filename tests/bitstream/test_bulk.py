"""Bulk data: bounded decoding of hostile zstandard."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.bulk import pack_bulk, unpack_bulk
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.varint import read_varint, write_varint
from squeeze3d.errors import FormatError, LimitError

TEXT = b"a quick brown fox jumps over a lazy dog, " * 40


def frame(*blocks: tuple[int, int, bytes], descriptor: int = 0, window: int = 17) -> bytes:
    """A magicless frame of (type, size, content) blocks."""
    out = bytearray([descriptor, (window - 10) << 3])
    for number, (kind, size, content) in enumerate(blocks, 1):
        out += (size << 3 | kind << 1 | (number == len(blocks))).to_bytes(3, "little") + content
    return bytes(out)


def repeated(count: int) -> bytes:
    """A frame of `count` times 128 KiB of zeros in 4 bytes each."""
    return frame(*[(1, 1 << 17, b"\0")] * count)


def refuse(data: bytes, message: str | None = None) -> int:
    """Expect a FormatError; returns the peak of memory."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=message):
            unpack_bulk(data, Limits())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 22))
def test_round_trip(content, level):
    data = pack_bulk(content, level=level)
    assert unpack_bulk(data, Limits()) == content
    assert pack_bulk(content, level=level) == data


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 128 << 10, (128 << 10) + 1, 3 << 20])
@pytest.mark.parametrize("level", [1, 3, 19])
def test_windows_fit_what_decoders_allow_at_every_size(size, level):
    content = (TEXT * (size // len(TEXT) + 1))[:size]
    data = pack_bulk(content, level=level)
    _, offset = read_varint(data, 0)
    assert data[offset] == 0, "no size, checksum or dictionary of its own"
    assert unpack_bulk(data, Limits()) == content


def test_empty_content_takes_six_bytes():
    data = pack_bulk(b"")
    assert data.hex() == "000000010000"
    assert unpack_bulk(data, Limits(0)) == b""


def test_costs_less_than_an_ordinary_frame():
    assert len(pack_bulk(TEXT)) < len(zstandard.ZstdCompressor(level=19).compress(TEXT))


def test_hand_made_frames_are_read():
    assert unpack_bulk(b"\x03" + frame((0, 3, b"abc"), window=10), Limits()) == b"abc"
    assert unpack_bulk(write_varint(8 << 17) + repeated(8), Limits()) == bytes(8 << 17)


def test_a_declared_terabyte_is_a_limit_error_and_allocates_nothing():
    tracemalloc.start()
    for size in (10**12, 2**64 - 1):
        with pytest.raises(LimitError, match="bulk data needs"):
            unpack_bulk(write_varint(size) + pack_bulk(TEXT)[2:], Limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_a_declared_gigabyte_that_is_not_there_allocates_nothing():
    assert refuse(write_varint(10**9) + pack_bulk(TEXT)[2:], "holds 1640 of the 1000000000") < 1e6


def test_limit_counts_the_content():
    data = pack_bulk(bytes(1000))
    unpack_bulk(data, Limits(1000))
    with pytest.raises(LimitError):
        unpack_bulk(data, Limits(999))


@pytest.mark.parametrize("count", [1, 64, 4096, 100_000])
def test_bombs_are_refused_in_bounded_memory(count):
    """100 000 blocks in 400 kB would be 13 GB."""
    data = write_varint(128 << 10) + repeated(count)
    if count == 1:
        assert unpack_bulk(data, Limits()) == bytes(128 << 10)
    else:
        assert refuse(data, "longer than the 131072 bytes") < 32e6


def test_every_cut_is_refused():
    data = pack_bulk(TEXT)
    for length in range(len(data)):
        refuse(data[:length])


def test_trailing_bytes_are_refused():
    for content in (b"", b"abc", TEXT, bytes(range(256)) * 4):
        data = pack_bulk(content)
        for extra in (b"\0", b"x" * 300, b"x" * 70_000, data):
            refuse(data + extra, "trailing")


def test_content_longer_or_shorter_than_declared_is_refused():
    body = pack_bulk(TEXT)[2:]
    refuse(write_varint(len(TEXT) + 1) + body, "holds 1640 of the 1641")
    refuse(write_varint(len(TEXT) - 1) + body, "longer than the 1639")
    refuse(write_varint(0) + pack_bulk(b"abc")[1:], "longer")
    refuse(b"\x05" + pack_bulk(b"")[1:], "holds 0 of the 5")


@pytest.mark.parametrize(
    ("options", "magic"),
    [
        ({"write_checksum": True}, False),
        ({"write_content_size": True}, False),
        ({}, True),
    ],
)
def test_frames_with_other_headers_are_refused(options, magic):
    kind = zstandard.FORMAT_ZSTD1 if magic else zstandard.FORMAT_ZSTD1_MAGICLESS
    settings = {"write_checksum": False, "write_content_size": False} | options
    parameters = zstandard.ZstdCompressionParameters.from_level(3, format=kind, write_dict_id=False, **settings)
    body = zstandard.ZstdCompressor(compression_params=parameters).compress(TEXT)
    refuse(write_varint(len(TEXT)) + body, "header")


@pytest.mark.parametrize("window", [11, 20, 28, 31, 41])
def test_windows_larger_than_the_content_are_refused(window):
    assert refuse(b"\x03" + frame((0, 3, b"abc"), window=window), "zstandard") < 1e6


def test_reserved_blocks_are_refused():
    refuse(b"\x03" + frame((3, 3, b"abc"), window=10), "zstandard")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read(data):
    with contextlib.suppress(FormatError, LimitError):
        unpack_bulk(data, Limits(1 << 20))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_flipped_bits_are_refused_or_give_the_declared_size(data):
    packed = bytearray(pack_bulk(TEXT))
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(FormatError, LimitError):
        size, _ = read_varint(bytes(packed), 0)
        assert len(unpack_bulk(bytes(packed), Limits(1 << 20))) == size
