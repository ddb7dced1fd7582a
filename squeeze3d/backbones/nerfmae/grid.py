"""Radiance fields as NeRF-MAE sees them: grids of r, g, b and opacity with one number of cells a side, and back.

```text
field ─► content ─► optical depth ─► opacity ─► stretched to 160^3, or padded with nothing      the networks' view
field ◄─ densities ◄─ profile ◄─ opacity, colours weighted by it ◄─ trilinear, to the content's own cells
```

What the published networks were shown differs: NeRF-MAE was trained on grids padded at their far ends, Squeeze3D's
mapping network on latents of grids stretched along each axis (`Fit`). Opacity is 1 - exp(-density / 100), density being
what fields of logarithms hold. Fields of plain densities have any unit: there the density that counts as full gets the
opacity 0.99, and the content alone is looked at, as `field.lite` does; the cells around it would be most of the grid.

Published grids have z up. A file does not tell, and axes stay as they are.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import (
    FAINT,
    FULL,
    GAINS,
    PEAK_STEPS,
    SHIFTS,
    FieldLayout,
    K,
    blank_grid,
    densities,
    framed,
    layout_of,
    log_odds,
    profile,
    profile_stride,
    with_best_profile,
    write_content,
)
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import InputError

Fit = Literal["stretch", "pad"]
"""How a field comes to the grid: each axis by itself, or all alike with nothing behind the far ends."""

UNIT = 100.0
"""Density of which a cell has the optical depth 1."""
LARGEST_DEPTH = 20.0
"""Optical depths beyond this are all the same."""
SLAB = 1 << 22
"""Cells that are interpolated at once."""
LOG_PEAK = round(math.log2(K * UNIT) * PEAK_STEPS)
"""`FieldLayout.peak` of fields of logarithms, whose unit is known."""


def frame_of(field: RadianceField) -> FieldLayout:
    """Sizes, content and peak of a field, with the plain profile.

    Raises InputError if nothing is in it, or it is too large.
    """
    layout = layout_of(field)
    if not layout.is_log:
        return layout
    return dataclasses.replace(layout, low=(0, 0, 0), high=layout.shape, peak=LOG_PEAK)


def content_of(field: RadianceField) -> RadianceField:
    """What networks are shown of a field: its content, with the optical depth of a cell as density, box -1 to 1.

    Raises as `frame_of`.
    """
    layout = frame_of(field)
    values, _ = densities(field)
    unit = UNIT if layout.is_log else layout.full / K
    colours = np.clip(np.nan_to_num(field.rgbsigma[layout.window()][..., :3]), 0, 1)
    depth = values[layout.window()] / np.float32(unit)
    return _framed(np.concatenate([colours, depth[..., None]], axis=3, dtype=np.float32))


def opacities_of(content: RadianceField) -> NDArray[np.float32]:
    """(4, X, Y, Z) colours and opacities, each 0 to 1, of what `content_of` returns."""
    grid = np.moveaxis(content.rgbsigma, 3, 0).astype(np.float32)
    grid[3] = -np.expm1(-grid[3])
    return np.ascontiguousarray(grid)


def fitted_sides(cells: tuple[int, ...], size: int, fit: Fit) -> tuple[int, ...]:
    """How many cells along each axis of a grid of size^3 belong to a field of so many cells."""
    if fit == "stretch":
        return (size, size, size)
    longest = max(*cells, size)
    return tuple(max(1, round(side * size / longest)) for side in cells)


def to_grid(values: NDArray[np.float32], size: int, fit: Fit) -> NDArray[np.float32]:
    """(4, size, size, size) of (4, X, Y, Z) colours and opacities.

    Padded fields keep their cells, unless one side is longer than the grid.
    """
    sides = fitted_sides(values.shape[1:], size, fit)
    grid = resized(torch.from_numpy(values), sides)
    missing = [pad for side in sides[::-1] for pad in (0, size - side)]
    result: NDArray[np.float32] = functional.pad(grid, missing).numpy()
    return result


def resized(grid: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(C, *sides) of (C, X, Y, Z): linear along each axis between the middles of cells, constant beyond the last."""
    if tuple(grid.shape[1:]) == sides:
        return grid
    return functional.interpolate(grid[None], size=sides, mode="trilinear", align_corners=False)[0]


