"""Decoded cells to a field of any grid: distances are interpolated, then the profile is applied, so that a coarse solid
gives a smooth surface. The only floating point on the way.

```text
distances ─► linear ─► profile ─┐
excess    ─► linear ────────────┴─► opacity of a cell ─► density
colours   ─► linear over the cells that have one
```
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import LOWEST_LOG
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.fields.light import OPAQUE
from squeeze3d.codecs.fields.model import Cells
from squeeze3d.codecs.fields.profile import signed_distances

_SLAB = 1 << 20
"""Cells that are made at a time."""
_FAINT = 1e-7
"""Opacities of a cell below this are nothing."""


def between(cells: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(cells,) parts, of `size`, whose middle lies before that of each cell, and how far on to the next one it is."""
    place = np.clip((np.arange(cells) + 0.5) * (size / cells) - 0.5, 0, size - 1)
    low = np.minimum(place.astype(np.int64), max(size - 2, 0))
    return low, (place - low).astype(np.float32)


def interpolated(values: NDArray[np.float32], shape: tuple[int, int, int], rows: slice) -> NDArray[np.float32]:
    """(rows, Y, Z, C) values at the cells of some planes of a grid of a shape, from (x, y, z, C) of a coarser one."""
    # Axis by axis, two values each: no matrix product, whose order of sums depends on the machine.
    for axis in range(3):
        chosen = rows if axis == 0 else slice(None)
        if values.shape[axis] == shape[axis]:
            values = values[rows] if axis == 0 else values
            continue
        low, part = between(shape[axis], values.shape[axis])
        low, part = low[chosen], part[chosen].reshape([-1 if k == axis else 1 for k in range(4)])
        high = np.minimum(low + 1, values.shape[axis] - 1)
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values


def to_field(cells: Cells, box: NDArray[np.float32], limits: Limits) -> RadianceField:
    """Field in a (2, 3) box.

    Raises LimitError if its grid needs too much memory.
    """
    shape = cells.head.shape
    x, y, z = shape
    slab = max(1, _SLAB // (y * z))
    limits.check(16 * x * y * z + 64 * slab * y * z + 40 * cells.squares.size, f"a field of {x} x {y} x {z} cells")
    grid = np.zeros((*shape, 4), dtype=np.float32)
    if cells.head.is_log:
        grid[..., 3] = LOWEST_LOG
    if cells.profile is not None:
        distances = signed_distances(cells.squares)[..., None]
        excess = None if cells.excess is None else (cells.excess / OPAQUE).astype(np.float32)[..., None]
        colours = painted(cells)
        for start in range(0, x, slab):
            rows = slice(start, min(start + slab, x))
            opaque = cells.profile.at(interpolated(distances, shape, rows)[..., 0])
            if excess is not None:
                opaque += interpolated(excess, shape, rows)[..., 0]
            _fill(grid[rows], opaque, interpolated(colours, shape, rows), cells)
    return RadianceField(grid, box[0].astype(np.float32), box[1].astype(np.float32))


def painted(cells: Cells) -> NDArray[np.float32]:
    """(x, y, z, 4) colours times presence, and presence: 1 where a cell has a colour."""
    assert cells.places is not None
    colours = np.zeros((*cells.squares.shape, 4), dtype=np.float32)
    flat = colours.reshape(-1, 4)
    flat[cells.places, :3] = cells.rgb / np.float32(255)
    flat[cells.places, 3] = 1
    return colours


def density_of(opaque: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """Density, counted along the longest side of the box, from the opacity of one of `longest` cells along it."""
    result: NDArray[np.float32] = -np.log1p(-np.minimum(opaque, np.float32(1 - 2.0**-12))) * np.float32(longest)
    return result


def opacity_of(density: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """Inverse of `density_of`."""
    result: NDArray[np.float32] = -np.expm1(-density / np.float32(longest))
    return result


def _fill(grid: NDArray[np.float32], opaque: NDArray[np.float32], colours: NDArray[np.float32], cells: Cells) -> None:
    there = opaque > _FAINT
    density = density_of(opaque[there], max(cells.head.shape))
    grid[there, 3] = np.log(density) if cells.head.is_log else density
    shown = colours[there]
    present = shown[:, 3:]
    # Places far from all coloured cells are hardly seen.
    grid[there, :3] = np.divide(shown[:, :3], present, out=np.full_like(shown[:, :3], 0.5), where=present > 0)
