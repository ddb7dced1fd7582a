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
    limit = np.finfo(np.float16).max
    values = np.clip(np.nan_to_num(field.rgbsigma), -limit, limit).astype(np.float16)
    return _squeezed(values)


def quantised(field: RadianceField, bits: int, factor: float) -> Packed:
    """A field in `bits` bits a number on a grid that is coarser by a factor."""
    values, _ = densities(field)
    longest = max(values.shape)
    opacity = opacity_of(values, longest)
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
    codes = np.concatenate([rgb, level[..., None]], axis=3).astype(np.uint8)
    density = density_of((level / most).astype(np.float32), longest)
    grid = np.concatenate([rgb / np.float32(most), density[..., None]], axis=3).astype(np.float32)
    back = RadianceField(grid, field.bbox_min, field.bbox_max)
    return Packed(f"{bits} bits, 1/{factor:g}", _squeezed(codes), back)


def swept(field: RadianceField) -> Iterator[list[Packed]]:
    """All of them: one list for each factor, the coarsest grids first, in it the smallest first."""
    for factor in FACTORS:
        yield sorted((quantised(field, bits, factor) for bits in BITS), key=lambda packed: packed.bytes)


def _squeezed(values: NDArray[np.generic]) -> int:
    planes = np.ascontiguousarray(np.moveaxis(values, 3, 0)).tobytes()
    return len(zstandard.ZstdCompressor(level=LEVEL).compress(planes))
