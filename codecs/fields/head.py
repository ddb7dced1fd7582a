"""Where a stream of `field.blocks` begins: grid, coded grid, and what kind of densities they are."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import FormatError

SIDE_BITS = 12
MAX_SIDE = 1 << SIDE_BITS
"""Cells along an axis, at most. Part of the format."""

_BYTES_PER_CELL = 16
"""Of the grid that a decoder returns."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Head:
    """Sizes of the two grids."""

    shape: Shape
    """Cells of the field."""
    longest: int
    """Cells of the coded grid along the field's longest side; at most as many as the field has."""
    is_log: bool = False
    """Whether the field holds logarithms of densities."""

    @property
    def coded(self) -> Shape:
        """Cells of the coded grid."""
        most = max(self.shape)
        x, y, z = (max(1, (2 * side * self.longest + most) // (2 * most)) for side in self.shape)
        return x, y, z

    @property
    def is_coarse(self) -> bool:
        """Whether fewer cells are coded than the field has."""
        return self.longest < max(self.shape)

    @property
    def factor(self) -> int:
        """Cells of the field that a cell of the coded grid is deep, about; 1 at least."""
        return max(1, (2 * max(self.shape) + self.longest) // (2 * self.longest))

    def write(self, encoder: SymbolEncoder) -> None:
        """Append two flags and the sizes."""
        cube = len(set(self.shape)) == 1
        encoder.encode_raw([int(self.is_log), int(cube)], 1)
        sides = self.shape[:1] if cube else self.shape
        encoder.encode_raw([side - 1 for side in (*sides, self.longest)], SIDE_BITS)

    @classmethod
    def read(cls, decoder: SymbolDecoder) -> Head:
        """Next head. Raises FormatError for a coded grid that is finer than the field."""
        is_log, cube = decoder.decode_raw(2, 1).tolist()
        sides = [side + 1 for side in decoder.decode_raw(2 if cube else 4, SIDE_BITS).tolist()]
        shape: Shape = (sides[0],) * 3 if cube else (sides[0], sides[1], sides[2])
        if sides[-1] > max(shape):
            raise FormatError(f"{sides[-1]} cells are coded of {max(shape)}", hint="the file is damaged")
        return cls(shape, sides[-1], bool(is_log))


def check_grid(head: Head, limits: Limits) -> None:
    """Raise LimitError if the grid of the field needs too much memory."""
    x, y, z = head.shape
    limits.check(_BYTES_PER_CELL * x * y * z, f"a field of {x} x {y} x {z} cells")
