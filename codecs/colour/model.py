"""Colours of occupied cells to symbols and back.

```text
mode ─► palette, labels (PALETTE, SUM) ─► pyramid of what is left (PYRAMID, SUM)
```

Nothing but the occupied cells must be known to the decoder; the settings are in the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.aims import Aims, CellAims
from squeeze3d.codecs.colour.cells import Hierarchy, interpolated
from squeeze3d.codecs.colour.labels import LabelTables, decode_labels, encode_labels
from squeeze3d.codecs.colour.palette import PALETTE_BITS, dequantise_channels, fit_palette, quantise_channels
from squeeze3d.codecs.colour.pyramid import PyramidTables, decode_pyramid, encode_pyramid
from squeeze3d.codecs.colour.quantise_pyramid import quantise
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.codecs.colour.ycocg import exact_ycocg, rgb_to_ycocg, ycocg_to_rgb
from squeeze3d.errors import FormatError

MODE_BITS = 2
SKIP_BITS = 3
STEP_BITS = 6
ENTRIES_BITS = 4
UNIFORM_BITS = 7
"""Bits per channel where one colour is all there is."""
ROOT_BITS = 6
"""Bits per channel of the colour at the root of a pyramid; residuals correct what is missing."""


@dataclass(frozen=True, eq=False)
class CellColours:
    """Decoded colours: a palette entry per cell, a smooth field, or their sum.

    Cells are those of `hierarchy`: the occupied cells of the grid, pooled `skip` times.
    """

    mode: ColourMode
    full: Hierarchy
    """The occupied cells of the grid."""
    skip: int
    """How many of its finest levels are interpolated."""
    palette: NDArray[np.int64]
    """(K, 3) YCoCg; K = 0 without a palette."""
    labels: NDArray[np.int64]
    """(N,) palette entry of each cell; empty without a palette."""
    smooth: NDArray[np.int64]
    """(N, 3) YCoCg, to be added to the palette entry; empty without a smooth field."""

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """Cells that have a colour of their own."""
        return self.full.pooled_times(self.skip)

    @cached_property
    def values(self) -> NDArray[np.int64]:
        """(N, 3) YCoCg of the cells that have a colour of their own."""
        entries = self.palette[self.labels] if len(self.palette) else 0
        return entries + self.smooth if len(self.smooth) else entries + np.zeros((self.hierarchy.count, 3), np.int64)

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """(M, 3) sRGB of the occupied cells of the grid in raster order; the same on every machine."""
        levels, values = self.full.levels, self.values
        for position in range(len(levels) - self.skip, len(levels)):
            values = interpolated(levels[position], levels[position - 1], values)
        return np.clip(ycocg_to_rgb(values), 0, 255).astype(np.uint8)


def encode_colours(
    encoder: SymbolEncoder,
    occupied: NDArray[np.bool_],
    rgb: NDArray[np.number],
    weights: NDArray[np.floating],
    settings: ColourSettings,
) -> CellColours:
    """Append the colours of cells.

    Parameters
    ----------
    occupied : (X, Y, Z) bool, at least one cell; the decoder must know it.
    rgb : (K, 3) sRGB in [0, 255] of the occupied cells in raster order.
    weights : (K,) importance >= 0, for instance the area seen. Cells of weight 0 take the colour that costs least.

    Returns
    -------
    What `decode_colours` returns.
    """
    full = Hierarchy(occupied)
    return encode_cells(encoder, full, CellAims(full, rgb, weights), settings)


def encode_cells(encoder: SymbolEncoder, full: Hierarchy, aims: Aims, settings: ColourSettings) -> CellColours:
    """`encode_colours` for cells whose hierarchy is at hand."""
    mode = settings.mode
    skip = len(full.levels) - 1 if mode is ColourMode.UNIFORM else min(settings.skip, len(full.levels) - 1)
    hierarchy = full.pooled_times(skip)
    colours, importance = aims.at(skip)
    encoder.encode_raw([int(mode)], MODE_BITS)
    nothing = np.zeros((0, 3), dtype=np.int64)
    if mode is ColourMode.UNIFORM:
        codes = quantise_channels(colours[0], UNIFORM_BITS)
        encoder.encode_raw(codes, UNIFORM_BITS)
        return _uniform(full, codes)
    encoder.encode_raw([skip], SKIP_BITS)
    palette, labels, smooth = nothing, np.zeros(0, dtype=np.int64), nothing
    if mode.has_palette:
        fine = hierarchy.levels[-1]
        codes, labels = fit_palette(fine, colours, importance, settings.entries, settings.smoothness)
        if len(codes) == 1:
            codes = np.concatenate([codes, codes])  # The format has no palette of one entry; this costs 18 bits.
        encoder.encode_raw([len(codes) - 1], ENTRIES_BITS)
        encoder.encode_raw(codes, PALETTE_BITS)
        palette = _entries(codes)
        labels = encode_labels(encoder, hierarchy, labels, importance, len(palette), LabelTables(len(palette)))
    if mode.has_pyramid:
        encoder.encode_raw([settings.step - 1], STEP_BITS)
        goal = exact_ycocg(colours)
        if mode is ColourMode.SUM:
            goal -= palette[labels]
            root = np.zeros(3, dtype=np.int64)
        else:
            codes = quantise_channels(np.average(colours, axis=0, weights=importance), ROOT_BITS)
            encoder.encode_raw(codes, ROOT_BITS)
            root = rgb_to_ycocg(dequantise_channels(codes, ROOT_BITS)[None])[0]
        quantised = quantise(hierarchy, goal, importance, root, settings.step, settings.strength)
        encode_pyramid(encoder, hierarchy, quantised.residuals, PyramidTables())
        smooth = quantised.values
    return CellColours(mode, full, skip, palette, labels, smooth)


def decode_colours(decoder: SymbolDecoder, occupied: NDArray[np.bool_], limits: Limits | None = None) -> CellColours:
    """Read the colours of the cells of `occupied`, the same (X, Y, Z) array the encoder had.

    Any bytes give some colours or an error; the caller checks the symbol hash (`SymbolDecoder.finish`).

    Raises FormatError if the stream contradicts itself, LimitError if the cells need too much memory.
    """
    full = Hierarchy(occupied, limits)
    mode = ColourMode(int(decoder.decode_raw(1, MODE_BITS)[0]))
    if mode is ColourMode.UNIFORM:
        return _uniform(full, decoder.decode_raw(3, UNIFORM_BITS).astype(np.int64))
    skip = int(decoder.decode_raw(1, SKIP_BITS)[0])
    if skip >= len(full.levels):
        raise FormatError(
            f"cell colours leave out {skip} of {len(full.levels) - 1} levels",
            hint="the file is damaged; run `sq3d verify` on it",
        )
    hierarchy = full.pooled_times(skip)
    palette = smooth = np.zeros((0, 3), dtype=np.int64)
    labels = np.zeros(0, dtype=np.int64)
    if mode.has_palette:
        entries = int(decoder.decode_raw(1, ENTRIES_BITS)[0]) + 1
        if entries < 2:
            raise FormatError(
                "cell colours have a palette of one entry", hint="the file is damaged; run `sq3d verify` on it"
            )
        palette = _entries(decoder.decode_raw(3 * entries, PALETTE_BITS).reshape(entries, 3))
        labels = decode_labels(decoder, hierarchy, entries)
    if mode.has_pyramid:
        step = int(decoder.decode_raw(1, STEP_BITS)[0]) + 1
        root = np.zeros(3, dtype=np.int64)
        if mode is ColourMode.PYRAMID:
            codes = decoder.decode_raw(3, ROOT_BITS)
            root = rgb_to_ycocg(dequantise_channels(codes, ROOT_BITS)[None])[0]
        smooth = decode_pyramid(decoder, hierarchy, root, step)
    return CellColours(mode, full, skip, palette, labels, smooth)


def _entries(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    return rgb_to_ycocg(dequantise_channels(codes, PALETTE_BITS))


def _uniform(full: Hierarchy, codes: NDArray[np.int64]) -> CellColours:
    palette = rgb_to_ycocg(dequantise_channels(codes, UNIFORM_BITS)[None])
    labels, smooth = np.zeros(1, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
    return CellColours(ColourMode.UNIFORM, full, len(full.levels) - 1, palette, labels, smooth)
