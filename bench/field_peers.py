"""What a careful user can do to a radiance field with a few lines of NumPy and zstandard.

```text
grid ─► [mean over coarser cells] ─► opacity of a cell, colours ─► n bits each ─► planes ─► zstd, level 19
```

Bytes count without any container, sizes or boxes, which favours these peers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import along, averaging, densities
from squeeze3d.codecs.fields.rebuild import density_of, opacity_of

LEVEL = 19
BITS = (8, 6, 5, 4)
FACTORS = (12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0)
"""Cells of the field for each cell of the coarser grid, along each axis."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed field, and what comes out of it."""

    name: str
    bytes: int
    field: RadianceField


def half_floats(field: RadianceField) -> int:
    """Bytes of the grid as it is in half floats, channel by channel."""
    return len(squeezed(halved(field)))


def halved(field: RadianceField) -> NDArray[np.float16]:
    """(X, Y, Z, 4) half floats."""
    limit = np.finfo(np.float16).max
    return np.clip(np.nan_to_num(field.rgbsigma), -limit, limit).astype(np.float16)


def quantised(field: RadianceField, bits: int, factor: float) -> Packed:
    """A field in `bits` bits a number on a grid that is coarser by a factor."""
    codes = coded(field, bits, factor)
    back = restored(codes, bits, max(field.rgbsigma.shape[:3]), field.bounds().astype(np.float32))
    return Packed(f"{bits} bits, 1/{factor:g}", len(squeezed(codes)), back)


def coded(field: RadianceField, bits: int, factor: float) -> NDArray[np.uint8]:
    """(X, Y, Z, 4) numbers of `bits` bits: colours, and opacity of a cell."""
    values, _ = densities(field)
    opacity = opacity_of(values, max(values.shape))
    packed = np.concatenate([np.clip(field.rgbsigma[..., :3], 0, 1) * opacity[..., None], opacity[..., None]], axis=3)
    for axis in range(3):
        size = max(1, round(packed.shape[axis] / factor))
        if size != packed.shape[axis]:
            packed = along(averaging(packed.shape[axis], size), packed, axis)
    most = (1 << bits) - 1
    level = np.rint(np.clip(packed[..., 3], 0, 1) * most)
    # Colours of what is rounded to nothing are nothing, too: zeros cost least.
    there = level > 0
    rgb = np.zeros((*packed.shape[:3], 3), dtype=np.float32)
    rgb[there] = np.rint(np.clip(packed[there, :3] / packed[there, 3:], 0, 1) * most)
    return np.concatenate([rgb, level[..., None]], axis=3).astype(np.uint8)


def restored(codes: NDArray[np.uint8], bits: int, longest: int, box: NDArray[np.float32]) -> RadianceField:
    """Inverse of `coded` up to rounding, on the coarser grid.

    Parameters
    ----------
    longest : cells along the longest side of the original.
    box : (2, 3) corners.
    """
    most = np.float32((1 << bits) - 1)
    shares = codes.astype(np.float32) / most
    density = density_of(shares[..., 3], longest)
    grid = np.concatenate([shares[..., :3], density[..., None]], axis=3).astype(np.float32)
    return RadianceField(grid, box[0], box[1])


def swept(field: RadianceField) -> Iterator[list[Packed]]:
    """All of them: one list for each factor, the coarsest grids first, in it the smallest first."""
    for factor in FACTORS:
        yield sorted((quantised(field, bits, factor) for bits in BITS), key=lambda packed: packed.bytes)


def squeezed(values: NDArray[np.generic]) -> bytes:
    """(X, Y, Z, 4) numbers channel by channel, compressed."""
    planes = np.ascontiguousarray(np.moveaxis(values, 3, 0)).tobytes()
    return zstandard.ZstdCompressor(level=LEVEL).compress(planes)
