"""A field to symbols and back.

```text
head ─► solid (structure) ─► profile, [corrections] ─► palette, [transform] of skin ─► [corrections of colours] ─► hash
          │                     │                               │
          └─ distances, layers ─┴─► opacities ─► light ─────────┴─► copied from the skin inwards and outwards
```

Symbols and what they depend on are integers. The transform of the skin computes in double precision, one operation
after the other, and only `rebuild` in whatever is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.aims import CellAims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.model import CellColours, decode_colours, encode_cells
from squeeze3d.codecs.colour.settings import ColourSettings
from squeeze3d.codecs.colour.ycocg import display, exact_ycocg, rgb_to_ycocg
from squeeze3d.codecs.fields.distances import FAR, Layers, layers_of, signed_squares, skin_of
from squeeze3d.codecs.fields.head import Head, check_grid
from squeeze3d.codecs.fields.light import CLASSES, OPAQUE, arriving, classes_of
from squeeze3d.codecs.fields.profile import Profile
from squeeze3d.codecs.fields.residuals import Quantity, decode_residuals, encode_residuals, spread
from squeeze3d.codecs.fields.transform import FINENESS, Transform
from squeeze3d.codecs.lite.structure import decode_structure, encode_structure

BRIGHT = 4
"""Class of light from which on steps of colours grow. Part of the format."""
OPACITY_BITS = 5
"""A step of opacity: 0 is none, s > 0 is the peak by 2**((s + 1) / 2). Part of the format."""
SKIN_BITS = 6
"""A step of the transform of the skin: 0 is none, else one more than its number. Part of the format."""
COLOUR_BITS = 6
"""A step of colours behind the skin: 0 is none, else the step of luma in levels of 255. Part of the format."""
_RANGE = 512 * FINENESS
_BYTES_PER_CELL = 200
"""Working memory of a cell of the coded grid."""


@dataclass(frozen=True)
class Steps:
    """How fine corrections are."""

    opacity: int = 0
    """0: none; larger is finer, 1 to 31."""
    skin: int = 0
    """0: none; larger is coarser, 1 to 63."""
    colour: int = 0
    """0: none; larger is coarser, 1 to 63."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Decoded cells of the coded grid."""

    head: Head
    squares: NDArray[np.int32]
    """(X, Y, Z) signed squared distances."""
    profile: Profile | None = None
    """None where the field is empty."""
    excess: NDArray[np.int64] | None = None
    """(X, Y, Z) what is added to the opacity that the profile says, in units of 1 / OPAQUE; None for nothing."""
    places: NDArray[np.int64] | None = None
    """(N,) cells with a colour, in the flat grid."""
    ycocg: NDArray[np.int64] | None = None
    """(N, 3) their colours, in parts of 1 / FINENESS of a level of 255."""

    @cached_property
    def opacity(self) -> NDArray[np.int64]:
        """(X, Y, Z) opacity of a cell of the field at each place, 0 to OPAQUE."""
        if self.profile is None:
            return np.zeros(self.squares.shape, dtype=np.int64)
        told = self.profile.opacities(self.squares)
        return told if self.excess is None else np.clip(told + self.excess, 0, OPAQUE)

    @property
    def rgb(self) -> NDArray[np.float64]:
        """(N, 3) sRGB in [0, 255] of the cells with a colour."""
        assert self.ycocg is not None
        return display(self.ycocg / FINENESS)


@dataclass(frozen=True, eq=False)
class Wishes:
    """What the cells of a coded grid should hold."""

    opacity: NDArray[np.float64]
    """(X, Y, Z) opacity of a cell of the field, 0 to 1."""
    skin_rgb: NDArray[np.float64]
    """(S, 3) sRGB in [0, 255] of the skin, in raster order."""
    skin_weights: NDArray[np.float64]
    """(S,) importance."""
    rgb: NDArray[np.float64]
    """(X, Y, Z, 3) sRGB in [0, 255]."""


def encode_field(
    encoder: SymbolEncoder,
    head: Head,
    solid: NDArray[np.bool_],
    profile: Profile,
    wishes: Wishes,
    colours: ColourSettings,
    steps: Steps,
) -> Cells:
    """Append a field; returns what `decode_field` returns."""
    head.write(encoder)
    encode_structure(encoder, solid)
    squares = signed_squares(solid)
    if not solid.any():
        return Cells(head, squares)
    profile.write(encoder)
    cells = encode_opacity(encoder, Cells(head, squares, profile), wishes.opacity, steps.opacity)
    layers, light, seen = lit_layers(cells, None)
    full = Hierarchy(skin_of(squares))
    skin = fixed_colours(encode_cells(encoder, full, CellAims(full, wishes.skin_rgb, wishes.skin_weights), colours))
    encoder.encode_raw([steps.skin], SKIN_BITS)
    if steps.skin:
        missing = exact_ycocg(wishes.skin_rgb) - skin / FINENESS
        skin = skin + Transform(full, layers.gathered(light)).encode(encoder, missing, steps.skin - 1)
    encoder.encode_raw([steps.colour], COLOUR_BITS)
    if not steps.colour:
        return with_colours(cells, layers, spread(layers, skin))
    goals = FINENESS * exact_ycocg(wishes.rgb.reshape(-1, 3)[layers.cells])
    quantity = _colour_quantity(layers, seen, steps.colour)
    return with_colours(cells, layers, encode_residuals(encoder, layers, skin, quantity, goals))


