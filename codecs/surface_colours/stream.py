"""The stream of surface colours: layout, structure of a volume, cell colours, symbol hash. All of it is integer."""

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
from squeeze3d.codecs.lite.structure import decode_structure, encode_structure
from squeeze3d.codecs.surface_colours.layout import Kind, Layout, view_flags
from squeeze3d.codecs.surface_colours.reading import read
from squeeze3d.errors import FormatError


@dataclass(frozen=True, eq=False)
class SurfaceColours:
    """A decoded stream."""

    layout: Layout
    cells: CellColours

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """(M, 3) sRGB of the cells in raster order; the same on every machine."""
        return self.cells.rgb

    def at(
        self, points: NDArray[np.floating], normals: NDArray[np.floating], half_extent: float = 0.5
    ) -> NDArray[np.float32]:
        """Colours at (N, 3) points of the frame with (N, 3) unit normals; (N, 3) sRGB in [0, 1]."""
        spread = read(self.layout, self.cells.full, self.rgb, points, normals, half_extent)
        return (spread / 255).astype(np.float32)


def cells_of(layout: Layout, blocks: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Occupied cells of a layout; `blocks` is the structure of a volume."""
    if layout.kind is Kind.VIEWS:
        return view_flags(layout.size)
    assert blocks is not None
    cells = blocks
    for axis in range(3):
        cells = cells.repeat(1 << layout.split, axis=axis)
    return cells


def write_stream(
    layout: Layout,
    blocks: NDArray[np.bool_] | None,
    full: Hierarchy,
    rgb: NDArray[np.floating],
    weights: NDArray[np.floating],
    settings: ColourSettings,
) -> tuple[bytes, SurfaceColours]:
    """Bytes, and what they decode to.

    Parameters
    ----------
    full : hierarchy of `cells_of(layout, blocks)`.
    rgb, weights : as for `encode_colours`.
    """
    encoder = SymbolEncoder()
    layout.encode(encoder)
    if blocks is not None:
        encode_structure(encoder, blocks)
    cells = encode_cells(encoder, full, CellAims(full, rgb, weights), settings)
    return encoder.finish(), SurfaceColours(layout, cells)


def decode_surface_colours(data: bytes, limits: Limits | None = None) -> SurfaceColours:
    """Read a stream. Needs no surface: the same bytes give the same cells and colours whatever a generator makes.

    Hostile bytes give some colours or an error.

    Raises
    ------
    FormatError : the stream contradicts itself; ChecksumError : its symbols do not match their hash.
    LimitError : the cells need more memory than allowed.
    """
    limits = limits or Limits()
    decoder = SymbolDecoder(data)
    layout = Layout.decode(decoder)
    x, y, z = layout.shape
    # A byte for each cell of the grid now, more for occupied ones when they are known.
    limits.check(x * y * z, f"a grid of {x} x {y} x {z} cells")
    blocks = None
    if layout.kind is Kind.VOLUME:
        blocks = decode_structure(decoder, layout.blocks, limits)
        if not blocks.any():
            raise FormatError("surface colours without any cell", hint="the file is damaged")
    cells = decode_colours(decoder, cells_of(layout, blocks), limits)
    decoder.finish()
    return SurfaceColours(layout, cells)
