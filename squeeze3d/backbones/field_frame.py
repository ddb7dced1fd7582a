"""The frame of `field.lite`: any radiance field as a cube of 32 x 32 x 32 cells that its content fills, and back.

```text
field ─► density / peak ─► box of what is not empty ─► mean over 32^3 cells ─► opacity, colour       the networks' view
field ◄─ peak, logarithm ◄─ profile ◄─ interpolated log-odds, colours ◄─ box ◄─ opacity, colour
```

Each axis is stretched by itself, so that no cell is spent on the empty space around an object. `FieldLayout` is what a
file keeps of all that: sizes, box, peak and profile.

`FieldLayout` and what it says of densities also serve `field.nerfmae`, whose grids are larger.

Opacity a = (1 - exp(-K u)) / (1 - exp(-K)) of the density u relative to its peak is nearly that of a ray through a
cell: it tells thin from nothing and does not care how dense the dense is.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.varint import read_varint, write_varint
from squeeze3d.errors import FormatError, InputError

SIZE = 32
"""Cells along each side of the cube. Part of the format, as all constants here that `FieldLayout` reads."""
K = 4.6
"""Optical depth of a cell at the peak density."""
FULL = -math.expm1(-K)
EMPTY = 0.05
"""Relative densities below this do not count as content: the box of what is there leaves them out."""
FAINT = 1e-3
"""Relative densities below this are written as nothing."""
LARGEST_LOG = 30.0
"""Logarithmic densities are clipped here."""
LOWEST_LOG = -30.0
"""Logarithm of the density that stands for nothing in fields of logarithms."""
GAINS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0)
"""How steeply density rises at the surface, relative to what the networks say."""
SHIFTS = (-2.0, -1.4, -0.9, -0.5, 0.0, 0.5, 1.0, 1.6)
"""Log-odds that become one half."""
MAX_SIDE = 4096
PEAK_STEPS = 256
"""Steps of the peak for each doubling."""
RATIO_STEPS = 1024
"""Steps of a side of the box, relative to the longest."""
SAMPLES = 300_000
"""Cells that a profile is chosen by."""

_MAX_PEAK = 64 * PEAK_STEPS
_LOG_ODDS_LIMIT = 9.0


@dataclass(frozen=True)
class FieldLayout:
    """What a file keeps of a field beside its code: 13 bytes of a field of up to 127 cells a side, with cubic cells."""

    shape: tuple[int, int, int]
    """Cells of the grid."""
    low: tuple[int, int, int]
    """First cell of the content along each axis."""
    high: tuple[int, int, int]
    """Cell behind the last one."""
    peak: int
    """log2 of the density that counts as full, in steps of 1 / 256."""
    is_log: bool
    """Whether the file holds logarithms of densities."""
    gain: int = 0
    """Number of a profile's gain in `GAINS`."""
    shift: int = SHIFTS.index(0.0)
    """Number of a profile's shift in `SHIFTS`."""
    sides: tuple[int, int, int] | None = None
    """Sides of the box in 1 / 1024 of the longest, at least 1; None where cells are cubes."""

    def to_bytes(self) -> bytes:
        """A byte of gain and shift, a byte of flags, then varints: peak, for each axis cells, low, high, and sides."""
        flags = int(self.is_log) | int(self.sides is not None) << 1 | int(self.peak < 0) << 2
        numbers = [abs(self.peak)]
        for size, low, high in zip(self.shape, self.low, self.high, strict=True):
            numbers += [size, low, size - high]
        numbers += self.sides or ()
        return bytes([self.gain << 3 | self.shift, flags]) + b"".join(map(write_varint, numbers))

    @classmethod
    def from_bytes(cls, data: bytes) -> FieldLayout:
        """Inverse of `to_bytes`. Raises FormatError for anything else."""
        if len(data) < 2 or data[0] > 63 or data[1] > 7:
            raise FormatError("the layout of the field starts with unknown settings")
        numbers, offset = [], 2
        for _ in range(13 if data[1] & 2 else 10):
            value, offset = read_varint(data, offset)
            numbers.append(value)
        if offset != len(data):
            raise FormatError(f"{len(data) - offset} unexpected bytes behind the layout of the field")
        peak = -numbers[0] if data[1] & 4 else numbers[0]
        shape, low, rest = (tuple(numbers[1 + k : 10 : 3]) for k in range(3))
        high = tuple(size - after for size, after in zip(shape, rest, strict=True))
        if not all(0 <= a < b <= size <= MAX_SIDE for a, b, size in zip(low, high, shape, strict=True)):
            raise FormatError(f"the field has the grid {shape} with content from {low} to {high}, which cannot be")
        sides = tuple(numbers[10:]) or None
        if numbers[0] > _MAX_PEAK or (sides and not all(1 <= side <= RATIO_STEPS for side in sides)):
            raise FormatError("the layout of the field has a peak or a box out of range")
        return cls(shape, low, high, peak, bool(data[1] & 1), data[0] >> 3, data[0] & 7, sides)  # type: ignore[arg-type]

    @property
    def full(self) -> float:
        """Density that counts as full."""
        return float(2.0 ** (self.peak / PEAK_STEPS))

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells of the content along each axis."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    def window(self, stride: int = 1) -> tuple[slice, ...]:
        """Where the content lies in the grid: all of it, or every n-th cell along each axis."""
        return tuple(slice(low, high, stride) for low, high in zip(self.low, self.high, strict=True))

    @property
    def extents(self) -> NDArray[np.float64]:
        """(3,) sides of the box; the longest is 2."""
        sides = np.array(self.sides or self.shape, dtype=np.float64)
        result: NDArray[np.float64] = 2 * sides / sides.max()
        return result