def generated_field(grid: Tensor) -> RadianceField:
    """Field in the networks' frame, as `content_of` returns them, from (4, X, Y, Z) r, g, b and log-odds of opacity.

    Raises InputError for numbers that are not finite, or where there is nothing.
    """
    if not bool(torch.isfinite(grid).all()):
        raise InputError("the generator made no finite field")
    # -log(1 - opacity).
    depth = functional.softplus(grid[3:]).clamp(max=LARGEST_DEPTH)
    made = torch.cat([grid[:3].clamp(0, 1), depth]).movedim(0, -1).contiguous().float().cpu().numpy()
    if not (made[..., 3] > FAINT * K).any():
        raise InputError("the generator made an empty field")
    return _framed(made)


def describe(field: RadianceField, generated: RadianceField, fit: Fit) -> FieldLayout:
    """Layout of a field, with the profile that brings a generated one closest to it. Raises as `frame_of`."""
    layout = frame_of(field)
    stride = profile_stride(layout)
    grid = torch.from_numpy(opacities_of(generated)[3:])
    opaque = _slab(grid, layout.cells, np.arange(0, layout.cells[0], stride), fit)[0, :, ::stride, ::stride].numpy()
    return with_best_profile(field, layout, log_odds(opaque / FULL), stride)


def placed(generated: RadianceField, layout: FieldLayout, fit: Fit, limits: Limits) -> RadianceField:
    """Field of a layout from a generated one. The box is centred, its longest side 2.

    Raises LimitError for a grid that needs too much memory.
    """
    x, y, z = layout.shape
    values = torch.from_numpy(opacities_of(generated))
    size = values.shape[1]
    plane = max(layout.cells[1], size) * max(layout.cells[2], size)
    limits.check(16 * x * y * z + 64 * max(SLAB, plane), f"a field of {x} x {y} x {z} cells")
    # Colours of cells that hold nothing are noise.
    values[:3] *= values[3]
    grid = blank_grid(layout)
    content = grid[layout.window()]
    step = max(1, SLAB // plane)
    for begin in range(0, layout.cells[0], step):
        rows = np.arange(begin, min(begin + step, layout.cells[0]))
        packed = _slab(values, layout.cells, rows, fit).movedim(0, -1).contiguous().numpy()
        opaque = packed[..., 3].copy()
        packed[..., 3] = profile(log_odds(opaque / FULL), GAINS[layout.gain], SHIFTS[layout.shift])
        packed[..., :3] *= np.divide(packed[..., 3], opaque, out=np.zeros_like(opaque), where=opaque > 0)[..., None]
        write_content(content[begin : begin + step], packed, layout)
    return framed(grid, layout)


def _slab(grid: Tensor, cells: tuple[int, ...], rows: NDArray[np.int64], fit: Fit) -> Tensor:
    """(C, rows, Y, Z) some rows, along x, of what a grid (C, size, size, size) is once it has the content's cells."""
    x, y, z = fitted_sides(cells, grid.shape[1], fit)
    place = np.clip((rows + 0.5) * (x / cells[0]) - 0.5, 0, x - 1)
    low = np.floor(place).astype(np.int64)
    share = torch.from_numpy((place - low).astype(np.float32))[:, None, None]
    part = torch.lerp(grid[:, low, :y, :z], grid[:, np.minimum(low + 1, x - 1), :y, :z], share)
    return functional.interpolate(part, size=cells[1:], mode="bilinear", align_corners=False)


def _framed(values: NDArray[np.float32]) -> RadianceField:
    return RadianceField(values, np.full(3, -1, dtype=np.float32), np.full(3, 1, dtype=np.float32))
