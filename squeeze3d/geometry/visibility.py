"""How much of a surface is seen from around it: what is hidden deserves fewer bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.query import SurfaceQuery

LIFT = 0.004
"""Rays start this far off the surface, in units of a canonical frame with the longest side 1: decoded surfaces lie
about as far from the original."""
_RINGS = ((35.0, 0.0, 5), (10.0, 36.0, 5), (-15.0, 0.0, 4))
"""Elevation, first azimuth and number of the directions, in degrees: people look at things from around and above."""
_GRAZING = 0.02
"""Least cosine at which a direction sees anything."""


def seen_share(query: SurfaceQuery, points: NDArray[np.floating], normals: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) mean over directions of how large a piece of surface looks from there: its cosine, or 0 where it is hidden.

    Parameters
    ----------
    query : what hides; in a canonical frame, longest side 1, y up.
    points, normals : (N, 3) places on or near it, and the unit normals of the pieces.
    """
    points, normals = np.asarray(points, dtype=np.float64), np.asarray(normals, dtype=np.float64)
    directions = _directions()
    total = np.zeros(len(points))
    for direction in directions:
        cosine = normals @ direction
        facing = np.flatnonzero(cosine > _GRAZING)
        starts = points[facing] + LIFT * normals[facing]
        rays = np.concatenate([starts, np.broadcast_to(direction, starts.shape)], axis=1)
        free = ~np.isfinite(query.cast(rays)[1])
        total[facing[free]] += cosine[facing[free]]
    result: NDArray[np.float64] = total / len(directions)
    return result


def _directions() -> NDArray[np.float64]:
    """(14, 3) unit vectors away from the object."""
    result = []
    for elevation, first, count in _RINGS:
        high = np.radians(elevation)
        for step in range(count):
            around = np.radians(first + 360 / count * step)
            result.append([np.cos(high) * np.sin(around), np.sin(high), np.cos(high) * np.cos(around)])
    return np.array(result)
