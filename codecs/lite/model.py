"""`LiteModel`: what a `mesh.lite` file holds, and its place in the container.

```text
pose │ weights, grid, sides, steps, look (raw bits) ─► structure ─► scalars ─► colours      one stream of symbols
```

The structure comes first: everything behind it is laid out on its cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.colour.model import CellColours, decode_colours
from squeeze3d.codecs.lite.cells import surface_flags
from squeeze3d.codecs.lite.options import RESOLUTIONS
from squeeze3d.codecs.lite.scalars import decode_scalars, encode_scalars
from squeeze3d.codecs.lite.structure import decode_structure, encode_structure
from squeeze3d.errors import FormatError
from squeeze3d.geometry.solid import GridFrame

WEIGHTS = 0
"""Which embedded networks a file needs. Part of the format: new networks get a new number, old ones stay."""
SIDE = 1023
"""The longest side of the box in units of which the others are whole numbers. Part of the format."""
SMOOTHING = ((0, 0.53), (60, 0.53), (120, 0.54), (200, 0.54))
"""Taubin steps and how far they inflate, by index. Part of the format."""

_FIELDS = (("weights", 4), ("grid", 4), ("x", 10), ("y", 10), ("z", 10), ("step", 2), ("level", 2), ("smoothing", 2),
           ("flags", 2), ("metallic", 4), ("roughness", 4))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """Everything of a file but pose, structure, scalars and colours."""

    grid: int
    """Index into `RESOLUTIONS`."""
    sides: tuple[int, int, int]
    """Sides of the box, the longest of which is `SIDE`."""
    step: int = 0
    """Index into `steps.STEPS`."""
    level: int = 0
    """Index into `field.LEVELS`."""
    smoothing: int = 0
    """Index into `SMOOTHING`."""
    double_sided: bool = False
    unlit: bool = False
    metallic: int = 0
    """0 to 15."""
    roughness: int = 15
    """0 to 15."""

    @property
    def resolution(self) -> int:
        """Cells of the grid along the longest side, margin included."""
        return RESOLUTIONS[self.grid]

    @property
    def cells(self) -> tuple[int, int, int]:
        """Cells the box is long. Integers from integers: it decides how bits are read."""
        x, y, z = (max(1, (2 * side * (self.resolution - 3) + SIDE) // (2 * SIDE)) for side in self.sides)
        return x, y, z

    def frame(self, pose: Pose) -> GridFrame:
        """Where the grid lies in the asset's frame."""
        extents = np.array(self.sides, dtype=np.float64) / SIDE * pose.scale
        return GridFrame(pose.centre - extents / 2, extents, self.cells)

    def encode(self, encoder: SymbolEncoder) -> None:
        """Append as raw bits."""
        flags = self.double_sided | self.unlit << 1
        geometry = (WEIGHTS, self.grid, *self.sides, self.step, self.level, self.smoothing)
        values = (*geometry, flags, self.metallic, self.roughness)
        for (_, bits), value in zip(_FIELDS, values, strict=True):
            encoder.encode_raw([value], bits)

    @classmethod
    def decode(cls, decoder: SymbolDecoder) -> Header:
        """Inverse of `encode`; raises FormatError for other weights, an unknown grid, or a box of another size."""
        weights, grid, x, y, z, step, level, smoothing, flags, metallic, roughness = (
            int(decoder.decode_raw(1, bits)[0]) for _, bits in _FIELDS
        )
        if weights != WEIGHTS:
            raise FormatError(
                f"the file needs embedded networks number {weights}, this program has {WEIGHTS}",
                hint="update with `pip install -U squeeze3d`",
            )
        if grid >= len(RESOLUTIONS) or max(x, y, z) != SIDE:
            raise FormatError("grid is out of range")
        return cls(grid, (x, y, z), step, level, smoothing, bool(flags & 1), bool(flags & 2), metallic, roughness)


def sides_of(bounds: NDArray[np.floating]) -> tuple[int, int, int]:
    """Sides of a (2, 3) box in units of which the longest is `SIDE`."""
    extents = np.ptp(np.asarray(bounds, dtype=np.float64), axis=0)
    longest = float(extents.max())
    if not longest > 0:
        return (SIDE, SIDE, SIDE)
    x, y, z = (round(float(e) / longest * SIDE) for e in extents)
    return x, y, z


@dataclass(frozen=True, eq=False)
class LiteModel:
    """A decoded file."""

    pose: Pose
    header: Header
    occupied: NDArray[np.bool_]
    """Structure, shape `header.cells` + 1."""
    scalars: NDArray[np.int32] | None
    """One for each surface cell; None without."""
    colours: CellColours
    """On the surface cells."""


def encode_geometry(header: Header, occupied: NDArray[np.bool_], scalars: NDArray[np.int32] | None) -> SymbolEncoder:
    """Start a stream; colours are to follow."""
    encoder = SymbolEncoder()
    header.encode(encoder)
    encode_structure(encoder, occupied)
    if scalars is not None:
        encode_scalars(encoder, occupied, scalars, header.step)
    return encoder


def to_container(pose: Pose, symbols: bytes, wire: int, source: int) -> Container:
    """Wrap a finished stream."""
    return Container(wire, source, pose, chunks={Tag.SYMBOLS: symbols})


def from_container(container: Container, limits: Limits) -> LiteModel:
    """Read a file.

    Raises FormatError or LimitError; any other content gives some model.
    """
    container.expect({Tag.SYMBOLS}, set())
    if container.pose is None:
        raise FormatError("a mesh.lite file needs a pose")
    decoder = SymbolDecoder(container.chunks[Tag.SYMBOLS])
    header = Header.decode(decoder)
    x, y, z = header.cells
    occupied = decode_structure(decoder, (x + 1, y + 1, z + 1), limits)
    if not occupied.any():
        raise FormatError("the structure is empty")
    scalars = decode_scalars(decoder, occupied, header.step) if header.step else None
    colours = decode_colours(decoder, surface_flags(occupied), limits)
    decoder.finish()
    return LiteModel(container.pose, header, occupied, scalars, colours)
