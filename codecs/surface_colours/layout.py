"""`Layout`: where colours lie, as the head of a stream says it.

```text
frame, 2 h wide, R cells ─►  . . . . . . . .        VOLUME                    VIEWS
                             . . S S S S . .        S  a box of cells         six sides of that box,
                             . . S S S S . .        of the frame's lattice    one texel per cell of each side
```

The lattice of cells is fixed to the frame: cell `c` covers `c` to `c + 1` in units of `2 h / R`, counted from the
origin. Nothing here is measured on a generated surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.errors import FormatError

RESOLUTIONS = (8, 12, 16, 24, 32, 48, 64, 96)
"""Cells along the frame, by index. Part of the format."""
KIND_BITS, RESOLUTION_BITS, SPLIT_BITS = 1, 3, 2

Shape = tuple[int, int, int]


class Kind(IntEnum):
    """What the cells are. The numbers are part of the format."""

    VOLUME = 0
    """Cells of a grid; the stream says which are occupied."""
    VIEWS = 1
    """Texels of six orthographic views along the axes; all are occupied, and those nobody reads cost little."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Kind, resolution and box."""

    kind: Kind
    grid: int
    """Index into `RESOLUTIONS`."""
    low: Shape
    """Lowest cell of the box, counted from the origin of the frame; negative ones lie below it."""
    size: Shape
    """Cells of the box along each axis, at least 1."""
    split: int = 0
    """Volumes: occupied cells are sent in blocks of `2 ** split` cells a side, 0 to 3."""

    @property
    def resolution(self) -> int:
        """Cells along the frame."""
        return RESOLUTIONS[self.grid]

    @property
    def blocks(self) -> Shape:
        """Shape of the structure of a volume; whole blocks, so the last ones may reach beyond the box."""
        x, y, z = (-(-side >> self.split) for side in self.size)
        return x, y, z

    @property
    def shape(self) -> Shape:
        """Shape of the grid that holds the cells: a volume's blocks, or the box of the views and a shell around it."""
        if self.kind is Kind.VIEWS:
            x, y, z = (side + 2 for side in self.size)
        else:
            x, y, z = (side << self.split for side in self.blocks)
        return x, y, z

    def coordinates(self, points: NDArray[np.floating], half_extent: float) -> NDArray[np.float64]:
        """(N, 3) points of the frame in coordinates of the box: centres of cells are whole numbers, the lowest is 0."""
        scaled = np.asarray(points, dtype=np.float64) * (self.resolution / (2 * half_extent))
        result: NDArray[np.float64] = np.nan_to_num(scaled - np.array(self.low) - 0.5)
        return result

    def encode(self, encoder: SymbolEncoder) -> None:
        """Append as raw bits."""
        encoder.encode_raw([int(self.kind)], KIND_BITS)
        encoder.encode_raw([self.grid], RESOLUTION_BITS)
        bits = side_bits(self.resolution)
        encoder.encode_raw(np.array(self.low) + (1 << bits - 1), bits)
        encoder.encode_raw(np.array(self.size) - 1, bits)
        if self.kind is Kind.VOLUME:
            encoder.encode_raw([self.split], SPLIT_BITS)

    @classmethod
    def decode(cls, decoder: SymbolDecoder) -> Layout:
        """Inverse of `encode`; raises FormatError for a box that leaves the lattice."""
        kind = Kind(int(decoder.decode_raw(1, KIND_BITS)[0]))
        grid = int(decoder.decode_raw(1, RESOLUTION_BITS)[0])
        bits = side_bits(RESOLUTIONS[grid])
        low = decoder.decode_raw(3, bits).astype(np.int64) - (1 << bits - 1)
        size = decoder.decode_raw(3, bits).astype(np.int64) + 1
        if (low + size > 1 << bits - 1).any():
            raise FormatError("the box of the surface colours leaves its lattice", hint="the file is damaged")
        split = 0
        if kind is Kind.VOLUME:
            split = int(decoder.decode_raw(1, SPLIT_BITS)[0])
        x, y, z = (int(k) for k in low)
        a, b, c = (int(k) for k in size)
        return cls(kind, grid, (x, y, z), (a, b, c), split)


def side_bits(resolution: int) -> int:
    """Bits of a coordinate: the lattice reaches from `-2 ** (bits - 1)` up to and without `2 ** (bits - 1)`."""
    return resolution.bit_length()


def box_of(points: NDArray[np.floating], resolution: int, half_extent: float) -> tuple[Shape, Shape]:
    """Lowest cell and size of the smallest box around (N, 3) points, N > 0, without what is beyond the lattice."""
    half = 1 << side_bits(resolution) - 1
    cells = np.clip(np.floor(np.nan_to_num(points) * (resolution / (2 * half_extent))), -half, half - 1)
    low, high = cells.min(axis=0).astype(np.int64), cells.max(axis=0).astype(np.int64)
    x, y, z = (int(k) for k in low)
    a, b, c = (int(k) for k in high - low + 1)
    return (x, y, z), (a, b, c)


def view_flags(size: Shape) -> NDArray[np.bool_]:
    """Texels of six views as cells: the sides of a box, without its edges, one cell outside of it.

    Laid out like this, texels of two views that meet at an edge of the box are neighbours, and the coder's coarser
    levels merge what lies close together.
    """
    flags = np.zeros(tuple(side + 2 for side in size), dtype=bool)
    for axis in range(3):
        for end in (0, -1):
            place: list[slice | int] = [slice(1, -1)] * 3
            place[axis] = end
            flags[tuple(place)] = True
    return flags
