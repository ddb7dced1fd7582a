"""NPZ: radiance-field grids as NumPy archives, in the two layouts in use.

```text
rgbsigma (X,Y,Z,4) or (X*Y*Z,4)   resolution (3,)   bbox_min (3,)   bbox_max (3,)      NeRF-MAE and NeRF-RPN
data rgb (X,Y,Z,3) uint8               sigma (X,Y,Z)     origin (3,)     extent () or (3,)  voxelised meshes
```

A flat `rgbsigma` counts x fastest, as the program that made those files does. Density is kept as the file
holds it; NeRF-MAE data store its logarithm.
"""

from __future__ import annotations

import io
import lzma
import math
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.polygons import single_precision
from squeeze3d.assets.source import Asset, Source
from squeeze3d.errors import FormatError, InputError, LimitError, Sq3Error, TruncatedError, UnsupportedError

MAX_ARRAY_BYTES = 1 << 31
"""Largest array that is unpacked; a few kilobytes of zip can claim petabytes."""

_LAYOUTS = (
    ({"rgbsigma"}, {"resolution", "bbox_min", "bbox_max"}),
    ({"rgb", "sigma"}, {"origin", "extent"}),
)
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, IndexError, OverflowError,
    RuntimeError,
)  # fmt: skip
"""What `zipfile` raises on damaged archives; RuntimeError covers encryption and unknown compression."""


def read(source: Source, losses: LossReport) -> Asset:
    """Read a radiance-field grid.

    Raises
    ------
    FormatError : not a zip archive of arrays, damaged, or arrays that do not fit together.
    InputError : an archive of something else.
    LimitError : an array larger than `MAX_ARRAY_BYTES`.
    """
    arrays = _Archive(source)
    required, optional = next((layout for layout in _LAYOUTS if layout[0] <= arrays.names), (None, set()))
    if required is None:
        found = ", ".join(sorted(arrays.names)[:8]) or "nothing"
        raise InputError(
            f"`{source.name}` is not a radiance field: it holds {found[:200]}",
            hint="an .npz asset has `rgbsigma`, or `rgb` and `sigma`",
        )
    rest = sorted(arrays.names - required - optional)
    if rest:
        losses.add("npz-arrays", f"arrays {', '.join(rest[:12])[:200]}")
    if required == {"rgbsigma"}:
        return _read_joined(arrays, losses)
    return _read_separate(arrays, losses)


