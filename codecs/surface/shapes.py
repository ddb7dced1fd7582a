"""From a `Surface` to quantised meshes with few triangles: simplify, fit, round.

What depends on the original alone is made once for each `Shapes`; a search then asks for many numbers of triangles.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryMeter
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.meshes import settle_mesh
from squeeze3d.codecs.surface.judge import Judge
from squeeze3d.codecs.surface.model import MAX_BITS
from squeeze3d.codecs.surface.rebuild import grid_positions
from squeeze3d.errors import InputError
from squeeze3d.geometry.collapse import Collapses, collapses, one_sided
from squeeze3d.geometry.query import Hits, SurfaceQuery
from squeeze3d.geometry.refit import refit, restore_bounds
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.simplify import TriangleMesh
from squeeze3d.geometry.surface import Surface
from squeeze3d.geometry.view_fit import ViewTargets, fit_to_views
from squeeze3d.geometry.visibility import exposure
from squeeze3d.threads import Kept

FIT_POINTS = 20_000
"""Samples for fitting vertices."""
VIEWS, RESOLUTION = 14, 224
"""Pictures that shapes are fitted to and models judged by: nearly as fine as those that will be measured, or blurred
colours look good enough."""
SETTLED_STEP, SETTLED_TOLERANCE = 2, 0.6
"""How vertices may move along the surface to cost less; see `meshes.settle_mesh`."""
BOX_LOSS = 0.008
"""Part of its extent by which a side of the box may move after quantisation, before vertices are moved."""
LAYER_REACH = 0.01
"""How far in front of the simplified surface the visible layer of the original is looked for, canonical units."""
JUMP_SAMPLES = 0.15
"""How far from an edge, in parts of the way to the opposite corner, its colours are compared."""


class Care(IntEnum):
    """How much work goes into the places of vertices."""

    NONE = 0
    """As the simplifier leaves them."""
    POINTS = 1
    """Fitted to points of the original, if views agree better then."""
    VIEWS = 2
    """And to views of it."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Quantised geometry in coding order."""

    triangles: NDArray[np.int64]
    cells: NDArray[np.int64]
    bits: int
    step: int
    """Coarseness of the coder's residuals along the surface; see `meshes.settle_mesh`."""
    size: float
    """Bytes of connectivity and positions."""
    folded: bool
    """Whether two sides of something thin became one."""

    @property
    def positions(self) -> NDArray[np.float64]:
        """(V, 3) canonical coordinates as a decoder sees them."""
        return grid_positions(self.cells, self.bits)


def quantise(canonical: NDArray[np.floating], bits: int) -> NDArray[np.int64]:
    """(N, 3) canonical coordinates to grid cells; values outside the cube go to its border."""
    cells = np.floor((np.asarray(canonical, dtype=np.float64) + 0.5) * (1 << bits)).astype(np.int64)
    return np.clip(cells, 0, (1 << bits) - 1)


