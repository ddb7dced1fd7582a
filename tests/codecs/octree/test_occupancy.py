from __future__ import annotations

import itertools

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.octree.contexts import OCTANT_ORDER, PASS_OF, SIZES, LevelContexts
from squeeze3d.codecs.octree.occupancy import (
    NODES_PER_BYTE,
    SPARE_NODES,
    decode_occupancy,
    encode_occupancy,
    least_bytes,
    occupancy_bits,
)
from squeeze3d.codecs.octree.tree import levels_of, masks_of
from squeeze3d.errors import FormatError, LimitError

SQUARE = np.array(list(itertools.product(range(64), repeat=2)))
CLOUDS = {
    "one": (np.array([[9, 8, 7]]), 4),
    "one, deep": (np.array([[1 << 20, 12345, 99]]), 21),
    "block": (np.array(list(itertools.product(range(8), repeat=3))), 3),
    "plane": (np.stack([SQUARE[:, 0], SQUARE[:, 1], SQUARE.sum(axis=1) // 2], axis=1), 6),
    "line": (np.arange(1 << 12)[:, None] * np.array([1, 1, 0]), 12),
    "noise": (random(1).integers(0, 64, (3000, 3)), 6),
    "far apart": (random(2).integers(0, 1 << 12, (100, 3)), 12),
}


def masks(name: str) -> list[np.ndarray]:
    cells, depth = CLOUDS[name]
    return masks_of(np.unique(morton(cells)), depth)


def encoded(name: str) -> bytes:
    encoder = SymbolEncoder()
    encode_occupancy(encoder, masks(name), levels_of(masks(name)))
    return encoder.finish().ljust(least_bytes(masks(name)), b"\0")


@pytest.mark.parametrize("name", CLOUDS)
def test_round_trip(name):
    data = encoded(name)
    cells, depth = CLOUDS[name]
    decoder = SymbolDecoder(data)
    levels = decode_occupancy(decoder, depth, len(data), Limits())
    decoder.finish()
    assert (morton(levels[-1].cells.T) == np.unique(morton(cells))).all()


@pytest.mark.parametrize("name", CLOUDS)
def test_estimate_is_what_the_stream_takes(name):
    assert (
        abs(
            max(occupancy_bits(masks(name), levels_of(masks(name))) / 8 + 2, least_bytes(masks(name)))
            - len(encoded(name))
        )
        < 5
    )


def test_smooth_surfaces_take_few_bits():
    assert 8 * len(encoded("plane")) < 0.75 * len(SQUARE)


def test_contexts_are_in_range():
    levels = levels_of(masks("noise"))
    for level, truth in enumerate(masks("noise")):
        contexts = LevelContexts(levels[: level + 1])
        for each in contexts.passes():
            found = np.zeros(len(each.rows), dtype=np.uint8)
            for turn, octant in enumerate(OCTANT_ORDER):
                rows, sets = each.contexts(turn, found, slice(None))
                assert (rows >= 0).all()
                assert (rows.max(axis=1) < np.array(SIZES)).all()
                assert 0 <= sets.min() <= sets.max() < 72
                found |= truth[each.rows] & np.uint8(1 << octant)
            contexts.learn(each.rows, found)


def test_face_neighbours_are_coded_in_different_passes():
    for step in (1, 2, 3):
        assert (np.roll(PASS_OF, step) != PASS_OF).all()


def test_a_level_that_takes_too_much_memory_is_refused_before_it_is_made():
    data = encoded("noise")
    with pytest.raises(LimitError, match="octree"):
        decode_occupancy(SymbolDecoder(data), 6, len(data), Limits(1 << 18))


def test_more_nodes_than_a_stream_may_tell_are_refused():
    data = encoded("noise")
    nodes = sum(len(each) for each in masks("noise")[1:]) + len(np.unique(morton(CLOUDS["noise"][0])))
    assert NODES_PER_BYTE * least_bytes(masks("noise")) + SPARE_NODES >= nodes
    with pytest.raises(FormatError, match="too large for its stream"):
        decode_occupancy(SymbolDecoder(data), 6, least_bytes(masks("noise")) - 9, Limits())
