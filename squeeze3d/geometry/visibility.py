"""How much of a surface is seen from around it: what is hidden deserves fewer bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_normals

LIFT = 0.004
"""Rays start this far off the surface, in units of a canonical frame with the longest side 1: decoded surfaces lie
about as far from the original."""
FAINT, ELSEWHERE = 0.05, 0.01
"""What a triangle counts that is hardly seen, and that is only seen from below, relative to the one seen best."""
PROBES = 40_000
"""Points at which `exposure` looks from all directions, if there are no more triangles."""
DIRECTIONS, LOWEST = 36, -0.6
"""From how many directions `exposure` looks, and the sine of the lowest: pictures of a thing that is seen from a little
below show it from so far below at their upper edge."""
_RINGS = ((35.0, 0.0, 5), (10.0, 36.0, 5), (-15.0, 0.0, 4))
"""Elevation, first azimuth and number of the directions, in degrees: people look at things from around and above."""
_GRAZING = 0.02
"""Least cosine at which a direction sees anything."""


def seen_share(
    query: SurfaceQuery,
    points: NDArray[np.floating],
    normals: NDArray[np.floating],
    directions: NDArray[np.float64] | None = None,
    *,
    both: bool = False,
) -> NDArray[np.float64]:
    """(N,) mean over directions of how large a piece of surface looks from there: its cosine, or 0 where it is hidden.

    Parameters
    ----------
    query : what hides; in a canonical frame, longest side 1, y up.
    points, normals : (N, 3) places on or near it, and the unit normals of the pieces.
    directions : (D, 3) where viewers are; around and above, if not given.
    both : whether pieces are seen from behind as well.
    """
    points, normals = (np.ascontiguousarray(each, dtype=np.float64) for each in (points, normals))
    directions = _directions() if directions is None else directions
    total = np.zeros(len(points))
    rays = np.empty((len(points), 6), dtype=np.float32)
    facing = np.empty(len(points), dtype=np.int64)
    cosines = np.empty(len(points))
    for direction in directions:
        count = _rays_to(direction, points, normals, both, rays, facing, cosines)
        free = ~query.hidden(rays[:count])
        total[facing[:count][free]] += cosines[:count][free]
    result: NDArray[np.float64] = total / len(directions)
    return result


@compiled
def _rays_to(direction, points, normals, both, rays, facing, cosines):  # type: ignore[no-untyped-def]
    """Rays to a viewer from the pieces that face it, which pieces those are, and their cosines. Returns how many."""
    count = 0
    for n in range(len(points)):
        cosine = 0.0
        for axis in range(3):
            cosine += normals[n, axis] * direction[axis]
        lift = LIFT
        if both and cosine < 0:
            cosine, lift = -cosine, -LIFT
        if cosine > _GRAZING:
            for axis in range(3):
                rays[count, axis] = points[n, axis] + lift * normals[n, axis]
                rays[count, 3 + axis] = direction[axis]
            facing[count] = n
            cosines[count] = cosine
            count += 1
    return count


def _directions() -> NDArray[np.float64]:
    """(14, 3) unit vectors away from the object."""
    result = []
    for elevation, first, count in _RINGS:
        high = np.radians(elevation)
        for step in range(count):
            around = np.radians(first + 360 / count * step)
            result.append([np.cos(high) * np.sin(around), np.sin(high), np.cos(high) * np.cos(around)])
    return np.array(result)


def exposure(
    query: SurfaceQuery, positions: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(F,) how much is seen of each triangle from either side, relative to the one seen best; 0 where it is hidden.

    What is seen from below alone counts `ELSEWHERE`; `FAINT` is added to all else that is seen. A triangle counts as
    hidden if nothing is seen of it, nor of any triangle that it shares a vertex with: small ones are looked at in one
    place only.
    """
    positions, triangles = np.asarray(positions, dtype=np.float64), np.asarray(triangles, dtype=np.int64)
    normals = face_normals(positions, triangles)
    generator = np.random.default_rng(0)
    usual, below = np.zeros(len(triangles)), np.zeros(len(triangles))
    rounds = int(np.clip(PROBES // max(len(triangles), 1), 1, 6))
    # Of many triangles each one is looked at from every second or third direction; its neighbours from the others.
    parts = int(np.clip(np.ceil(len(triangles) / PROBES), 1, 3))
    for _ in range(rounds):
        weights = generator.dirichlet((1.5, 1.5, 1.5), len(triangles))
        points = np.einsum("fkc,fk->fc", positions[triangles], weights)
        for part in range(parts):
            some = slice(part, None, parts)
            for seen, directions in (
                (usual, _spiral(DIRECTIONS, LOWEST, 1.0)),
                (below, _spiral(DIRECTIONS // 5, -1.0, LOWEST)),
            ):
                seen[some] += seen_share(query, points[some], normals[some], directions[some], both=True)
    result = np.zeros(len(triangles))
    for seen, least in ((below, ELSEWHERE), (usual, FAINT)):
        around = np.zeros(len(positions))
        for corner in range(3):
            np.maximum.at(around, triangles[:, corner], seen)
        shown = around[triangles].max(axis=1) > 0
        result[shown] = least
    result += usual / max(float(usual.max(initial=0.0)), 1e-12)
    return result


def _spiral(count: int, low: float, high: float) -> NDArray[np.float64]:
    """(count, 3) unit vectors, even over the part of the sphere with heights between `low` and `high`."""
    height = low + (high - low) * (np.arange(count) + 0.5) / count
    around = np.arange(count) * np.pi * (3 - np.sqrt(5))
    wide = np.sqrt(1 - height**2)
    return np.stack([wide * np.sin(around), height, wide * np.cos(around)], axis=1)
