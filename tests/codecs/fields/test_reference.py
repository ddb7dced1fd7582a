"""`CODEC_SPEC.md` is enough to read `field.blocks`."""

from __future__ import annotations

import numpy as np
import pytest
import reference_fields as reference
from field_cases import ball, of_grid, places

from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.codecs.fields.build import FieldBuilder
from squeeze3d.codecs.fields.container import empty_stream
from squeeze3d.codecs.fields.distances import FAR
from squeeze3d.codecs.fields.model import Steps

PALETTE = ColourSettings(ColourMode.PALETTE, entries=5, smoothness=100.0)
UNIFORM = ColourSettings(ColourMode.UNIFORM)


def slab() -> FieldBuilder:
    """A checked slab with soft ends in a grid that is no cube."""
    place = places(6, 9, 13)
    dark = (np.floor(4 * place).astype(int).sum(axis=3) % 2)[..., None]
    sigma = 40 * np.clip(3 - 4 * np.abs(place[..., 2:]), 0, 1) * (np.abs(place[..., :1]) < 0.6)
    return FieldBuilder(of_grid(np.concatenate([np.clip((place + 1) / 2 - 0.4 * dark, 0, 1), sigma], axis=3)))


@pytest.mark.parametrize("name", ["ball", "slab"])
@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize(
    ("colours", "steps"),
    [
        (UNIFORM, Steps()),
        (PALETTE, Steps(skin=1)),
        (UNIFORM, Steps(opacity=9, skin=28)),
        (PALETTE, Steps(opacity=18, skin=12, colour=5)),
    ],
)
def test_the_second_decoder_agrees(name, share, colours, steps):
    builder = FieldBuilder(ball(12)) if name == "ball" else slab()
    geometry = builder.geometry(round(share * builder.longest), steps.opacity)
    assert geometry is not None
    skin = builder.own_skin(geometry) if steps.colour else builder.skin(geometry)
    encoder = SymbolEncoder()
    cells = builder.encode(encoder, geometry, skin, colours, steps)
    found = reference.decode_stream(encoder.finish())
    assert (found.size, found.coded, found.log) == (cells.head.shape, cells.head.coded, False)
    for cell, distance in found.distances.items():
        assert cells.squares[cell] == (FAR if distance == reference.FAR else distance)
    assert np.array_equal(list(found.opacity.values()), cells.opacity.reshape(-1))
    assert cells.places is not None
    order = np.stack(np.unravel_index(cells.places, cells.head.coded), axis=1)
    assert list(found.colours) == [tuple(cell) for cell in order.tolist()]
    assert np.array_equal(list(found.colours.values()), cells.ycocg)


def test_the_second_decoder_reads_empty_fields():
    builder = FieldBuilder(of_grid(np.zeros((3, 4, 5, 4))))
    found = reference.decode_stream(empty_stream(builder.content))
    assert found.size == (3, 4, 5)
    assert not found.colours
