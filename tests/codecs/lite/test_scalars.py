"""Coding of the scalars."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.lite.cells import surface_cells
from squeeze3d.codecs.lite.context_net import ContextNet, Layer, save_net
from squeeze3d.codecs.lite.scalars import (
    INPUTS,
    LARGEST_INPUT,
    OUTPUTS,
    PASSES,
    decode_scalars,
    embedded_scalar_net,
    encode_scalars,
    load_scalar_net,
    network_inputs,
    scalar_bits,
)
from squeeze3d.codecs.lite.steps import STEPS, SYMBOLS, quantise
from squeeze3d.errors import FormatError, Sq3Error


def net(seed: int = 0, outputs: int = OUTPUTS, limit: int = LARGEST_INPUT) -> ContextNet:
    """A small network with random weights: any one must code without loss."""
    rng = np.random.default_rng(seed)
    widths = (INPUTS, 12, outputs)
    layers = [
        Layer(
            rng.integers(-9, 10, size=(1, b, a)).astype(np.int8),
            rng.integers(-99, 99, size=(1, b)).astype(np.int32),
            3,
        )
        for a, b in pairwise(widths)
    ]
    return ContextNet(layers, limit=limit)


def ball(radius: float = 5.3) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """A structure, and the signed distances at its surface cells."""
    axis = np.arange(13) - 6.0
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - radius
    occupied = distance < 0.5
    return occupied, distance[tuple(surface_cells(occupied).T)]


@pytest.mark.parametrize("step_index", [1, 2, 3])
def test_round_trip(step_index):
    occupied, distances = ball()
    scalars = quantise(distances, step_index)
    encoder = SymbolEncoder()
    encode_scalars(encoder, occupied, scalars, step_index, net=net())
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    decoded = decode_scalars(decoder, occupied, step_index, net=net())
    decoder.finish()
    assert np.array_equal(decoded, scalars)
    bits = scalar_bits(occupied, scalars, step_index, net=net())
    assert bits == pytest.approx(8 * len(data) - 16, abs=24), "bits are what the stream takes, without hash and end"


@pytest.mark.parametrize("step_index", [1, 2, 3])
def test_the_shipped_network_beats_plain_numbers(step_index):
    occupied, distances = ball()
    scalars = quantise(distances, step_index)
    plain = len(scalars) * np.log2(SYMBOLS[step_index])
    assert scalar_bits(occupied, scalars, step_index) < 0.75 * plain


def test_without_scalars_nothing_is_written():
    occupied, _ = ball()
    encoder = SymbolEncoder()
    encode_scalars(encoder, occupied, np.empty(0, np.int32), 0, net=net())
    assert encoder.finish() == SymbolEncoder().finish()
    assert decode_scalars(SymbolDecoder(b""), occupied, 0, net=net()) is None


def test_an_empty_structure_has_no_scalars():
    empty = np.zeros((3, 4, 5), dtype=bool)
    decoded = decode_scalars(SymbolDecoder(b""), empty, 2, net=net())
    assert decoded is not None
    assert len(decoded) == 0


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_give_numbers_in_range_or_an_error(seed):
    occupied, _ = ball()
    data = np.random.default_rng(seed).bytes(400)
    for step_index in (1, 2, 3):
        try:
            decoded = decode_scalars(SymbolDecoder(data), occupied, step_index, net=net())
        except Sq3Error:
            continue
        assert decoded is not None
        assert np.abs(decoded).max() <= SYMBOLS[step_index] // 2


def test_passes_cover_each_parity_once():
    assert sorted(PASSES) == sorted(np.ndindex(2, 2, 2))


def test_inputs_stay_within_the_limit():
    structure = np.full((1, 376), 27, dtype=np.uint8)
    structure[:, :251] = 1
    for step_index in (1, 2, 3):
        largest = SYMBOLS[step_index] // 2 * (0, 3, 2, 1)[step_index]
        inputs = network_inputs(structure, np.full((1, 93), -largest), np.ones((1, 93)), step_index)
        assert np.abs(inputs).max() <= LARGEST_INPUT
        assert np.array_equal(inputs, np.rint(inputs))


def test_scalars_round_to_the_nearest_step():
    distances = np.linspace(-0.5, 0.5, 101)
    for step_index in (1, 2, 3):
        error = np.abs(quantise(distances, step_index) * STEPS[step_index] - distances)
        assert error.max() <= STEPS[step_index] / 2 + 1e-9
    assert quantise(np.array([-3.0, 3.0]), 3).tolist() == [-3, 3]


def test_rejects_a_network_for_something_else(tmp_path):
    path = tmp_path / "net.safetensors"
    save_net(path, net(outputs=3), {})
    with pytest.raises(FormatError, match="scalars"):
        load_scalar_net(path)
    save_net(path, net(limit=1), {})
    with pytest.raises(FormatError, match="scalars"):
        load_scalar_net(path)


def test_the_shipped_network_loads():
    assert embedded_scalar_net().outputs == OUTPUTS
