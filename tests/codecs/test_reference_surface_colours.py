"""`CODEC_SPEC.md` is enough to read the colours of generated surfaces."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import reference_surface_colours as reference
from colour_cases import ALL_MODES
from numpy.typing import NDArray
from sample_assets import random

from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.codecs.colour import ColourSettings
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.surface_colours import decode_surface_colours
from squeeze3d.codecs.surface_colours.layout import RESOLUTIONS, Kind, Layout
from squeeze3d.codecs.surface_colours.stream import cells_of, write_stream
from squeeze3d.errors import Sq3Error

LAYOUTS = {
    "volume": Layout(Kind.VOLUME, 0, (-4, -3, 2), (7, 6, 5), 0),
    "blocks": Layout(Kind.VOLUME, 3, (-5, 0, 1), (7, 6, 1), 1),
    "views": Layout(Kind.VIEWS, 1, (-3, -2, -1), (4, 3, 2), 0),
    "thin views": Layout(Kind.VIEWS, 7, (-64, 63, 0), (3, 1, 1), 0),
}
ALL = [(name, settings) for name in LAYOUTS for settings in ALL_MODES]
"""Every layout with every kind of colours."""


@cache
def stream(name: str, settings: ColourSettings) -> bytes:
    """Random colours that change slowly, in half of the cells of volumes."""
    layout, numbers = LAYOUTS[name], random(5)
    blocks = numbers.random(layout.blocks) < 0.5 if layout.kind is Kind.VOLUME else None
    full = Hierarchy(cells_of(layout, blocks))
    rgb = np.clip(128 + 25 * full.levels[-1].cells + numbers.normal(0, 12, (full.count, 3)), 0, 255)
    return write_stream(layout, blocks, full, rgb, numbers.random(full.count), settings)[0]


def test_resolutions_are_those_of_the_specification():
    assert reference.RESOLUTIONS == RESOLUTIONS


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_the_specification_is_enough_for_the_cells(name, settings):
    data = stream(name, settings)
    expected, found = decode_surface_colours(data), reference.decode_surface_colours(data)
    layout = expected.layout
    assert (found.kind, found.resolution, found.low, found.size, found.shape) == (
        layout.kind, layout.resolution, layout.low, layout.size, layout.shape
    )  # fmt: skip
    cells = [tuple(cell) for cell in expected.cells.full.levels[-1].cells.tolist()]
    assert [found.cells[cell] for cell in cells] == [tuple(colour) for colour in expected.rgb.tolist()]
    assert len(found.cells) == len(cells)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_specification_is_enough_for_what_is_read(name):
    data = stream(name, ALL_MODES[1])
    numbers = random(6)
    places = numbers.uniform(-1.4, 1.4, (60, 3))
    normals = unit(numbers.normal(size=(60, 3)))
    normals[:3] = [[0, 0, 0], [0, -1, 0], [1, 0, 0]]
    expected = 255 * decode_surface_colours(data).at(places, normals, half_extent=0.9)
    colours = reference.decode_surface_colours(data)
    found = [reference.colour_at(colours, place, normal, 0.9) for place, normal in zip(places, normals, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_decoders_refuse_the_same_bytes(name):
    data = stream(name, ALL_MODES[6])
    for variant in (*damaged(data), b"", data[:3], *(random(seed).bytes(30) for seed in range(8))):
        assert refuses(decode_surface_colours, variant) == refuses(reference.decode_surface_colours, variant)


def test_both_decoders_refuse_what_the_specification_says():
    def head(kind: int, low: int, size: int) -> SymbolEncoder:
        encoder = SymbolEncoder()
        for values, bits in (([kind], 1), ([1], 3), ([low + 8] * 3, 4), ([size - 1] * 3, 4)):
            encoder.encode_raw(values, bits)
        return encoder

    beyond = head(1, 5, 4)
    empty = head(0, -3, 6)
    empty.encode_raw([1], 2)
    from squeeze3d.codecs.lite.structure import encode_structure

    encode_structure(empty, np.zeros((3, 3, 3), dtype=bool))
    for encoder in (beyond, empty):
        data = encoder.finish()
        assert refuses(decode_surface_colours, data)
        assert refuses(reference.decode_surface_colours, data)


def refuses(decode, data: bytes) -> bool:
    """Whether a decoder returns no colours; any error but its own gets through."""
    try:
        decode(data)
    except (Sq3Error, ValueError):
        return True
    return False


def damaged(data: bytes) -> list[bytes]:
    """A bit flipped in some of the bytes."""
    return [data[:k] + bytes([data[k] ^ 16]) + data[k + 1 :] for k in range(0, len(data), 9)]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result
