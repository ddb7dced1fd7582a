"""The stream of `points.octree`: head, occupied cells, weights of the placement, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.octree.colours import OctreeHierarchy, decode_colours
from squeeze3d.codecs.octree.occupancy import decode_occupancy
from squeeze3d.codecs.octree.placement import Weights, decode_weights, directions, moved
from squeeze3d.codecs.octree.tree import Nodes
from squeeze3d.errors import FormatError

CELL_BITS = 21
MAX_CELLS = 1 << 20
"""Cells along the longest side, at most. Part of the format."""
STEP_BITS = 6
_HALF_BITS = 11


@dataclass(frozen=True, slots=True)
class Head:
    """Grid and fineness of colours."""

    cells: int
    """Cells along the longest side of the pose."""
    step: int
    """Step of the transform of colours plus one, or 0 for a cloud without colours."""

    @property
    def margin(self) -> int:
        """Cells before the box of the pose: its centre is rounded."""
        return self.cells // 1024 + 1

    @property
    def depth(self) -> int:
        """Levels below the root: the grid has a margin on both sides, and one cell more for points on the far side."""
        return (self.cells + 2 * self.margin).bit_length()

    def write(self, encoder: SymbolEncoder) -> None:
        """Append the head."""
        encoder.encode_raw([self.step], STEP_BITS)
        encoder.encode_raw([self.cells >> _HALF_BITS, self.cells & (1 << _HALF_BITS) - 1], _HALF_BITS)

    @classmethod
    def read(cls, decoder: SymbolDecoder) -> Head:
        """Next head. Raises FormatError for a grid without cells or with too many."""
        step = int(decoder.decode_raw(1, STEP_BITS)[0])
        high, low = decoder.decode_raw(2, _HALF_BITS).tolist()
        cells = high << _HALF_BITS | low
        if not 1 <= cells <= MAX_CELLS:
            raise FormatError(f"the octree has {cells:,} cells a side", hint="the file is damaged")
        return cls(cells, step)

    def cells_of(self, places: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N, 3) cells of (N, 3) canonical places."""
        cells = np.floor((places + 0.5) * self.cells).astype(np.int64) + self.margin
        return np.clip(cells, 0, (1 << self.depth) - 1)

    def places_of(self, cells: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 3) canonical places from (N, 3) places in cells, whose middles lie at halves."""
        return (cells.astype(np.float64) - self.margin) / self.cells - 0.5


@dataclass(frozen=True, eq=False)
class Points:
    """What a stream says."""

    head: Head
    nodes: Nodes
    """The occupied cells."""
    moved: NDArray[np.float64]
    """(3, N) places of points about the middles of their cells."""
    rgb: NDArray[np.uint8] | None
    """(N, 3)."""

    def to_cloud(self, pose: Pose) -> PointCloud:
        """The cloud, cell by cell."""
        places = self.head.places_of((self.nodes.cells + 0.5 + self.moved).T)
        rgba = None
        if self.rgb is not None:
            rgba = np.full((len(places), 4), 255, dtype=np.uint8)
            rgba[:, :3] = self.rgb
        return PointCloud(pose.to_original(places), rgba)


def decode_points(data: bytes, limits: Limits) -> Points:
    """Read a stream.

    Raises FormatError or LimitError; any other stream gives some points. Nothing is allocated that `limits`
    forbids, and time is bounded by the size of the stream.
    """
    decoder = SymbolDecoder(data)
    head = Head.read(decoder)
    levels = decode_occupancy(decoder, head.depth, len(data), limits)
    weights = decode_weights(decoder)
    rgb = decode_colours(decoder, OctreeHierarchy(levels), head.step - 1) if head.step else None
    decoder.finish()
    return Points(head, levels[-1], placed(levels, weights), rgb)


def placed(levels: Sequence[Nodes], weights: Weights) -> NDArray[np.float64]:
    """(3, N) places of points about the middles of their cells."""
    return moved(directions(levels[-1]), weights)
