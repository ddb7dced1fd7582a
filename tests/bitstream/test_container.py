"""The container: exact layout, and refusal of everything else."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.container import FORMAT_VERSION, SOURCES, Container, Tag, is_sq3
from squeeze3d.bitstream.entropy import SymbolEncoder, Tables
from squeeze3d.bitstream.pose import Pose
from squeeze3d.bitstream.varint import write_varint
from squeeze3d.errors import ChecksumError, FormatError, Sq3Error, TruncatedError, UnsupportedVersionError

POSE = Pose.from_bounds(np.array([[-0.31, 0.02, -0.9], [1.2, 0.95, 0.4]]))
SMALL = Container(
    2,
    1,
    POSE,
    b"\x01\x02\x03\x04",
    {Tag.PARAMETERS: b"\x80", Tag.SYMBOLS: b"abc", 40: b"", Tag.METADATA: b"\x90"},
)


def seal(start: bytes) -> bytes:
    """Append the checksum."""
    return start + zlib.crc32(start).to_bytes(4, "little")


def build(body: bytes, *, version: int = 1, excess: int = 0) -> bytes:
    """A file with a right length and checksum around any header and chunks."""
    return seal(b"SQ3" + bytes([version]) + write_varint(len(body) + 4 + excess) + body)


def test_golden_bytes():
    assert SMALL.to_bytes().hex() == (
        "53513301" + "21" + "02" + "13" + "ae47c13f" + "dc04" + "9205" + "d302" + "01020304"
        "0101" + "80" + "0203" + "616263" + "2800" + "8101" + "90" + "88ecfd27"
    )


def test_the_smallest_file_has_eleven_bytes():
    data = Container(1).to_bytes()
    assert data[:-4].hex() == "53513301060100"
    assert Container.from_bytes(data) == Container(1)


@settings(max_examples=100)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 15),
    st.one_of(st.none(), st.just(POSE)),
    st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
    st.dictionaries(st.integers(1, 255).filter(lambda tag: tag != 128), st.binary(max_size=200), max_size=6),
)
def test_round_trip(codec, source, pose, fingerprint, chunks):
    container = Container(codec, source, pose, fingerprint, chunks)
    data = container.to_bytes()
    assert Container.from_bytes(data) == container
    assert Container.from_bytes(data).to_bytes() == data


def test_order_of_chunks_does_not_matter():
    forward = Container(1, chunks={1: b"a", 2: b"b", 0x81: b"c"})
    backward = Container(1, chunks={0x81: b"c", 2: b"b", 1: b"a"})
    assert forward.to_bytes() == backward.to_bytes()


def test_bytearrays_and_memoryviews_are_read():
    data = SMALL.to_bytes()
    assert Container.from_bytes(bytearray(data)) == SMALL
    assert Container.from_bytes(memoryview(data)) == SMALL


def test_fixed_cost_of_a_neural_file_is_at_most_32_bytes():
    encoder = SymbolEncoder()
    symbols = np.random.default_rng(0).integers(0, 256, 398)
    encoder.encode(symbols, Tables(np.ones(256, dtype=int)))
    stream = encoder.finish()
    assert 398 <= len(stream) <= 401
    data = Container(5, SOURCES.index("glb"), POSE, b"\x12\x34\x56\x78", {Tag.SYMBOLS: stream}).to_bytes()
    assert len(data) - len(symbols) <= 32, "header, pose, fingerprint, chunk, symbol hash, checksum"
    assert len(data) - len(stream) == 29


@pytest.mark.parametrize(
    "bad",
    [
        Container(-1),
        Container(2**64),
        Container(1, source=16),
        Container(1, source=-1),
        Container(1, fingerprint=b"abc"),
        Container(1, chunks={0: b""}),
        Container(1, chunks={128: b""}),
        Container(1, chunks={256: b""}),
        Container(1, chunks={-1: b""}),
    ],
)
def test_content_the_format_cannot_hold_is_not_written(bad):
    with pytest.raises(ValueError, match=r"varint|source|fingerprint|tag"):
        bad.to_bytes()


# --- damage -------------------------------------------------------------------------------------------------


def test_every_cut_is_a_truncated_or_format_error():
    data = SMALL.to_bytes()
    for length in range(len(data)):
        with pytest.raises(FormatError) as caught:
            Container.from_bytes(data[:length])
        assert isinstance(caught.value, TruncatedError), length


def test_every_flipped_bit_is_refused():
    data = SMALL.to_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            Container.from_bytes(bytes(damaged))


def test_damage_behind_the_header_is_a_checksum_error():
    data = bytearray(SMALL.to_bytes())
    data[12] ^= 1
    with pytest.raises(ChecksumError, match="damaged"):
        Container.from_bytes(bytes(data))


def test_every_cut_with_a_right_length_and_checksum_is_refused_or_a_shorter_file():
    """What a hostile writer can do and accidents cannot."""
    body = SMALL.to_bytes()[5:-4]
    whole = 0
    for length in range(len(body)):
        try:
            container = Container.from_bytes(build(body[:length]))
        except FormatError:
            continue
        assert list(container.chunks) == list(SMALL.chunks)[: len(container.chunks)]
        whole += 1
    assert whole == 4, "cuts between chunks"


def test_trailing_bytes_are_refused():
    for extra in (b"\0", b"SQ3\x01", SMALL.to_bytes()):
        with pytest.raises(FormatError, match="behind the end"):
            Container.from_bytes(SMALL.to_bytes() + extra)


def test_foreign_files_are_refused_with_a_hint():
    for data in (b"glTF\x02\0\0\0", b"SQ", b"sq3\x01", b"\0" * 100, b"S"):
        assert not is_sq3(data)
        with pytest.raises(FormatError):
            Container.from_bytes(data)
    with pytest.raises(FormatError, match=r"not a \.sq3 file") as caught:
        Container.from_bytes(b"solid cube")
    assert caught.value.hint


def test_an_empty_file_is_truncated():
    with pytest.raises(TruncatedError, match="empty"):
        Container.from_bytes(b"")


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_any_body_is_a_container_or_an_error(body):
    data = build(body)
    try:
        container = Container.from_bytes(data)
    except FormatError:
        return
    assert container.to_bytes() == data


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(data):
    with pytest.raises(FormatError):
        Container.from_bytes(b"SQ3" + data)


# --- header -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3, 127, 255])
def test_newer_versions_ask_for_an_update_whatever_follows(version):
    for data in (build(b"\x01\x00", version=version), b"SQ3" + bytes([version])):
        assert is_sq3(data)
        with pytest.raises(UnsupportedVersionError, match=f"version {version}") as caught:
            Container.from_bytes(data)
        assert "pip install" in caught.value.hint


def test_version_zero_is_refused():
    with pytest.raises(FormatError, match="version 0") as caught:
        Container.from_bytes(build(b"\x01\x00", version=0))
    assert not isinstance(caught.value, UnsupportedVersionError)
    assert FORMAT_VERSION == 1


@pytest.mark.parametrize("flag", [0x04, 0x08, 0x0C])
def test_reserved_flags_are_refused(flag):
    with pytest.raises(FormatError, match="reserved flags"):
        Container.from_bytes(build(bytes([1, flag])))


def test_a_declared_terabyte_is_truncated_and_allocates_nothing():
    tracemalloc.start()
    for size in (10**12, 2**64 - 1):
        with pytest.raises(TruncatedError, match="cut short"):
            Container.from_bytes(seal(b"SQ3\x01" + write_varint(size) + b"\x01\x00"))
        with pytest.raises(TruncatedError, match="chunk 0x02"):
            Container.from_bytes(build(b"\x01\x00\x02" + write_varint(size)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("length", range(4))
def test_lengths_without_room_for_the_checksum_are_refused(length):
    with pytest.raises(FormatError):
        Container.from_bytes(b"SQ3\x01" + bytes([length]) + bytes(length))


@pytest.mark.parametrize("body", ["", "01", "0101", "0103" + "0000803f" + "000000" + "abcdef"])
def test_headers_that_end_early_are_truncated(body):
    with pytest.raises(TruncatedError):
        Container.from_bytes(build(bytes.fromhex(body)))


@pytest.mark.parametrize(
    "data",
    [
        seal(b"SQ3\x01" + b"\x86\x00" + b"\x01\x00"),
        build(b"\x81\x00" + b"\x00"),
        build(b"\x01\x00" + b"\x01\x80\x00"),
        build(b"\x01\x01" + b"\x00\x00\x80\x3f" + b"\x80\x00\x00\x00"),
    ],
    ids=["length", "codec", "chunk", "pose"],
)
def test_padded_varints_are_refused(data):
    with pytest.raises(FormatError, match="padded"):
        Container.from_bytes(data)


@pytest.mark.parametrize("scale", ["00000000", "00000080", "000080bf", "0000807f", "0000c07f", "000080ff"])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(FormatError, match="scale"):
        Container.from_bytes(build(b"\x01\x01" + bytes.fromhex(scale) + bytes(3)))


def test_huge_pose_steps_are_refused():
    steps = write_varint(2**64 - 1)
    with pytest.raises(FormatError, match="centre"):
        Container.from_bytes(build(b"\x01\x01" + bytes.fromhex("ffff7f7f") + steps * 3))


def test_sources_fit_four_bits_and_unknown_ones_are_kept():
    assert len(SOURCES) <= 16
    assert Container.from_bytes(build(b"\x01\xf0")).source == 15


# --- chunks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ("0100" + "0100", "out of order or repeated"),
        ("0200" + "0100", "out of order or repeated"),
        ("8100" + "0100", "out of order or repeated"),
        ("0000", "reserved tag 0x00"),
        ("8000", "reserved tag 0x80"),
        ("0100" + "0000", "reserved tag 0x00"),
        ("02", "ends inside a number"),
        ("0203" + "6162", "cut short"),
        ("0201" + "61" + "03", "ends inside a number"),
    ],
)
def test_broken_chunks_are_refused(chunks, message):
    with pytest.raises(FormatError, match=message):
        Container.from_bytes(build(b"\x01\x00" + bytes.fromhex(chunks)))


def test_unknown_critical_chunks_are_refused_and_ancillary_ones_skipped():
    container = Container.from_bytes(Container(1, chunks={4: b"data", 0xC8: b"new"}).to_bytes())
    container.expect({4})
    container.expect({4}, {5})
    for unknown in (5, 16, 127):
        with pytest.raises(FormatError, match=f"critical chunk {unknown:#04x} is unknown"):
            Container(1, chunks={4: b"", unknown: b""}).expect({4})


def test_missing_chunks_are_named():
    with pytest.raises(FormatError, match="required chunk 0x04 is missing"):
        Container(1, chunks={1: b""}).expect({4, 1})
    with pytest.raises(FormatError, match="required chunk 0x81 is missing"):
        Container(1).expect({0x81})


def test_all_errors_are_errors_of_squeeze3d():
    assert issubclass(FormatError, Sq3Error)
    for kind in (TruncatedError, ChecksumError, UnsupportedVersionError):
        assert issubclass(kind, FormatError)
