from __future__ import annotations

import itertools

import numpy as np
from sample_assets import random

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.octree.placement import (
    WEIGHTS,
    decode_weights,
    directions,
    encode_weights,
    fit,
    moved,
)
from squeeze3d.codecs.octree.tree import Nodes, levels_of, masks_of


def nodes_of(cells: np.ndarray, depth: int) -> Nodes:
    return levels_of(masks_of(np.unique(morton(cells)), depth))[-1]


def test_a_lone_cell_points_nowhere():
    assert not directions(nodes_of(np.array([[3, 3, 3]]), 3)).any()


def test_symmetric_neighbours_cancel():
    nodes = nodes_of(np.array(list(itertools.product(range(3), repeat=3))), 2)
    middle = int(np.flatnonzero((nodes.cells.T == 1).all(axis=1))[0])
    assert not directions(nodes)[:, :, middle].any()


def test_fits_the_weights_that_made_the_places():
    nodes = nodes_of(random(1).integers(0, 16, (800, 3)), 4)
    found = directions(nodes)
    weights = (16, -8, 5, 20)
    wanted = sum(weight / 32 * each for weight, each in zip(weights, found, strict=True))
    assert np.abs(np.array(fit(found, wanted)) - weights).max() <= 1


def test_points_stay_in_their_cells():
    nodes = nodes_of(random(1).integers(0, 16, (800, 3)), 4)
    assert np.abs(moved(directions(nodes), (127,) * WEIGHTS)).max() == 0.5


def test_weights_round_trip():
    for weights in ((0,) * WEIGHTS, (-128, 127, -1, 1)):
        encoder = SymbolEncoder()
        encode_weights(encoder, weights)
        assert decode_weights(SymbolDecoder(encoder.finish())) == weights