class _Archive:
    """Arrays of an archive, checked before they are unpacked."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source.data))
        except _ZIP_ERRORS as error:
            kind = TruncatedError if source.data.startswith(b"PK\x03\x04") else FormatError
            raise kind(f"`{self.name}` is not a whole NPZ archive: {_line(error)}") from None
        self._members = {
            info.filename.removesuffix(".npy"): info for info in self._zip.infolist() if info.filename.endswith(".npy")
        }
        self.names = set(self._members)

    def array(self, key: str) -> NDArray[Any]:
        """One array, all its sizes checked against each other and the limit."""
        info = self._members[key]
        if info.file_size > MAX_ARRAY_BYTES:
            raise LimitError(f"`{self.name}`: array `{key}` has {info.file_size} bytes, the limit is {MAX_ARRAY_BYTES}")
        try:
            with self._zip.open(info) as file:
                shape, fortran, dtype = _read_header(file)
                values = math.prod(shape)
                if dtype.kind not in "buif":
                    raise FormatError(f"`{self.name}`: array `{key}` holds {dtype}, not numbers")
                if values * dtype.itemsize > MAX_ARRAY_BYTES:
                    raise LimitError(f"`{self.name}`: array `{key}` claims {values * dtype.itemsize} bytes")
                if values * dtype.itemsize > info.file_size:
                    raise TruncatedError(f"`{self.name}`: array `{key}` is shorter than its shape {shape} says")
                data = file.read()
        except Sq3Error:
            raise
        except (
            *_ZIP_ERRORS,
            SyntaxError,
            TypeError,
            KeyError,
            RecursionError,
            MemoryError,
            tokenize.TokenError,
        ) as error:
            raise FormatError(f"`{self.name}`: array `{key}` is damaged: {_line(error)}") from None
        if len(data) != values * dtype.itemsize:
            raise FormatError(f"`{self.name}`: array `{key}` has {len(data)} bytes, not {values * dtype.itemsize}")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

    def vector(self, key: str) -> NDArray[np.float32] | None:
        """Three numbers, or one that stands for three; None if the archive has no such array."""
        if key not in self.names:
            return None
        values = self.array(key).reshape(-1)
        if len(values) not in (1, 3):
            raise FormatError(f"`{self.name}`: `{key}` has {len(values)} numbers, not 3")
        return single_precision(np.broadcast_to(values, 3))


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise UnsupportedError(f"npy version {version[0]}.{version[1]} is not supported")


def _read_joined(arrays: _Archive, losses: LossReport) -> RadianceField:
    grid = arrays.array("rgbsigma")
    resolution = _resolution(arrays)
    if grid.ndim == 2 and grid.shape[1] == 4:
        if resolution is None:
            raise FormatError(f"`{arrays.name}`: a flat `rgbsigma` needs `resolution`")
        if math.prod(resolution) != len(grid):
            raise FormatError(f"`{arrays.name}`: {len(grid)} samples do not fill a grid of {resolution}")
        grid = grid.reshape(*resolution[::-1], 4).transpose(2, 1, 0, 3)
    if grid.ndim != 4 or grid.shape[3] != 4:
        raise FormatError(f"`{arrays.name}`: `rgbsigma` has shape {grid.shape}, not (X, Y, Z, 4)")
    if resolution is not None and resolution != grid.shape[:3]:
        losses.add("resolution", f"`resolution` {resolution} does not match the grid {grid.shape[:3]}", warning=True)
    samples = single_precision(grid)
    if grid.dtype == np.uint8:
        samples /= np.float32(255)
    low, high = _box(arrays.vector("bbox_min"), arrays.vector("bbox_max"), grid.shape, losses)
    return RadianceField(samples, low, high)


def _resolution(arrays: _Archive) -> tuple[int, int, int] | None:
    values = arrays.vector("resolution")
    if values is None:
        return None
    if not (np.isfinite(values).all() and (values >= 0).all() and (values < 2**24).all()):
        raise FormatError(f"`{arrays.name}`: `resolution` is not three sizes")
    x, y, z = (int(v) for v in values)
    return x, y, z


def _box(
    low: NDArray[np.float32] | None,
    high: NDArray[np.float32] | None,
    shape: tuple[int, ...],
    losses: LossReport,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if low is not None and high is not None:
        return low, high
    losses.add("bounding-box", "the file has no box; the longest side becomes 1", warning=True)
    sides = np.array(shape[:3], dtype=np.float32)
    return np.zeros(3, dtype=np.float32), sides / max(float(sides.max()), 1.0)


def _read_separate(arrays: _Archive, losses: LossReport) -> RadianceField:
    rgb, sigma = arrays.array("rgb"), arrays.array("sigma")
    if sigma.ndim != 3 or rgb.shape != (*sigma.shape, 3):
        raise FormatError(f"`{arrays.name}`: `rgb` has shape {rgb.shape} and `sigma` {sigma.shape}")
    samples = np.empty((*sigma.shape, 4), dtype=np.float32)
    samples[..., :3] = single_precision(rgb)
    if rgb.dtype == np.uint8:
        samples[..., :3] /= np.float32(255)
    samples[..., 3] = single_precision(sigma)
    low, extent = arrays.vector("origin"), arrays.vector("extent")
    high = None if low is None or extent is None else low + extent
    return RadianceField(samples, *_box(low, high, sigma.shape, losses))


def write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write `rgbsigma`, `bbox_min`, `bbox_max` and `resolution`; nothing is lost.

    `numpy.savez` stamps members with the time of day; here the same field gives the same bytes.
    """
    assert isinstance(asset, RadianceField)
    arrays: dict[str, NDArray[Any]] = {
        "rgbsigma": np.ascontiguousarray(asset.rgbsigma, dtype="<f4"),
        "bbox_min": asset.bbox_min.astype("<f4"),
        "bbox_max": asset.bbox_max.astype("<f4"),
        "resolution": np.array(asset.rgbsigma.shape[:3], dtype="<i8"),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for key, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, values, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, content.getvalue(), compresslevel=6)
    return {name: out.getvalue()}
