"""Range coder: exact output, agreement with the reference decoder, hostile bytes."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_range_decoder import Adaptive, Decoder, Refused
from reference_range_decoder import frequencies as reference_frequencies

from squeeze3d.bitstream import entropy
from squeeze3d.bitstream.entropy import (
    COUNT_LIMIT,
    TOTAL,
    AdaptiveTables,
    SymbolDecoder,
    SymbolEncoder,
    Tables,
    frequencies,
)
from squeeze3d.errors import ChecksumError, FormatError

STATIC = [[1, 2, 3, 4], [1000, 0, 0, 1], [0, 0, 0, 0]]


def encode(symbols, tables, index=0):
    encoder = SymbolEncoder()
    encoder.encode(symbols, tables, index)
    return encoder.finish()


# --- exact output -------------------------------------------------------------------------------------------


def test_golden_bytes_of_a_static_table():
    symbols = [0, 1, 2, 3, 3, 2, 1, 0, 3, 3]
    index = [0, 0, 0, 0, 1, 1, 2, 2, 0, 1]
    assert encode(symbols, Tables(STATIC), index).hex() == "05a1cad0d694a66a0d"


def test_golden_bytes_of_an_adaptive_table():
    symbols = [int(x) for x in "00102003000100000200010000000030"]
    assert encode(symbols, AdaptiveTables([[256] * 4])).hex() == "0e37d14c729a1f5d"


def test_golden_bytes_of_raw_bits():
    encoder = SymbolEncoder()
    encoder.encode_raw([0, 1, 2, 3, 7], 3)
    encoder.encode_raw([65535, 0, 4660], 16)
    assert encoder.finish().hex() == "053ffffdfd6025562223"


def test_the_same_content_gives_the_same_bytes():
    symbols = np.random.default_rng(0).integers(0, 4, 500)
    assert encode(symbols, AdaptiveTables([[1] * 4])) == encode(symbols, AdaptiveTables([[1] * 4]))


def test_golden_bytes_of_a_long_adaptive_stream_with_halving():
    state, symbols = 1, []
    for _ in range(40_000):
        state = (state * 1103515245 + 12345) % 2**31
        symbols.append((state >> 16) % 7 * (state >> 24) % 5)
    data = encode(symbols, tables := AdaptiveTables([[7, 0, 1, 2, 3]]))
    assert tables.counts.sum() < 40_000 * entropy.INCREMENT, "the counts were halved"
    assert (len(data), data[:8].hex(), data[-8:].hex()) == (10628, "87b5ee3e8bad6e5c", "bb36f1d812bac3b1")
    assert zlib.crc32(data) == 0xDBBE12BD


# --- round trips --------------------------------------------------------------------------------------------


@st.composite
def coded(draw):
    """Tables, whether they adapt, symbols, and table numbers."""
    alphabet = draw(st.sampled_from([1, 2, 3, 17, 300]))
    count = st.one_of(st.integers(0, 3), st.integers(0, COUNT_LIMIT // 512))
    rows = draw(st.lists(st.lists(count, min_size=alphabet, max_size=alphabet), min_size=1, max_size=3))
    pairs = draw(st.lists(st.tuples(st.integers(0, alphabet - 1), st.integers(0, len(rows) - 1)), max_size=60))
    return rows, draw(st.booleans()), [s for s, _ in pairs], [r for _, r in pairs]


@settings(max_examples=150, deadline=None)
@given(coded())
def test_round_trip_with_any_tables(case):
    rows, adaptive, symbols, index = case
    kind = AdaptiveTables if adaptive else Tables
    decoder = SymbolDecoder(encode(symbols, kind(rows), index))
    assert decoder.decode(len(symbols), kind(rows), index).tolist() == symbols
    decoder.finish()


@settings(max_examples=150, deadline=None)
@given(coded())
def test_the_reference_decoder_reads_any_tables(case):
    rows, adaptive, symbols, index = case
    data = encode(symbols, (AdaptiveTables if adaptive else Tables)(rows), index)
    decoder = Decoder(data)
    if adaptive:
        tables = Adaptive(rows)
        decoded = [decoder.adaptive(tables, row) for row in index]
    else:
        static = [reference_frequencies(row) for row in rows]
        decoded = [decoder.symbol(static[row]) for row in index]
    assert decoded == symbols
    assert decoder.hash_is_right()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 16), st.lists(st.integers(0, 2**16 - 1), max_size=5)), max_size=8))
def test_raw_bits_round_trip_and_agree_with_the_reference(parts):
    parts = [(bits, [value & ((1 << bits) - 1) for value in values]) for bits, values in parts]
    encoder = SymbolEncoder()
    for bits, values in parts:
        encoder.encode_raw(values, bits)
    data = encoder.finish()
    decoder, reference = SymbolDecoder(data), Decoder(data)
    for bits, values in parts:
        assert decoder.decode_raw(len(values), bits).tolist() == values
        assert [reference.raw(bits) for _ in values] == values
    decoder.finish()
    assert reference.hash_is_right()


@settings(max_examples=100, deadline=None)
@given(coded(), st.data())
def test_result_does_not_depend_on_how_arrays_are_split(case, data):
    rows, adaptive, symbols, index = case
    kind = AdaptiveTables if adaptive else Tables
    whole = encode(symbols, kind(rows), index)

    encoder, tables, start = SymbolEncoder(), kind(rows), 0
    decoder, decoder_tables = SymbolDecoder(whole), kind(rows)
    while start < len(symbols):
        step = data.draw(st.integers(0, len(symbols) - start))
        if step:
            encoder.encode(symbols[start : start + step], tables, index[start : start + step])
            part = decoder.decode(step, decoder_tables, index[start : start + step]).tolist()
            assert part == symbols[start : start + step]
        else:
            step = 1
            encoder.encode_one(symbols[start], tables, index[start])
            assert decoder.decode_one(decoder_tables, index[start]) == symbols[start]
        start += step
    decoder.finish()
    assert encoder.finish() == whole


def test_result_does_not_depend_on_the_block_size(monkeypatch):
    symbols = np.random.default_rng(3).integers(0, 9, 2000)
    static, adaptive = encode(symbols, Tables([range(9)])), encode(symbols, AdaptiveTables([range(9)]))
    monkeypatch.setattr(entropy, "_BLOCK", 64)
    assert encode(symbols, Tables([range(9)])) == static
    assert encode(symbols, AdaptiveTables([range(9)])) == adaptive
    assert SymbolDecoder(static).decode(2000, Tables([range(9)])).tolist() == symbols.tolist()


def test_many_symbols_of_a_large_alphabet_take_bounded_memory():
    tables = Tables([[1] * 4096])
    tracemalloc.start()
    data = encode(np.zeros(20_000, dtype=np.int32), tables)
    SymbolDecoder(data).decode(20_000, tables)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6


def test_long_adaptive_stream_agrees_with_the_reference():
    random = np.random.default_rng(7)
    symbols = np.minimum(random.geometric(0.3, 20_000) - 1, 11)
    index = random.integers(0, 3, 20_000)
    prior = [[1] * 12, [COUNT_LIMIT // 12] * 12, [0] * 12]
    reference, tables = Decoder(encode(symbols, AdaptiveTables(prior), index)), Adaptive(prior)
    assert [reference.adaptive(tables, row) for row in index.tolist()] == symbols.tolist()
    assert reference.hash_is_right()


def test_one_symbol_alphabets_take_no_room():
    assert len(encode([0] * 1000, Tables([[5]]))) <= 2
    assert len(encode([0] * 1000, AdaptiveTables([[5]]))) <= 2
    tables = AdaptiveTables([[1, 1]])
    encoder = SymbolEncoder()
    encoder.encode_one(0, Tables([[1]]))
    encoder.encode_one(1, tables)
    decoder = SymbolDecoder(encoder.finish())
    assert decoder.decode_one(Tables([[1]])) == 0
    assert decoder.decode_one(AdaptiveTables([[1, 1]])) == 1
    decoder.finish()


def test_symbols_cost_what_their_frequencies_say():
    counts = np.array([90, 6, 3, 1])
    symbols = np.random.default_rng(1).choice(4, 20_000, p=counts / 100)
    ideal = -np.log2(counts[symbols] / 100).sum() / 8
    assert ideal <= len(encode(symbols, Tables(counts))) <= ideal * 1.001 + 4


# --- tables -------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.just(0), st.just(1), st.integers(0, 2**37 // 64)), min_size=1, max_size=64))
def test_frequencies_sum_to_2_24_and_match_the_reference(counts):
    result = frequencies(np.array([counts]))
    assert result.sum() == TOTAL
    assert result.min() >= 1
    assert result[0].tolist() == reference_frequencies(counts)


@pytest.mark.parametrize(
    "counts",
    [
        [0] * 4096,
        [1] * 4096,
        [2**38 - 1] + [0] * 4095,
        [0] * 4095 + [2**38 - 1],
        [2**38 // 4096 - 1] * 4096,
        [2**37 - 1, 2**37 - 1],
        [0],
        [1, 2**38 - 2],
    ],
    ids=["zeros", "ones", "first", "last", "full", "two", "single", "skewed"],
)
def test_frequencies_hold_for_extreme_counts(counts):
    result = frequencies(np.array([counts]))
    assert result.sum() == TOTAL
    assert result.min() >= 1
    assert result[0].tolist() == reference_frequencies(counts)
    symbols = [0, len(counts) - 1, len(counts) // 2, 0]
    decoder = SymbolDecoder(encode(symbols, Tables([counts])))
    assert decoder.decode(4, Tables([counts])).tolist() == symbols
    decoder.finish()


def test_counts_that_are_floats_are_refused():
    for tables in (Tables, AdaptiveTables):
        with pytest.raises(TypeError, match="float"):
            tables([[0.5, 0.5]])
        with pytest.raises(TypeError, match="integers"):
            tables(np.array([[True, False]]))


@pytest.mark.parametrize(
    "counts",
    [
        [[-1, 1]],
        [[2**38, 0]],
        [[2**37, 2**37]],
        np.full((1, 4), 2**62, dtype=np.int64),
        np.array([[2**63, 2**63]], dtype=np.uint64),
        np.zeros((1, 0), dtype=int),
        np.zeros((0, 4), dtype=int),
        np.zeros((1, 4097), dtype=int),
        np.zeros((1, 2, 2), dtype=int),
    ],
)
def test_counts_out_of_range_are_refused(counts):
    with pytest.raises(ValueError, match=r"symbols|counts"):
        Tables(counts)


def test_adaptive_priors_that_are_too_heavy_are_refused():
    AdaptiveTables([[COUNT_LIMIT, 0]])
    with pytest.raises(ValueError, match="prior"):
        AdaptiveTables([[COUNT_LIMIT, 1]])


def test_symbols_that_do_not_fit_are_refused_before_anything_is_rounded():
    encoder, tables = SymbolEncoder(), Tables([[1] * 4])
    for bad in ([-1], [4], np.array([2**32 + 3])):
        with pytest.raises(ValueError, match="symbols must lie"):
            encoder.encode(bad, tables)
    with pytest.raises(ValueError, match="must lie"):
        encoder.encode_one(4, tables)
    for bad in ([1.7], np.array([1.0], dtype=np.float32)):
        with pytest.raises(TypeError):
            encoder.encode(bad, tables)
    with pytest.raises(TypeError):
        encoder.encode_one(1.0, tables)
    for index in (-1, 1, [0.0]):
        with pytest.raises(IndexError):
            encoder.encode([1], tables, index)
    assert encoder.finish() == SymbolEncoder().finish()


@pytest.mark.parametrize(("values", "bits"), [([2], 1), ([-1], 3), ([1], 0), ([0], 17), ([0], -1)])
def test_raw_values_that_do_not_fit_are_refused(values, bits):
    with pytest.raises(ValueError, match=r"symbols|bits"):
        SymbolEncoder().encode_raw(values, bits)


@pytest.mark.parametrize("bits", [-1, 17, 25, 1000])
def test_decoding_raw_values_of_impossible_widths_is_refused(bits):
    with pytest.raises(ValueError, match="bits"):
        SymbolDecoder(b"abcdefgh").decode_raw(1, bits)


def test_numpy_integers_are_symbols_too():
    encoder, tables = SymbolEncoder(), Tables([[1] * 4])
    encoder.encode_one(np.int64(2), tables, np.int64(0))
    encoder.encode(np.array([True, False]), tables)
    assert SymbolDecoder(encoder.finish()).decode(3, tables).tolist() == [2, 1, 0]


# --- hash ---------------------------------------------------------------------------------------------------


def test_other_tables_are_noticed_by_the_hash():
    random = np.random.default_rng(5)
    noticed = 0
    for _ in range(300):
        counts = random.integers(1, 1000, 8)
        other = counts.copy()
        other[random.integers(8)] += 40
        data = encode(random.integers(0, 8, 200), Tables(counts))
        decoder = SymbolDecoder(data)
        try:
            decoder.decode(200, Tables(other))
            decoder.finish()
        except FormatError:
            noticed += 1
    assert noticed == 300


def test_other_tables_raise_checksum_error_with_a_hint():
    decoder = SymbolDecoder(encode([1, 2, 3] * 20, Tables([[1, 2, 3, 4]])))
    decoder.decode(60, Tables([[4, 3, 2, 1]]))
    with pytest.raises(ChecksumError) as caught:
        decoder.finish()
    assert "weights" in caught.value.hint


# --- closing ------------------------------------------------------------------------------------------------


def test_an_empty_stream_is_read_back():
    data = SymbolEncoder().finish()
    assert data == b""
    SymbolDecoder(data).finish()
    assert Decoder(data).hash_is_right()


def skewed_streams(count):
    """Symbols and tables so skewed that runs of one symbol stay at an end of the interval."""
    random = np.random.default_rng(11)
    for trial in range(count):
        size = int(random.integers(2, 5))
        tables = Tables(random.integers(0, 3, size) * 10 ** random.integers(0, 9, size))
        symbols = random.integers(0, size, random.integers(0, 30))
        if trial % 3 == 0:
            symbols[random.integers(0, 9) :] = random.choice([0, size - 1])
        yield symbols, tables


def test_closing_never_breaks_decoding():
    for symbols, tables in skewed_streams(4000):
        data = encode(symbols, tables)
        assert not data.endswith(b"\0")
        decoder = SymbolDecoder(data)
        assert decoder.decode(len(symbols), tables).tolist() == symbols.tolist()
        decoder.finish()


def test_closing_without_a_hash_never_breaks_decoding():
    """The hash ends nearly every stream with random bits; without it, long runs reach the end."""
    shorter = 0
    for symbols, tables in skewed_streams(6000):
        encoder = SymbolEncoder()
        encoder.encode(symbols, tables)
        data = entropy._shortest(encoder._coder)
        shorter += len(data) < 4 * encoder._coder.pos()[0]
        decoder = SymbolDecoder(data)
        assert decoder.decode(len(symbols), tables).tolist() == symbols.tolist()
    assert shorter > 50, "some streams end in zeros that are not stored"


def test_carries_through_whole_words_are_resolved():
    """Symbols at the upper end of the interval leave words of ones that a later carry changes."""
    random = np.random.default_rng(13)
    for length in range(1, 80):
        counts = [1, 1 << 30, 1]
        tables = Tables(counts)
        symbols = [2] * length + random.integers(0, 3, 3).tolist()
        data = encode(symbols, tables)
        decoder, reference = SymbolDecoder(data), Decoder(data)
        assert decoder.decode(len(symbols), tables).tolist() == symbols
        decoder.finish()
        table = reference_frequencies(counts)
        assert [reference.symbol(table) for _ in symbols] == symbols
        assert reference.hash_is_right()


def test_zeros_at_the_end_are_not_stored():
    count = 73_278  # the 16 bits of the hash of so many zeros are zero as well
    data = encode([0] * count, Tables([[1, 1]]))
    assert data == b""
    decoder, reference = SymbolDecoder(data), Decoder(data)
    assert not decoder.decode(count, Tables([[1, 1]])).any()
    decoder.finish()
    assert not any(reference.symbol([1 << 23, 1 << 23]) for _ in range(count))
    assert reference.hash_is_right()


@settings(max_examples=60, deadline=None)
@given(coded())
def test_no_shorter_bytes_decode_to_the_same_symbols(case):
    rows, _, symbols, index = case
    data = encode(symbols, Tables(rows), index)
    for end in (data[:-1], data[:-2]):
        # Neither the shorter string nor its upper neighbour lies in the final interval.
        for value in (int.from_bytes(end, "big"), int.from_bytes(end, "big") + 1):
            if data and value < 256 ** len(end):
                decoder = Decoder(value.to_bytes(len(end), "big"))
                static = [reference_frequencies(row) for row in rows]
                try:
                    same = [decoder.symbol(static[row]) for row in index] == symbols and decoder.hash_is_right()
                except Refused:
                    same = False
                assert not same


# --- hostile bytes ------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(2, 40), st.booleans())
def test_garbage_gives_symbols_in_range_or_an_error(data, alphabet, adaptive):
    prior = [list(range(alphabet))]
    tables, reference_tables = (AdaptiveTables if adaptive else Tables)(prior), Adaptive(prior)
    decoder, reference = SymbolDecoder(data), Decoder(data)
    static = reference_frequencies(prior[0])

    def expected():
        return reference.adaptive(reference_tables) if adaptive else reference.symbol(static)

    try:
        for _ in range(100):
            symbol = decoder.decode_one(tables)
            assert 0 <= symbol < alphabet
            assert symbol == expected()
    except FormatError:
        with pytest.raises(Refused):
            expected()
        return
    with contextlib.suppress(FormatError):
        values = decoder.decode_raw(5, 11)
        assert values.min() >= 0
        assert values.max() < 1 << 11
        decoder.finish()


def test_bytes_of_ones_are_refused_everywhere():
    for length in range(8, 20):
        with pytest.raises(FormatError):
            SymbolDecoder(b"\xff" * length).decode(100, Tables([[1] * 5]))
        with pytest.raises(Refused):
            Decoder(b"\xff" * length).symbol(reference_frequencies([1] * 5))


def test_any_bytes_decode_in_arrays_too():
    random = np.random.default_rng(17)
    for _ in range(2000):
        data = random.bytes(random.integers(0, 30))
        decoder = SymbolDecoder(data)
        try:
            symbols = decoder.decode(50, Tables([[3, 0, 100, 7]]))
            assert symbols.min() >= 0
            assert symbols.max() <= 3
            decoder.finish()
        except FormatError:
            pass
