"""The coder of the binary grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.lite import structure
from squeeze3d.codecs.lite.context_net import ContextNet, Layer
from squeeze3d.codecs.lite.pyramid import FEATURES
from squeeze3d.codecs.lite.structure import check_net, decode_structure, encode_structure, structure_bits
from squeeze3d.errors import FormatError, LimitError, Sq3Error


def encoded(grid):
    encoder = SymbolEncoder()
    encode_structure(encoder, grid)
    return encoder.finish()


def decoded(data, shape):
    decoder = SymbolDecoder(data)
    grid = decode_structure(decoder, shape, Limits())
    decoder.finish()
    return grid


def ball(sides, radius=1.0):
    axes = [np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in sides]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius**2


def shell(side):
    return ball((side,) * 3) & ~ball((side,) * 3, 0.7)


def spongy(side):
    """Full at every coarser level, with a hole below each enclosed parent."""
    grid = np.ones((side,) * 3, bool)
    grid[1::2, 1::2, 1::2] = False
    return grid


GRIDS = {
    "one cell": np.ones((1, 1, 1), bool),
    "nothing at all": np.zeros((5, 6, 7), bool),
    "everything": np.ones((9, 10, 11), bool),
    "ball": ball((21, 21, 21)),
    "flat": ball((1, 30, 17)),
    "stick": np.ones((1, 1, 29), bool),
    "hollow ball": shell(30),
    "noise": np.random.default_rng(0).random((13, 8, 10)) < 0.5,
    "spongy": spongy(22),
    "checkers": np.indices((9, 9, 9)).sum(axis=0) % 2 == 0,
}


@pytest.mark.parametrize("name", GRIDS)
def test_grids_come_back_as_they_were(name):
    grid = GRIDS[name]
    found = decoded(encoded(grid), grid.shape)
    assert found.dtype == bool
    assert np.array_equal(found, grid)


@pytest.mark.parametrize("shape", list(itertools.product((1, 2, 3), repeat=3)))
def test_small_shapes_come_back(shape):
    random = np.random.default_rng(sum(shape))
    for share in (0.2, 0.8):
        grid = random.random(shape) < share
        assert np.array_equal(decoded(encoded(grid), shape), grid)


@pytest.mark.parametrize("name", GRIDS)
def test_predicted_bits_are_those_of_the_file(name):
    # The symbol hash takes two bytes; the coder adds at most two and may drop zeros.
    assert abs(structure_bits(GRIDS[name]) / 8 + 2 - len(encoded(GRIDS[name]))) <= 2


def test_blocks_change_no_bytes(monkeypatch):
    grid = shell(24)
    data = encoded(grid)
    monkeypatch.setattr(structure, "BLOCK", 7)
    assert encoded(grid) == data
    assert np.array_equal(decoded(data, grid.shape), grid)


def test_smooth_shapes_take_few_bytes():
    # Counted octrees take 218 bytes for a shape of this size that is far simpler than most.
    assert len(encoded(ball((30, 30, 30)))) < 200
    assert len(encoded(np.ones((30, 30, 30), bool))) <= 10


def test_hollow_parents_become_cheap():
    # 1000 enclosed parents are not whole; at the prior of 1 in 2000 their flags alone would take 1400 bytes.
    net = ContextNet([Layer(np.zeros((8, 1, FEATURES), np.int8), np.zeros((8, 1), np.int32), 0)])
    plain = structure_bits(np.ones((24, 24, 24), bool), net)
    holes = structure_bits(spongy(24), net)
    # The network knows nothing: 1.07 bits at most for each of 8 children. The rest is flags.
    assert holes - plain < 1.07 * 8 * 1000 + 8 * 60


@pytest.mark.parametrize("shape", [(20, 20, 20), (1, 40, 3)])
def test_hostile_streams_give_a_grid_or_an_error(shape):
    random = np.random.default_rng(3)
    for size in (0, 1, 4, 40, 400):
        decoder = SymbolDecoder(random.bytes(size))
        try:
            grid = decode_structure(decoder, shape, Limits())
        except Sq3Error:
            continue
        assert grid.shape == shape


def test_damage_is_noticed():
    grid = ball((12, 12, 12))
    data = encoded(grid)
    noticed = 0
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 16
        try:
            decoded(bytes(damaged), grid.shape)
        except Sq3Error:
            noticed += 1
    # The last byte may hold bits that decide nothing.
    assert noticed >= len(data) - 1


def test_refuses_grids_beyond_the_limits():
    with pytest.raises(LimitError):
        decode_structure(SymbolDecoder(b""), (1 << 20, 1 << 20, 1 << 20), Limits())
    with pytest.raises(FormatError):
        decode_structure(SymbolDecoder(b""), (3, 0, 3), Limits())


def test_refuses_arrays_that_are_no_grid():
    for shape in ((3, 3), (0, 3, 3)):
        with pytest.raises(ValueError, match="structure"):
            encode_structure(SymbolEncoder(), np.ones(shape, bool))


def test_refuses_networks_for_something_else():
    biases = np.zeros((8, 1), np.int32)
    with pytest.raises(FormatError, match="structure network"):
        check_net(ContextNet([Layer(np.zeros((8, 1, 17), np.int8), biases, 0)]))
    weights = np.zeros((8, 1, FEATURES), np.int8)
    check_net(ContextNet([Layer(weights, biases, 0)]))
    weights[3, 0, 0] = 1
    with pytest.raises(FormatError, match="octants"):
        check_net(ContextNet([Layer(weights, biases, 0)]))
