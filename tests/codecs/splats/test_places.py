"""Places: sorted keys of cells come back, also where cells are shared."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.morton import cells_of, morton
from squeeze3d.codecs.splats.places import MAX_BITS, decode_places, encode_places
from squeeze3d.errors import FormatError


def through(keys: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    encoder = SymbolEncoder()
    encode_places(encoder, keys, bits)
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    found = decode_places(decoder, len(keys), bits)
    decoder.finish()
    return found, len(data)


def cloud(count: int, bits: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << bits, (count, 3))


def test_keys_interleave_bits_and_back():
    assert morton(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]])).tolist() == [4, 2, 1, 32]
    cells = cloud(1000, MAX_BITS)
    assert np.array_equal(cells_of(morton(cells)), cells)


@pytest.mark.parametrize("bits", [4, 7, 10, 18])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 17, 100, 5000])
def test_places_come_back(count, bits):
    keys = np.sort(morton(cloud(count, bits)))
    assert np.array_equal(through(keys, bits)[0], keys)


@pytest.mark.parametrize("count", [2, 9, 1000])
def test_a_cell_may_hold_all(count):
    keys = np.full(count, 12345, dtype=np.int64)
    found, size = through(keys, 6)
    assert np.array_equal(found, keys)
    assert size < 12


def test_scattered_places_cost_no_more_than_their_entropy():
    count, bits = 4000, 12
    size = through(np.sort(morton(cloud(count, bits))), bits)[1]
    # log2 of the number of sets: order is not stored.
    ideal = count * 3 * bits - sum(np.log2(np.arange(1, count + 1)))
    assert 8 * size < 1.02 * ideal


def test_halves_that_hold_more_than_the_whole_are_refused():
    refused = 0
    for seed in range(200):
        data = np.random.default_rng(seed).bytes(40)
        try:
            decode_places(SymbolDecoder(data), 5, 6)
        except FormatError:
            refused += 1
    assert refused < 200, "frequencies of impossible counts are next to nothing"
