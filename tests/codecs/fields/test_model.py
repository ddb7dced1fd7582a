"""Streams of `field.blocks`: what is decoded is what was encoded, and damage is an error or another field."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from field_cases import ball, of_grid, places
from hang_guard import ends

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.codecs.fields.build import FieldBuilder
from squeeze3d.codecs.fields.container import empty_stream
from squeeze3d.codecs.fields.head import Head
from squeeze3d.codecs.fields.model import Cells, Steps, decode_field
from squeeze3d.errors import FormatError, LimitError, Sq3Error

PALETTE = ColourSettings(ColourMode.PALETTE, entries=8, smoothness=800.0)
UNIFORM = ColourSettings(ColourMode.UNIFORM)


def stream(builder: FieldBuilder, longest: int, colours: ColourSettings, steps: Steps) -> tuple[bytes, Cells]:
    geometry = builder.geometry(longest, steps.opacity)
    assert geometry is not None
    skin = builder.own_skin(geometry) if steps.colour else builder.skin(geometry)
    encoder = SymbolEncoder()
    cells = builder.encode(encoder, geometry, skin, colours, steps)
    return encoder.finish(), cells


def same(one: Cells, other: Cells) -> bool:
    if one.head != other.head or one.profile != other.profile:
        return False
    pairs = (
        (one.squares, other.squares),
        (one.excess, other.excess),
        (one.places, other.places),
        (one.ycocg, other.ycocg),
    )
    return all(a is b is None or np.array_equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("longest", [24, 15, 4])
@pytest.mark.parametrize(
    ("colours", "steps"),
    [
        (UNIFORM, Steps()),
        (UNIFORM, Steps(skin=1)),
        (PALETTE, Steps(skin=40)),
        (PALETTE, Steps(opacity=6, skin=20)),
        (PALETTE, Steps(opacity=20, skin=10, colour=3)),
    ],
)
def test_decodes_what_was_encoded(longest, colours, steps, is_log):
    data, cells = stream(FieldBuilder(ball(is_log=is_log)), longest, colours, steps)
    decoder = SymbolDecoder(data)
    assert same(decode_field(decoder, Limits()), cells)
    decoder.finish()


def test_thin_and_lopsided_grids():
    for shape in ((1, 1, 1), (1, 9, 1), (2, 3, 40), (17, 1, 5)):
        grid = np.concatenate([(places(*shape) + 1) / 2, np.full((*shape, 1), 80.0)], axis=3)
        builder = FieldBuilder(of_grid(grid))
        for longest in {max(shape), max(1, max(shape) // 2)}:
            data, cells = stream(builder, longest, UNIFORM, Steps(opacity=3, skin=8, colour=9))
            assert same(decode_field(SymbolDecoder(data), Limits()), cells)


def test_coded_colours_come_close():
    builder = FieldBuilder(ball())
    geometry = builder.geometry(24)
    assert geometry is not None
    skin = builder.own_skin(geometry)
    _, cells = stream(builder, 24, UNIFORM, Steps(skin=1, colour=1))
    assert cells.places is not None
    assert np.abs(cells.rgb[: len(skin.rgb)] - skin.rgb).mean() < 2.0


@pytest.mark.parametrize("seed", range(30))
def test_any_bytes_end(seed):
    numbers = np.random.Generator(np.random.PCG64(seed))
    data, _ = stream(FieldBuilder(ball(12)), 12, PALETTE, Steps(opacity=6, skin=20, colour=9))
    damaged = bytearray(data)
    for at in numbers.integers(len(data), size=3):
        damaged[at] ^= 1 << int(numbers.integers(8))
    with ends(), contextlib.suppress(Sq3Error):
        decoder = SymbolDecoder(bytes(damaged))
        decode_field(decoder, Limits(1 << 24))


def test_huge_grids_are_refused_before_anything_is_read():
    encoder = SymbolEncoder()
    Head((4096, 4096, 4096), 1).write(encoder)
    with pytest.raises(LimitError, match="4096 x 4096 x 4096"):
        decode_field(SymbolDecoder(encoder.finish()), Limits())
    encoder = SymbolEncoder()
    Head((4096, 4096, 1), 4096).write(encoder)
    with pytest.raises(LimitError, match="coded grid"):
        decode_field(SymbolDecoder(encoder.finish()), Limits(1 << 30))


def test_a_coded_grid_finer_than_the_field_is_refused():
    encoder = SymbolEncoder()
    encoder.encode_raw([0, 1], 1)
    encoder.encode_raw([7, 8], 12)
    with pytest.raises(FormatError, match="9 cells are coded of 8"):
        Head.read(SymbolDecoder(encoder.finish()))


def test_an_empty_field_is_a_head_and_a_flag():
    builder = FieldBuilder(of_grid(np.zeros((5, 6, 7, 4))))
    assert not builder.is_visible
    cells = decode_field(SymbolDecoder(empty_stream(builder.content)), Limits())
    assert cells.head.shape == (5, 6, 7)
    assert cells.profile is None
