"""Watertight signed distances of any triangle surface on a grid of cells.

```text
triangles ─► distance ─► flood from outside ─► which side is each point on ─► signed distance, thin walls padded
             (exact near the surface)          (reads the flood on both sides of the closest surface point)
```

Nothing is asked of the mesh: sheets, open shells, crossing parts and inner faces all give the outer shell that a ball
of radius tau sees from outside. Inner surfaces leave no trace. Everything is measured in cells (grid coordinates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.flood import Outside
from squeeze3d.geometry.lattice import doubled, lattice_points
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_normals

CLIP = 1.5
"""Largest magnitude of a signed distance, in cells."""
FLAT = 1e-4
"""An axis whose extent is below this share of the longest is a plane: stretching it to a cell would amplify noise."""
QUARTER = 0.25
"""Side of a quarter cell, the unit of the padding rules; it is the same for every factor and resolution."""
THINNEST = 1.2 * QUARTER
"""Sheets and walls below this thickness are padded to it on both sides alike, else they would fall between samples."""
WALL = 0.75
"""What lies between two surfaces at most this far apart is solid. No flood of the ladder fits between."""

_MARGIN = 3
"""Cells around the box on which distances are known: the flood needs to get around it at the largest tau."""
_LARGEST_TAU = 2.5
_EDGE = 1
"""Cells around the box that `Solid.fine` covers."""
_PEEK = 1.9 * QUARTER
"""How far behind and in front of the closest surface point the flood is read."""
_CLEARLY = 0.1
"""It is outside before a point's surface where the power is below minus this, in units of tau: powers are interpolated,
and close to zero on the surface itself and near outer edges of a solid."""
_CORNER = 0.25
"""Balls do not fill inner corners. Before the surface, powers up to this count as outside if they rise by as much
behind it. Units of tau as well."""
_LEAST_DEPTH = 0.05
"""Of places that are inside for reasons other than their closest surface."""
_COVER_SCALE, _COVER_SLACK = 1.4, 0.1
"""The depth within balls is uncertain by this factor and this much: away from corners it must not shorten distances."""
_NEAR = 0.7
"""Points closer than this know their side from their closest surface point. It is more than 0.5 + THINNEST / 2, so
that sheets are padded for every cell that they touch."""
_EXACT_HALF = 1.25
_EXACT_QUARTER = 0.45
"""Distances below are asked for; above they are interpolated from the lattice twice as wide."""
_TOUCHING = 1e-3
"""Below this the direction to the closest point is rounding noise; the face normal stands in."""
_START = 0.004
"""Rays start this far beyond a surface, so as not to hit it again."""


@dataclass(frozen=True, eq=False)
class GridFrame:
    """Places a box on a grid of cells: its faces lie at cell centres, one unit of grid coordinates is one cell.

    Each axis is stretched a little, so that the box is a whole number of cells.
    """

    low: NDArray[np.float64]
    """(3,) low corner of the box."""
    extents: NDArray[np.float64]
    """(3,) size of the box."""
    cells: tuple[int, int, int]
    """Cells the box is long, at least 1. Cell centres lie at 0 ... cells."""

    @classmethod
    def from_bounds(cls, bounds: NDArray[np.floating], resolution: int) -> GridFrame:
        """Frame whose longest axis has `resolution` - 3 cells, of (2, 3) minimum and maximum."""
        assert resolution >= 4
        low, high = np.asarray(bounds, dtype=np.float64)
        extents = high - low
        longest = float(extents.max())
        share = extents / longest if longest > 0 else np.zeros(3)
        x, y, z = (max(1, round(float(s) * (resolution - 3))) for s in share)
        return cls(low, extents, (x, y, z))

    @property
    def steps(self) -> NDArray[np.float64]:
        """(3,) sides of a cell. Axes without extent get the largest side."""
        steps = self.extents / np.array(self.cells)
        largest = float(steps.max())
        flat = self.extents <= FLAT * float(self.extents.max())
        steps[flat] = largest if largest > 0 else 1.0
        return steps

    @property
    def origin(self) -> NDArray[np.float64]:
        """(3,) place of grid coordinates 0. Axes without extent are centred in their one cell."""
        flat = self.extents <= FLAT * float(self.extents.max())
        centred = self.low + self.extents / 2 - self.steps * np.array(self.cells) / 2
        result: NDArray[np.float64] = np.where(flat, centred, self.low)
        return result

    def to_grid(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Grid coordinates of (N, 3) points."""
        result: NDArray[np.float64] = (np.asarray(points, dtype=np.float64) - self.origin) / self.steps
        return result

    def to_world(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Inverse of `to_grid`."""
        result: NDArray[np.float64] = np.asarray(points, dtype=np.float64) * self.steps + self.origin
        return result


@dataclass(frozen=True, eq=False)
class _Feet:
    """Closest surface points of some points of a lattice."""

    flat: NDArray[np.int64]
    """(N,) ascending C-order indices into the lattice."""
    points: NDArray[np.float32]
    """(N, 3) those points."""
    away: NDArray[np.float32]
    """(N, 3) unit vectors from the closest surface point to the point."""
    distance: NDArray[np.float32]
    """(N,)."""

    @property
    def surface(self) -> NDArray[np.float32]:
        """(N, 3) closest surface points."""
        return self.points - self.distance[:, None] * self.away

    def chosen(self, mask: NDArray[np.bool_]) -> _Feet:
        return _Feet(self.flat[mask], self.points[mask], self.away[mask], self.distance[mask])

    def merged(self, other: _Feet) -> _Feet:
        flat = np.concatenate([self.flat, other.flat])
        order = np.argsort(flat, kind="stable")
        return _Feet(
            flat[order],
            np.concatenate([self.points, other.points])[order],
            np.concatenate([self.away, other.away])[order],
            np.concatenate([self.distance, other.distance])[order],
        )


class Solid:
    """One surface on one grid. Distances are asked for once; another tau costs a flood.

    >>> solid = Solid(frame.to_grid(surface.positions), surface.triangles, frame.cells)    # doctest: +SKIP
    >>> occupied = solid.centres(1.0) < 0.5                                                # doctest: +SKIP
    """

    def __init__(
        self, positions: NDArray[np.floating], triangles: NDArray[np.integer], cells: tuple[int, int, int]
    ) -> None:
        x, y, z = (int(n) for n in cells)
        assert min(x, y, z) >= 1
        self.cells = (x, y, z)
        self._positions = np.asarray(positions, dtype=np.float64)
        self._triangles = np.asarray(triangles, dtype=np.int64)
        self.query = SurfaceQuery(self._positions, self._triangles)
        self._feet: dict[int, _Feet] = {}
        self._distances: dict[int, NDArray[np.float32]] = {}
        self._outside: dict[float, Outside] = {}

    def centres(self, tau: float) -> NDArray[np.float32]:
        """Signed distances at the cell centres 0 ... cells: shape `cells` + 1, within +-CLIP."""
        signed = self._signed_lattice(1, tau)
        inner = (slice(_MARGIN, -_MARGIN),) * 3
        return np.ascontiguousarray(signed[inner])

    def fine(self, tau: float, factor: int = 4) -> NDArray[np.float32]:
        """Signed distances on `factor` points a cell and axis, of cells -1 ... cells + 1, within +-CLIP.

        Index j lies at -1.5 + (j + 0.5) / `factor`.
        """
        assert factor in (2, 4)
        half = self._signed_lattice(2, tau)
        cut = 2 * (_MARGIN - _EDGE)
        if factor == 2:
            return np.ascontiguousarray(half[(slice(cut, -cut),) * 3])
        # One point more on each side, so that the border is interpolated as well.
        signed = doubled(half[(slice(cut - 1, 1 - cut),) * 3])[(slice(2, -2),) * 3]
        signed = np.ascontiguousarray(signed)
        near = np.flatnonzero(np.abs(signed) < _EXACT_QUARTER)
        feet = self._known(4, signed.shape, near)
        signed.reshape(-1)[feet.flat] = np.clip(self._signed(feet, self._outside_of(tau)), -CLIP, CLIP)
        return signed

    def _signed_lattice(self, factor: int, tau: float) -> NDArray[np.float32]:
        """Signed distances at all points of the lattice of cell centres (1) or half cells (2), margin included."""
        outside = self._outside_of(tau)
        distance = self._distance(factor)
        power = outside.lattice() if factor == 2 else _halved(outside.lattice())
        signed = np.where(power < 0, distance, -np.maximum(distance, outside.depth(power)))
        feet = self._feet[factor]
        near = feet.chosen(feet.distance < _NEAR)
        signed.reshape(-1)[near.flat] = self._signed(near, outside)
        # Farther inside, the distance counts where the closest surface is an outer one, else the depth.
        deep = feet.chosen((feet.distance >= _NEAR) & (power.reshape(-1)[feet.flat] >= 0))
        hidden = outside.at(deep.surface - np.float32(_PEEK) * deep.away) >= 0
        signed.reshape(-1)[deep.flat[hidden]] = -outside.depth(power.reshape(-1)[deep.flat[hidden]])
        return np.clip(signed, -CLIP, CLIP)

    def _signed(self, feet: _Feet, outside: Outside) -> NDArray[np.float32]:
        """Signed distances of points near the surface."""
        surface = feet.surface
        tau = outside.tau
        before = outside.at(surface + np.float32(_PEEK) * feet.away)
        behind = outside.at(surface - np.float32(_PEEK) * feet.away)
        own = (before < -_CLEARLY * tau) | ((before < _CORNER * tau) & (behind - before > _CORNER * tau))
        # Behind a sheet the power is at most this: a ball touches it, and interpolation adds up to a sixteenth. Half of
        # it is reached behind a wall of some thickness, but hardly next to the corner of a solid.
        sheet = _PEEK * _PEEK - 2 * _PEEK * tau + 1 / 16
        # Inside, behind the closest surface: if an outer one follows at once, the closest is the inner side of a wall.
        seen = np.flatnonzero(~own & (behind < 0))
        wall = self._gap(surface[seen], -feet.away[seen])
        signed = -feet.distance
        signed[seen] -= np.where(wall <= WALL, wall, 0)
        signed[own] = self._signed_in_the_open(feet.chosen(own), behind[own] < sheet / 2, outside)
        # The closest surface is an inner one, which nobody sees: what counts is how far away the outside is.
        hidden = np.flatnonzero(~own & (behind >= 0))
        signed[hidden] = -np.maximum(outside.depth(outside.at(feet.points[hidden])), _LEAST_DEPTH)
        return signed

    def _signed_in_the_open(self, feet: _Feet, open_behind: NDArray[np.bool_], outside: Outside) -> NDArray[np.float32]:
        """Signed distances of points with the outside before their closest surface.

        A second surface may be ahead, so near that no flood fits between: then the point lies within a thin wall. If it
        is outside behind the closest surface too, that is one side of a thin wall as well, or a sheet if nothing is
        behind. Both are padded.
        """
        surface = feet.surface
        ahead = self._gap(surface, feet.away)
        within = (ahead <= WALL) & (ahead > feet.distance)
        thickness = np.where(within, ahead, np.float32(0))
        thin = np.flatnonzero(open_behind & ~within)
        behind = self._gap(surface[thin], -feet.away[thin])
        thickness[thin] = np.where(behind <= WALL, behind, 0)
        pad = np.where(open_behind, np.maximum(np.float32(THINNEST) - thickness, 0) / 2, 0)
        to_far_side = ahead - feet.distance
        depth = np.where(open_behind, np.minimum(feet.distance, to_far_side), to_far_side)
        # Where the ball does not reach into an inner corner, what it leaves is filled: the surface is that of the ball.
        covered = np.maximum(-outside.depth(outside.at(feet.points)), 0)
        free = np.minimum(feet.distance, _COVER_SCALE * covered + _COVER_SLACK)
        signed: NDArray[np.float32] = np.where(within, -depth, free) - pad
        return signed

    def _gap(self, surface: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) distances from points of the surface to the next surface that way, infinite without one."""
        if len(surface) == 0:
            return np.zeros(0, dtype=np.float32)
        start = surface + np.float32(_START) * directions
        length = self.query.cast(np.concatenate([start, directions], axis=1))[1]
        return (length + _START).astype(np.float32)

    def _outside_of(self, tau: float) -> Outside:
        # A smaller ball slips through the lattice, a larger one gets stuck in the margin.
        assert 0.3 <= tau <= _LARGEST_TAU
        if tau not in self._outside:
            self._outside[tau] = Outside.flood(self._distance(2), tau, _low(2), 0.5)
        return self._outside[tau]

    def _distance(self, factor: int) -> NDArray[np.float32]:
        """Unsigned distances on the lattice of cell centres (1) or half cells (2), margin included."""
        if factor not in self._distances:
            if factor == 1:
                self._distances[1] = self._refined(self._coarse(), 1, 3.0)
            else:
                self._distances[2] = self._refined(doubled(self._distance(1)), 2, _EXACT_HALF)
        return self._distances[factor]

    def _refined(self, distance: NDArray[np.float32], factor: int, threshold: float) -> NDArray[np.float32]:
        """Replace what is below the threshold by exact distances."""
        feet = self._asked(factor, distance.shape, np.flatnonzero(distance < threshold))
        distance.reshape(-1)[feet.flat] = feet.distance
        self._feet[factor] = feet
        return distance

    def _coarse(self) -> NDArray[np.float32]:
        """Distances at the cell centres by interpolation from wider lattices, for a start."""
        shape = tuple(n + 1 + 2 * _MARGIN for n in self.cells)
        sizes = {width: tuple(-(-n // width) for n in shape) for width in (8, 4, 2)}
        distance = np.zeros(sizes[8], dtype=np.float32)  # zero: the widest lattice is asked for everywhere
        for width, size in sizes.items():
            distance = np.ascontiguousarray(distance[tuple(slice(n) for n in size)])
            flat = np.flatnonzero(distance < 3.0 * width)
            points = lattice_points(_low(1 / width), width, size, flat)
            distance.reshape(-1)[flat] = self.query.distance(points)
            distance = doubled(distance)
        return np.ascontiguousarray(distance[tuple(slice(n) for n in shape)])

    def _known(self, factor: int, shape: tuple[int, ...], flat: NDArray[np.int64]) -> _Feet:
        """Closest points, asking only for what is not known yet."""
        known = self._feet.get(factor)
        if known is None:
            self._feet[factor] = self._asked(factor, shape, flat)
            return self._feet[factor]
        missing = np.setdiff1d(flat, known.flat, assume_unique=True)
        if len(missing):
            known = known.merged(self._asked(factor, shape, missing))
            self._feet[factor] = known
        return known.chosen(np.isin(known.flat, flat, assume_unique=True))

    def _asked(self, factor: int, shape: tuple[int, ...], flat: NDArray[np.int64]) -> _Feet:
        points = lattice_points(_low(factor) if factor < 4 else _low(4) + _MARGIN - _EDGE, 1 / factor, shape, flat)
        feet = self.query.closest(points)
        away = points - feet.points.astype(np.float32)
        distance = np.sqrt(np.einsum("nk,nk->n", away, away))
        touching = np.flatnonzero(distance < _TOUCHING)
        distance_or_one = np.maximum(distance, np.float32(_TOUCHING))
        away /= distance_or_one[:, None]
        away[touching] = face_normals(self._positions, self._triangles[feet.faces[touching]])
        return _Feet(flat, points, away, distance)


def _low(factor: float) -> float:
    """Place of point (0, 0, 0) on the lattice with `factor` points a cell, margin included."""
    return -_MARGIN - 0.5 + 0.5 / factor


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Trilinear values at the centres of blocks of 2 x 2 x 2."""
    for axis in range(3):
        pairs = np.moveaxis(values, axis, 0)
        values = np.moveaxis((pairs[0::2] + pairs[1::2]) * np.float32(0.5), 0, axis)
    return values
