"""Grids with colours that several tests of the colour coder use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.colour import CellColours, ColourMode, ColourSettings, decode_colours, encode_colours

ALL_MODES = (
    ColourSettings(ColourMode.UNIFORM),
    ColourSettings(ColourMode.PYRAMID, step=10),
    ColourSettings(ColourMode.PYRAMID, step=3, skip=1, strength=0.0),
    ColourSettings(ColourMode.PALETTE, entries=2),
    ColourSettings(ColourMode.PALETTE, entries=3, smoothness=500.0),
    ColourSettings(ColourMode.PALETTE, entries=16, skip=1),
    ColourSettings(ColourMode.SUM, entries=4, step=12),
    ColourSettings(ColourMode.SUM, entries=6, step=20, skip=1, smoothness=800.0),
)


def shell(size: int) -> NDArray[np.bool_]:
    """Cells that a sphere passes through."""
    axis = np.arange(size) - (size - 1) / 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    occupied: NDArray[np.bool_] = np.abs(distance - (size / 2 - 1)) < 0.6
    return occupied


def gradient(occupied: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colours that change slowly along each axis."""
    cells = np.argwhere(occupied)
    return (40 + cells * (180 / np.maximum(1, np.array(occupied.shape) - 1))).astype(np.uint8)


def halves(occupied: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Red on one side, blue on the other."""
    left = np.argwhere(occupied)[:, 0] < occupied.shape[0] // 2
    return np.where(left[:, None], [220, 30, 20], [20, 40, 200]).astype(np.uint8)


def coded(
    occupied: NDArray[np.bool_],
    rgb: NDArray[np.uint8],
    settings: ColourSettings,
    weights: NDArray[np.float64] | None = None,
) -> tuple[bytes, CellColours]:
    """Bytes of a stream and what the encoder says it decodes to."""
    encoder = SymbolEncoder()
    ones = np.ones(len(rgb)) if weights is None else weights
    colours = encode_colours(encoder, occupied, rgb, ones, settings)
    return encoder.finish(), colours


def decoded(data: bytes, occupied: NDArray[np.bool_]) -> CellColours:
    """Decode and check the hash."""
    decoder = SymbolDecoder(data)
    colours = decode_colours(decoder, occupied)
    decoder.finish()
    return colours