class Shapes:
    """Simplified versions of one surface, in the canonical frame of `pose`."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.pose = Pose.from_bounds(surface.bounds)
        self.mesh = TriangleMesh(self.pose.to_canonical(surface.positions), surface.triangles)
        self.query = SurfaceQuery(self.mesh.positions, self.mesh.triangles)
        self._shapes: Kept[tuple[int, int, Care], Shape] = Kept()
        self._reduced: Kept[tuple[int, Care], TriangleMesh] = Kept()

    @property
    def face_count(self) -> int:
        """Triangles of the original."""
        return len(self.surface.triangles)

    @property
    def most_faces(self) -> int:
        """Triangles that are worth keeping."""
        return len(self.log.mesh.triangles)

    @cached_property
    def exposure(self) -> NDArray[np.float64]:
        """(F,) how much is seen of each triangle of the original; 0 where it is hidden."""
        return exposure(self.query, self.mesh.positions, self.mesh.triangles)

    @cached_property
    def log(self) -> Collapses:
        """All simplifications."""
        return collapses(self.mesh, self.exposure, self._jumps())

    def _jumps(self) -> NDArray[np.float64]:
        """(F, 3) mean squared difference of colours across each edge, next to it; 0 where it has one side."""
        surface, count = self.surface, self.face_count
        faces = np.repeat(np.arange(count), 3)
        corner = np.tile(np.arange(3), count)
        weights = np.full((3 * count, 3), (1 - JUMP_SAMPLES) / 2)
        weights[np.arange(3 * count), (corner + 2) % 3] = JUMP_SAMPLES
        colours = surface.colours_at(faces, weights).astype(np.float64)
        start, end = surface.triangles.reshape(-1), np.roll(surface.triangles, -1, axis=1).reshape(-1)
        keys = np.minimum(start, end) * len(surface.positions) + np.maximum(start, end)
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        one, other = order[same], order[same + 1]
        gap = ((colours[one] - colours[other]) ** 2).mean(axis=1)
        result = np.zeros(3 * count)
        np.maximum.at(result, one, gap)
        np.maximum.at(result, other, gap)
        return result.reshape(count, 3)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Draws views one after the other."""
        return ThreadPoolExecutor(1)

    @cached_property
    def _judge(self) -> Future[Judge]:
        return self._pool.submit(Judge, self.surface, self.pose.centre, self.pose.scale)

    @cached_property
    def _targets(self) -> Future[ViewTargets]:
        centre, scale = self.pose.centre, self.pose.scale
        return self._pool.submit(
            ViewTargets.render, self.surface, centre=centre, scale=scale, views=VIEWS, resolution=RESOLUTION
        )

    def begin(self, *, views: bool) -> None:
        """Start what all shapes need, and the pictures to fit to as well if `views`: another core draws them."""
        _ = self._judge
        if views:
            _ = self._targets
        _ = self.log

    @property
    def judge(self) -> Judge:
        """Says how shapes and models look."""
        return self._judge.result()

    @property
    def targets(self) -> ViewTargets:
        """Views of the original to fit to."""
        return self._targets.result()

    @cached_property
    def _seen_points(self) -> NDArray[np.float64]:
        """(N, 3) points of the original, where it is seen."""
        areas = face_areas(self.mesh.positions, self.mesh.triangles) * self.exposure
        faces, weights = sample_triangles(areas, FIT_POINTS, seed=1)
        points: NDArray[np.float64] = np.einsum("nkc,nk->nc", self.mesh.positions[self.mesh.triangles[faces]], weights)
        return points

    def reduced(self, count: int, care: Care) -> TriangleMesh:
        """At most `count` triangles if that can be, canonical coordinates."""
        return self._reduced.get((count, care), lambda: self._reduce(count, care))

    def _reduce(self, count: int, care: Care) -> TriangleMesh:
        if care is Care.NONE:
            return self.log.at(count)
        mesh = self.reduced(count, Care.NONE)
        fitted = refit(mesh, self._seen_points, self.query)
        # Closest points may pull at the wrong wall; views tell.
        mesh = min((mesh, fitted), key=lambda m: self.judge.shape_error(m.positions, m.triangles))
        if care is Care.VIEWS:
            mesh = fit_to_views(mesh, self.targets)
        used = np.unique(self.log.mesh.triangles)
        return restore_bounds(mesh, self.log.mesh.positions[used])

    def shape(self, count: int, bits: int, care: Care) -> Shape:
        """Quantised geometry with at most `count` faces.

        Raises InputError if nothing with an area is left, even on the finest grid.
        """
        count = min(count, self.most_faces)
        return self._shapes.get((count, bits, care), lambda: self._shape(count, bits, care))

    def _shape(self, count: int, bits: int, care: Care) -> Shape:
        mesh = self.reduced(count, care)
        while True:
            placed = self._cells(mesh, bits)
            _, first, index = np.unique(_keys(placed, bits), return_index=True, return_inverse=True)
            cells, index = placed[first], index.reshape(-1)
            snapped = TriangleMesh(cells.astype(np.float64), index[mesh.triangles]).cleaned()
            if len(snapped.triangles) and (bits == MAX_BITS or _keeps_box(snapped.positions, cells)):
                break
            if bits == MAX_BITS:
                raise InputError("nothing to compress: all triangles are degenerate")
            bits += 1  # Needles collapse on a coarse grid, and the far ends of the shape with them.
        single = one_sided(snapped)
        exact = _unrounded(mesh.positions, index, cells, single.positions, bits)
        meter = BinaryMeter()
        coded = settle_mesh(single.triangles, exact, bits, SETTLED_STEP, SETTLED_TOLERANCE, meter)
        folded = len(single.triangles) < len(snapped.triangles)
        return Shape(coded.triangles, coded.cells, bits, SETTLED_STEP, meter.bits / 8, folded)

    def _cells(self, mesh: TriangleMesh, bits: int) -> NDArray[np.int64]:
        """(V, 3) grid cells of the vertices.

        A coarse grid adds half a cell to what simplification took off each side of the box. Where that would be more
        than `BOX_LOSS` of the extent, the outermost vertices move out to the cell of the original's side.
        """
        cells = quantise(mesh.positions, bits)
        used = self.log.mesh.positions[np.unique(self.log.mesh.triangles)]
        low, high = used.min(axis=0), used.max(axis=0)
        placed = grid_positions(cells, bits)
        for axis in range(3):
            allowed = BOX_LOSS * (high[axis] - low[axis])
            for side, outermost in ((low, placed[:, axis].min()), (high, placed[:, axis].max())):
                if abs(outermost - side[axis]) > allowed:
                    wanted = quantise(side[None], bits)[0, axis]
                    cells[placed[:, axis] == outermost, axis] = wanted
        return cells

    def auto_bits(self, count: int) -> int:
        """Grid resolution that suits a face budget: a cell about a twentieth of an edge."""
        return int(np.clip(round(3.6 + 0.6 * np.log2(max(min(count, self.most_faces), 1))), 7, 14))

    def visible(
        self,
        positions: NDArray[np.float64],
        triangles: NDArray[np.int64],
        faces: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> Hits:
        """Original surface seen from outside at points of a simplified one."""
        points = np.einsum("nkc,nk->nc", positions[triangles[faces]], weights)
        return self.query.outer_layer(points, face_normals(positions, triangles)[faces], LAYER_REACH)


def _unrounded(
    positions: NDArray[np.float64],
    index: NDArray[np.int64],
    cells: NDArray[np.int64],
    kept: NDArray[np.float64],
    bits: int,
) -> NDArray[np.float64]:
    """(K, 3) places, in cells, of the vertices whose rounded ones are `kept`.

    Parameters
    ----------
    positions, index : vertices before rounding, and which of `cells` each one came to. Several share their mean.
    cells : (C, 3) in lexicographic order.
    """
    number = np.bincount(index, minlength=len(cells))[:, None]
    exact = np.stack([np.bincount(index, positions[:, k], len(cells)) for k in range(3)], axis=1) / number
    exact = (exact + 0.5) * (1 << bits) - 0.5
    # Vertices that were moved to the side of the box stay there.
    exact = np.where(np.abs(exact - cells) > 1, cells, exact)

    result: NDArray[np.float64] = exact[np.searchsorted(_keys(cells, bits), _keys(kept.astype(np.int64), bits))]
    return np.clip(result, 0, (1 << bits) - 1)


def _keys(cells: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """(N,) numbers of (N, 3) cells, in lexicographic order."""
    x, y, z = cells.T
    return (x << bits | y) << bits | z


def _keeps_box(kept: NDArray[np.float64], cells: NDArray[np.int64]) -> bool:
    """Whether the vertices that are left span the box of all (N, 3) cells, to a cell and 1 % of each side."""
    low, high = cells.min(axis=0), cells.max(axis=0)
    lost = np.maximum(kept.min(axis=0) - low, high - kept.max(axis=0))
    return bool((lost <= 1 + 0.01 * (high - low)).all())