def encode_opacity(encoder: SymbolEncoder, cells: Cells, opacity: NDArray[np.float64], step: int) -> Cells:
    """Append corrections of the profile towards (X, Y, Z) opacities from 0 to 1; step 0 for none."""
    encoder.encode_raw([step], OPACITY_BITS)
    if not step:
        return cells
    layers, quantity = _opacity_quantity(cells, step, None)
    goals = (opacity * OPAQUE - cells.opacity).reshape(-1)[layers.cells][:, None]
    start = np.zeros((layers.skin, 1), dtype=np.int64)
    return _with_excess(cells, layers, encode_residuals(encoder, layers, start, quantity, goals))


def _decode_opacity(decoder: SymbolDecoder, cells: Cells, limits: Limits) -> Cells:
    step = int(decoder.decode_raw(1, OPACITY_BITS)[0])
    if not step:
        return cells
    layers, quantity = _opacity_quantity(cells, step, limits)
    start = np.zeros((layers.skin, 1), dtype=np.int64)
    return _with_excess(cells, layers, decode_residuals(decoder, layers, start, quantity))


def decode_field(decoder: SymbolDecoder, limits: Limits) -> Cells:
    """Next field. Any bytes give some cells or an error; the caller checks the symbol hash.

    Raises FormatError if the stream contradicts itself, LimitError if the grid needs too much memory.
    """
    head = Head.read(decoder)
    check_grid(head, limits)
    x, y, z = head.coded
    limits.check(_BYTES_PER_CELL * x * y * z, f"a coded grid of {x} x {y} x {z} cells")
    solid = decode_structure(decoder, head.coded, limits)
    squares = signed_squares(solid)
    if not solid.any():
        return Cells(head, squares)
    cells = _decode_opacity(decoder, Cells(head, squares, Profile.read(decoder, coarse=head.is_coarse)), limits)
    layers, light, seen = lit_layers(cells, limits)
    colours = decode_colours(decoder, skin_of(squares), limits)
    skin = fixed_colours(colours)
    step = int(decoder.decode_raw(1, SKIN_BITS)[0])
    if step:
        skin = skin + Transform(colours.full, layers.gathered(light)).decode(decoder, step - 1)
    step = int(decoder.decode_raw(1, COLOUR_BITS)[0])
    if not step:
        return with_colours(cells, layers, spread(layers, skin))
    quantity = _colour_quantity(layers, seen, step)
    return with_colours(cells, layers, decode_residuals(decoder, layers, skin, quantity))


def fixed_colours(colours: CellColours) -> NDArray[np.int64]:
    """(S, 3) YCoCg of the skin in parts of 1 / FINENESS."""
    return rgb_to_ycocg(colours.rgb.astype(np.int64) * FINENESS)


def light_of(cells: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(X, Y, Z) light that arrives at each cell of the coded grid, and that comes from it."""
    passed = OPAQUE - cells.opacity
    through = passed
    # A coded cell is as deep as `factor` cells of the field.
    for _ in range(min(cells.head.factor, 32) - 1):
        through = through * passed >> 24
    arrived = arriving(OPAQUE - through)
    return arrived, arrived * (OPAQUE - through) >> 24


def lit_layers(cells: Cells, limits: Limits | None) -> tuple[Layers, NDArray[np.int64], NDArray[np.int64]]:
    """Layers of all cells that can be seen, the light that comes from each, and its class."""
    light = light_of(cells)[1]
    seen = classes_of(light)
    layers = layers_of(cells.squares, (seen < CLASSES) & (cells.squares < FAR), limits)
    return layers, light.reshape(-1)[layers.cells], seen.reshape(-1)[layers.cells]


def _colour_quantity(layers: Layers, light: NDArray[np.int64], step: int) -> Quantity:
    dim = np.maximum(light - BRIGHT, 0)
    luma = step * np.where(dim & 1, 181, 128) << (dim >> 1)
    steps = luma[:, None] * np.array([1, 2, 2]) * (FINENESS >> 7)
    coded = (light < CLASSES) & (np.arange(len(light)) >= layers.skin)
    return Quantity(steps, coded, light, -_RANGE, _RANGE)


def _opacity_quantity(cells: Cells, step: int, limits: Limits | None) -> tuple[Layers, Quantity]:
    assert cells.profile is not None
    arrived = classes_of(light_of(cells)[0])
    told = cells.opacity
    layers = layers_of(cells.squares, (arrived < CLASSES) & (told > 0), limits)
    light = arrived.reshape(-1)[layers.cells]
    # Quarter of the step of full light, so that an odd number of half octaves rounds well.
    base = max(4, (cells.profile.unit << 2) * (181 if step & 1 else 128) >> 7 + (step + 1 >> 1))
    steps = np.maximum(1, (base * np.where(light & 1, 181, 128) << (light >> 1)) >> 9)[:, None]
    return layers, Quantity(steps, light < CLASSES, light, -OPAQUE, OPAQUE)


def _with_excess(cells: Cells, layers: Layers, values: NDArray[np.int64]) -> Cells:
    excess = np.zeros(cells.squares.shape, dtype=np.int64)
    excess.reshape(-1)[layers.cells] = values[:, 0]
    return Cells(cells.head, cells.squares, cells.profile, excess)


def with_colours(cells: Cells, layers: Layers, values: NDArray[np.int64]) -> Cells:
    """Cells with (N, 3) YCoCg of those that are listed."""
    return Cells(cells.head, cells.squares, cells.profile, cells.excess, layers.cells, values)
