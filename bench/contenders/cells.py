"""`cells`: point clouds as sorted cells of a grid, differences in planes of bytes, zstd. No other library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from squeeze3d.assets.formats import load
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError

BITS = (4, 5, 6, 7, 8, 9, 10, 11, 12, 14)
STREAM = "points.zst"
_LEVEL = 19
_MOST = 1 << 32


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of a cloud that hold points, in Morton order."""

    low: NDArray[np.float32]
    """(3,) place of cell 0."""
    step: np.float32
    """Side of a cell."""
    cells: NDArray[np.int64]
    """(N, 3), all different."""
    colours: NDArray[np.uint8] | None
    """(N, 4) means of the points of a cell."""

    @property
    def positions(self) -> NDArray[np.float32]:
        """(N, 3) centres of the cells."""
        return (self.low + self.cells * self.step).astype(np.float32)


def merged(cloud: PointCloud, bits: int) -> Grid:
    """Points in a cube of 2**bits cells a side, those of one cell as one.

    Raises InputError for places that are not finite.
    """
    if not np.isfinite(cloud.positions).all():
        raise InputError("the cloud has points without a place")
    low = cloud.positions.min(axis=0)
    step = np.float32(max(float((cloud.positions - low).max()), 1e-30) / ((1 << bits) - 1))
    cells = np.rint((cloud.positions - low) / step).astype(np.int64)
    codes, owner = np.unique(_morton(cells, bits), return_inverse=True)
    one = np.zeros(len(codes), dtype=np.int64)
    one[owner] = np.arange(len(owner))
    colours = None
    if cloud.colours is not None:
        counts = np.bincount(owner)
        means = [np.bincount(owner, cloud.colours[:, channel]) / counts for channel in range(4)]
        colours = np.rint(np.stack(means, axis=1)).astype(np.uint8)
    return Grid(low, step, cells[one], colours)


class Cells(Contender):
    """One point for each cell that holds any, with the mean of their colours, in Morton order.

    Counted is all of it: 16 bytes for the box, one that says whether there are colours, and the frame of zstd -19.
    Normals are dropped.
    """

    id = "cells"
    summary = "cells of 4 to 14 bits in Morton order, zstd -19"
    kinds = frozenset({Kind.POINTS})
    packages = ("zstandard",)

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting(f"{bits} bits", values={"bits": bits}) for bits in BITS]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        cloud = load(source)
        assert isinstance(cloud, PointCloud)
        grid = merged(cloud, setting.values["bits"])
        steps = np.diff(grid.cells, axis=0, prepend=np.zeros((1, 3), dtype=np.int64))
        # Differences of either sign as 0, -1, 1, -2, ...: small ones have an empty upper byte.
        folded = np.where(steps < 0, -2 * steps - 1, 2 * steps).astype("<u2")
        planes = [(folded & 255).astype(np.uint8), (folded >> 8).astype(np.uint8)]
        if grid.colours is not None:
            planes.append(grid.colours)
        body = b"".join(np.ascontiguousarray(plane.T).tobytes() for plane in planes)
        head = np.append(grid.low, grid.step).astype("<f4").tobytes() + bytes([grid.colours is not None])
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(body)
        return Encoded({STREAM: head + packed}, {"points": len(grid.cells)})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        data = files[STREAM]
        low_and_step = np.frombuffer(data[:16], dtype="<f4")
        body = zstandard.ZstdDecompressor().decompress(data[17:], max_output_size=_MOST)
        planes = np.frombuffer(body, dtype=np.uint8).reshape(10 if data[16] else 6, -1)
        folded = planes[:3].astype(np.int64) + 256 * planes[3:6].astype(np.int64)
        cells = np.cumsum(np.where(folded & 1, -(folded + 1) // 2, folded // 2), axis=1).T
        positions = (low_and_step[:3] + cells * low_and_step[3]).astype(np.float32)
        return PointCloud(positions, np.ascontiguousarray(planes[6:].T) if data[16] else None)


def _morton(cells: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """(N,) bits of the three coordinates, one after the other."""
    codes = np.zeros(len(cells), dtype=np.int64)
    for bit in range(bits):
        for axis in range(3):
            codes |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return codes