def opacity(density: NDArray[np.floating]) -> NDArray[np.float32]:
    """Opacity, 0 to 1, of relative densities of 0 to 1."""
    result: NDArray[np.float32] = (-np.expm1(-K * density.astype(np.float32)) / FULL).astype(np.float32)
    return result


def density(opaque: NDArray[np.floating]) -> NDArray[np.float32]:
    """Inverse of `opacity`."""
    result: NDArray[np.float32] = (-np.log1p(-FULL * opaque.astype(np.float32)) / K).astype(np.float32)
    return result


def layout_of(field: RadianceField) -> FieldLayout:
    """Sizes, box and peak of a field, with the plain profile.

    Raises InputError if nothing is in it, or it is too large.
    """
    shape = field.rgbsigma.shape[:3]
    if max(shape) > MAX_SIDE or min(shape) < 1:
        raise InputError(f"a field of {shape} cells is out of range: 1 to {MAX_SIDE} along each axis")
    values, is_log = densities(field)
    largest = float(values.max())
    if not largest > 0:
        raise InputError("the field is empty: it has no density anywhere")
    # Captured fields have a few cells of enormous density; they are no measure for the rest.
    there = values[values >= 0.01 * largest]
    robust = float(np.quantile(there, 0.95)) if len(there) > 20 else largest
    peak = round(math.log2(min(max(robust, 2.0**-63), 2.0**63)) * PEAK_STEPS)
    filled = values >= EMPTY * 2.0 ** (peak / PEAK_STEPS)
    spans = [np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    low, high = (tuple(int(span[k]) + (k == -1) for span in spans) for k in (0, -1))
    edges = np.maximum(np.diff(field.bounds(), axis=0)[0], 0)
    return FieldLayout(shape, low, high, peak, is_log, sides=_sides(edges, shape))  # type: ignore[arg-type]


def _sides(edges: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    longest = float(edges.max())
    if not longest > 0:
        return None
    cells = np.array(shape) / max(shape)
    if np.abs(edges / longest - cells).max() < 0.5 / RATIO_STEPS:
        return None
    x, y, z = (max(1, round(float(edge) / longest * RATIO_STEPS)) for edge in edges)
    return x, y, z


def densities(field: RadianceField) -> tuple[NDArray[np.float32], bool]:
    """(X, Y, Z) finite densities from 0 on, and whether the field holds logarithms: it does if one is negative."""
    sigma = np.nan_to_num(field.rgbsigma[..., 3].astype(np.float32), nan=0.0, posinf=3e38, neginf=-3e38)
    if not bool((sigma < 0).any()):
        return sigma, False
    return np.where(sigma > LOWEST_LOG, np.exp(np.clip(sigma, LOWEST_LOG, LARGEST_LOG)), np.float32(0)), True


def to_cube(field: RadianceField, layout: FieldLayout) -> NDArray[np.float32]:
    """(32, 32, 32, 4) colour and opacity, each 0 to 1, of the content of a field. Colour is 0 where nothing is."""
    values, _ = densities(field)
    window = layout.window()
    relative = np.minimum(values[window] / np.float32(layout.full), 1)
    colours = np.clip(np.nan_to_num(field.rgbsigma[window][..., :3].astype(np.float32)), 0, 1)
    packed = np.concatenate([colours * relative[..., None], relative[..., None]], axis=3)
    for axis in range(3):
        packed = along(averaging(packed.shape[axis], SIZE), packed, axis)
    cube = np.zeros((SIZE, SIZE, SIZE, 4), dtype=np.float32)
    np.divide(packed[..., :3], packed[..., 3:], out=cube[..., :3], where=packed[..., 3:] > FAINT)
    cube[..., 3] = opacity(np.clip(packed[..., 3], 0, 1))
    result: NDArray[np.float32] = np.clip(cube, 0, 1)
    return result


def cube_field(cube: NDArray[np.float32]) -> RadianceField:
    """Field in the frame of the pair, of relative densities, from (32, 32, 32, 4) colours and opacities."""
    grid = np.concatenate([cube[..., :3], density(cube[..., 3:])], axis=3)
    return RadianceField(grid, np.full(3, -1, dtype=np.float32), np.full(3, 1, dtype=np.float32))


def cube_values(field: RadianceField) -> NDArray[np.float32]:
    """Inverse of `cube_field`."""
    return np.concatenate([field.rgbsigma[..., :3], opacity(field.rgbsigma[..., 3:])], axis=3)


def log_odds(opaque: NDArray[np.floating]) -> NDArray[np.float32]:
    """Log-odds of opacities, those of 1e-4 and 1 - 1e-4 at most."""
    opaque = np.clip(opaque.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.log(opaque / (1 - opaque)).astype(np.float32)


def from_cube(cube: NDArray[np.float32], layout: FieldLayout, limits: Limits | None = None) -> RadianceField:
    """Field of a layout from (32, 32, 32, 4) colours and opacities. The box is centred, its longest side 2.

    Raises LimitError for a grid that needs too much memory.
    """
    x, y, z = layout.shape
    largest = math.prod(max(size, SIZE) for size in layout.cells)
    (limits or Limits()).check(16 * x * y * z + 48 * largest, f"a field of {x} x {y} x {z} cells")
    finer = np.concatenate([cube[..., :3], log_odds(cube[..., 3])[..., None]], axis=3)
    for axis in range(3):
        finer = along(_interpolating(layout.cells[axis], SIZE), finer, axis)
    relative = profile(finer[..., 3], GAINS[layout.gain], SHIFTS[layout.shift])
    packed = np.concatenate([finer[..., :3] * relative[..., None], relative[..., None]], axis=3)
    for axis in range(3):
        size = layout.cells[axis]
        if packed.shape[axis] != size:
            packed = along(averaging(packed.shape[axis], size), packed, axis)
    grid = blank_grid(layout)
    write_content(grid[layout.window()], packed, layout)
    return framed(grid, layout)


def blank_grid(layout: FieldLayout) -> NDArray[np.float32]:
    """(X, Y, Z, 4) grid of a layout with nothing in it."""
    grid = np.zeros((*layout.shape, 4), dtype=np.float32)
    if layout.is_log:
        grid[..., 3] = LOWEST_LOG
    return grid


def write_content(cells: NDArray[np.float32], packed: NDArray[np.float32], layout: FieldLayout) -> None:
    """Fill blank cells (X, Y, Z, 4) of a grid: `packed` holds colours times relative density, and that density."""
    there = packed[..., 3] > FAINT
    cells[there, :3] = np.clip(packed[there, :3] / packed[there, 3:], 0, 1)
    full = packed[there, 3] * np.float32(layout.full)
    cells[there, 3] = np.log(full) if layout.is_log else full


def framed(grid: NDArray[np.float32], layout: FieldLayout) -> RadianceField:
    """Field with the box of a layout, centred, its longest side 2."""
    half = (layout.extents / 2).astype(np.float32)
    return RadianceField(grid, -half, half)


def profile(odds: NDArray[np.float32], gain: float, shift: float) -> NDArray[np.float32]:
    """Relative densities from log-odds of opacity."""
    odds = np.clip(np.float32(gain) * (odds - np.float32(shift)), -_LOG_ODDS_LIMIT, _LOG_ODDS_LIMIT)
    # The ends of the range are nothing and everything.
    opaque = (1 / (1 + np.exp(-odds)) - 0.5) * (0.5 / (1 / (1 + math.exp(-_LOG_ODDS_LIMIT)) - 0.5)) + 0.5
    return density(np.clip(opaque, 0, 1))


def with_profile(field: RadianceField, layout: FieldLayout, cube: NDArray[np.float32]) -> FieldLayout:
    """The layout with the profile that brings a generated cube closest to a field, by the opacity of cells."""
    stride = profile_stride(layout)
    odds = log_odds(cube[..., 3])[..., None]
    for axis, size in enumerate(layout.cells):
        matrix = _interpolating(size, SIZE)
        # Fields coarser than the cube are averaged in the end; here the middle of each cell stands for it.
        odds = along(matrix[len(matrix) // size // 2 :: len(matrix) // size][::stride], odds, axis)
    return with_best_profile(field, layout, odds[..., 0], stride)


def profile_stride(layout: FieldLayout) -> int:
    """Distance of the cells that a profile is chosen by: every n-th one along each axis is enough."""
    return max(1, math.ceil((math.prod(layout.cells) / SAMPLES) ** (1 / 3)))


def with_best_profile(field: RadianceField, layout: FieldLayout, odds: NDArray[np.float32], stride: int) -> FieldLayout:
    """The layout with the profile that brings log-odds closest to a field.

    `odds` are those of every n-th cell of the content, n being the stride.
    """
    wanted, _ = densities(field)
    target = opacity(np.minimum(wanted[layout.window(stride)] / np.float32(layout.full), 1))
    best = (math.inf, layout.gain, layout.shift)
    for i, gain in enumerate(GAINS):
        for j, shift in enumerate(SHIFTS):
            error = float(np.mean((opacity(profile(odds, gain, shift)) - target) ** 2))
            best = min(best, (error, i, j))
    return dataclasses.replace(layout, gain=best[1], shift=best[2])


def along(matrix: NDArray[np.float32], values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """A matrix applied to one axis."""
    return np.ascontiguousarray(np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis))


def averaging(cells: int, size: int) -> NDArray[np.float32]:
    """(size, cells) shares of each cell in `size` equal parts of all."""
    edges = np.arange(size + 1) * (cells / size)
    starts = np.arange(cells)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return (np.clip(overlap, 0, None) * (size / cells)).astype(np.float32)


def _interpolating(cells: int, size: int) -> NDArray[np.float32]:
    """(m * cells, size) linear interpolation at the middles of m parts of each cell; m cells are at least `size`."""
    count = cells * math.ceil(size / cells)
    place = np.clip((np.arange(count) + 0.5) * (size / count) - 0.5, 0, size - 1)
    low = np.minimum(place.astype(np.int64), size - 2)
    matrix = np.zeros((count, size), dtype=np.float32)
    matrix[np.arange(count), low] = 1 - (place - low)
    matrix[np.arange(count), low + 1] = place - low
    return matrix
