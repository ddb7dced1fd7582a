"""A cloud as the encoder sees it: points in the unit frame, and what becomes of them on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.octree.colours import OctreeHierarchy, encode_colours
from squeeze3d.codecs.octree.occupancy import encode_occupancy, least_bytes, memory, node_count, occupancy_bits
from squeeze3d.codecs.octree.placement import directions as directions_of
from squeeze3d.codecs.octree.placement import encode_weights, fit
from squeeze3d.codecs.octree.placement import moved as moved_by
from squeeze3d.codecs.octree.stream import Head, Points
from squeeze3d.codecs.octree.tree import Nodes, levels_of, masks_of
from squeeze3d.errors import InputError


@dataclass(frozen=True, eq=False)
class Content:
    """A cloud made ready."""

    cloud: PointCloud
    pose: Pose
    places: NDArray[np.float64]
    """(N, 3) canonical places."""
    diagonal: float
    """Of the box, in canonical units; 0 for points in one spot."""

    @classmethod
    def of(cls, cloud: PointCloud) -> Content:
        """Read a cloud. Raises InputError for one without points, or with places that are not finite."""
        if not len(cloud.positions):
            raise InputError("the cloud has no points: nothing to encode")
        if not np.isfinite(cloud.positions).all():
            raise InputError("the cloud has places that are NaN or infinite", hint="remove these points")
        bounds = cloud.bounds()
        pose = Pose.from_bounds(_with_extent(bounds))
        diagonal = float(np.linalg.norm(bounds[1] - bounds[0])) / pose.scale
        return cls(cloud, pose, pose.to_canonical(cloud.positions), diagonal)

    def grid(self, cells: int) -> Grid:
        """The points on a grid of so many cells along the longest side."""
        head = Head(cells, 0)
        keys, numbers = np.unique(morton(head.cells_of(self.places)), return_inverse=True)
        return Grid(self, head, masks_of(keys, head.depth), numbers.reshape(-1))


def _with_extent(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """A (2, 3) box; around a single place a tiny one, whose frame tells it to the last bit."""
    if (bounds[0] < bounds[1]).any():
        return bounds
    return bounds + np.array([[-1], [1]]) * max(float(np.abs(bounds).max()) * 2.0**-21, 1e-30)


@dataclass(frozen=True, eq=False)
class Grid:
    """A cloud on a grid; points in one cell become one."""

    content: Content
    head: Head
    masks: list[NDArray[np.uint8]]
    numbers: NDArray[np.intp]
    """(N,) cell of each point."""

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(M,) points in each cell."""
        return np.bincount(self.numbers)

    @cached_property
    def levels(self) -> list[Nodes]:
        """Levels of the octree, root first."""
        return levels_of(self.masks)

    @property
    def memory(self) -> int:
        """Bytes that decoding takes."""
        return memory(node_count(self.masks), len(self.counts))

    @property
    def cells(self) -> Nodes:
        """The occupied cells."""
        return self.levels[-1]

    @cached_property
    def rgb(self) -> NDArray[np.float64] | None:
        """(M, 3) mean colours in levels of 255."""
        colours = self.content.cloud.colours
        if colours is None:
            return None
        return np.stack([self._mean(column) for column in colours[:, :3].T], axis=1)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Weights of the placement."""
        places = self.head.cells + 0.0
        means = np.stack([self._mean((column + 0.5) * places) for column in self.content.places.T])
        return fit(self._directions, means + self.head.margin - self.cells.cells - 0.5)

    @cached_property
    def moved(self) -> NDArray[np.float64]:
        """(3, M) decoded places of points about the middles of their cells."""
        return moved_by(self._directions, self.weights)

    @cached_property
    def error(self) -> float:
        """Mean squared distance of points to what their cells become, in canonical units."""
        decoded = self.head.places_of((self.cells.cells + 0.5 + self.moved).T)
        return float(((self.content.places - decoded[self.numbers]) ** 2).sum(axis=1).mean())

    @cached_property
    def bits(self) -> float:
        """What the occupied cells take, in bits."""
        return occupancy_bits(self.masks, self.levels)

    @cached_property
    def hierarchy(self) -> OctreeHierarchy:
        """The levels, for colours."""
        return OctreeHierarchy(self.levels)

    def colours(self, step: int) -> tuple[int, NDArray[np.uint8]]:
        """Bytes of the colours at a step, and what comes back."""
        assert self.rgb is not None
        encoder = SymbolEncoder()
        decoded = encode_colours(encoder, self.hierarchy, self.rgb, step - 1)
        return len(encoder.finish()), decoded

    def encode(self, step: int) -> tuple[bytes, Points]:
        """The stream, and what it decodes to; `step` is 0 for no colours."""
        encoder = SymbolEncoder()
        head = Head(self.head.cells, step)
        head.write(encoder)
        encode_occupancy(encoder, self.masks, self.levels)
        encode_weights(encoder, self.weights)
        rgb = None
        if step:
            assert self.rgb is not None
            rgb = encode_colours(encoder, self.hierarchy, self.rgb, step - 1)
        data = encoder.finish().ljust(least_bytes(self.masks), b"\0")
        return data, Points(head, self.cells, self.moved, rgb)

    @cached_property
    def _directions(self) -> NDArray[np.float64]:
        return directions_of(self.cells)

    def _mean(self, values: NDArray[np.number]) -> NDArray[np.float64]:
        """(M,) means of (N,) values of points."""
        return np.bincount(self.numbers, values) / self.counts
