"""Closed and open surfaces as `Patch`: positions and triangles, around the origin and of size about 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Patch:
    """A surface."""

    positions: Points
    """(V, 3)."""
    triangles: NDArray[np.int64]
    """(F, 3), counter-clockwise seen from outside where it has an outside."""

    def moved(self, linear: NDArray[np.floating] | float = 1.0, shift: tuple[float, float, float] = (0, 0, 0)) -> Patch:
        """Scaled by a number or a vector, or transformed by a (3, 3) matrix, then shifted."""
        factor = np.asarray(linear, dtype=np.float64)
        scaled = self.positions @ factor.T if factor.ndim == 2 else self.positions * factor
        mirrored = np.linalg.det(factor) < 0 if factor.ndim == 2 else False
        return Patch(scaled + np.array(shift), self.triangles[:, ::-1] if mirrored else self.triangles)


def join(patches: list[Patch]) -> Patch:
    """Several patches as one; parts may cross."""
    starts = np.cumsum([0, *(len(patch.positions) for patch in patches)])
    triangles = [patch.triangles + start for patch, start in zip(patches, starts[:-1], strict=True)]
    return Patch(np.concatenate([patch.positions for patch in patches]), np.concatenate(triangles))


def sheet(places: Points, *, round_rows: bool = False, round_columns: bool = False) -> Patch:
    """Triangles between the points of a (rows, columns, 3) grid, closed around where asked."""
    rows, columns = places.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    if round_rows:
        index = np.concatenate([index, index[:1]])
    if round_columns:
        index = np.concatenate([index, index[:, :1]], axis=1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).reshape(-1, 3)
    return Patch(places.reshape(-1, 3), triangles)


def box() -> Patch:
    """Cube from -0.5 to 0.5."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Patch(corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]))


def revolved(profile: Points, segments: int = 24) -> Patch:
    """A (N, 2) profile of radius and height, from bottom to top, turned around the y axis."""
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    radius, height = profile[:, None, 0], profile[:, None, 1]
    wide = np.broadcast_to(height, (len(profile), segments))
    places = np.stack([radius * np.cos(turn), wide, -radius * np.sin(turn)], axis=-1)
    return sheet(places, round_columns=True)


def cylinder(segments: int = 20, top: float = 1.0) -> Patch:
    """Diameter and height 1; the upper end has `top` times the radius of the lower."""
    return revolved(np.array([[0, -0.5], [0.5, -0.5], [0.5 * top, 0.5], [0, 0.5]]), segments)


def ellipsoid(segments: int = 20) -> Patch:
    """Ball of diameter 1."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return revolved(np.stack([np.cos(turn), np.sin(turn)], axis=1) / 2, segments)


def torus(thickness: float, segments: int = 28) -> Patch:
    """Ring in the xz plane, diameter 1 between the middles of the tube."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    profile = np.stack([0.5 + thickness / 2 * np.cos(turn), thickness / 2 * np.sin(turn)], axis=1)
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    x, z = profile[:, None, 0] * np.cos(around), -profile[:, None, 0] * np.sin(around)
    places = np.stack([x, np.broadcast_to(profile[:, None, 1], x.shape), z], axis=-1)
    return sheet(places, round_rows=True, round_columns=True)


def extruded(outline: Points, height: float = 1.0) -> Patch:
    """Prism over a (N, 2) outline that is star-shaped around the origin, counter-clockwise."""
    rings = [
        np.stack([outline[:, 0], np.full(len(outline), y), -outline[:, 1]], axis=1) for y in (-height / 2, height / 2)
    ]
    ends = [np.broadcast_to([0.0, y, 0.0], rings[0].shape) for y in (-height / 2, height / 2)]
    return sheet(np.stack([ends[0], rings[0], rings[1], ends[1]]), round_columns=True)


def tube(path: Points, radius: float, sides: int = 8) -> Patch:
    """Round rod along a (N, 3) path, closed at both ends."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    # The axis that the path follows least gives the first side; good enough for paths without sharp twists.
    first = np.cross(along, np.eye(3)[np.argmin(np.abs(along).max(axis=0))])
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(along, first)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    rings = path[:, None] + radius * (np.cos(turn) * first[:, None] + np.sin(turn) * second[:, None])
    ends = [np.broadcast_to(path[at], (1, sides, 3)) for at in (0, -1)]
    return sheet(np.concatenate([ends[0], rings, ends[1]]), round_columns=True)


def rod(start: Points, end: Points, thickness: float, *, square: bool = False) -> Patch:
    """Straight rod between two places."""
    return tube(np.stack([start, end]), thickness / 2, 4 if square else 8)
