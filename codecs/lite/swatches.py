"""`Swatches`: roughly which colour the original has where, for looking at shapes before their colours are coded.

White parts on white do not care about their outline, dark ones do: shapes can only be compared in their colours. A
table of cells answers at once, while exact colours need a ray and a texture lookup for each vertex of each attempt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, sample_triangles
from squeeze3d.geometry.surface import Surface

SIDE = 64
"""Cells along an axis of the canonical cube."""
POINTS = 40_000
PROBES = 8
"""Directions, and their opposites, in which a point of the surface may be seen."""
_LIFT = 1e-3
"""Rays start this far off the surface, in sides of the cube."""


class Swatches:
    """Colours of one surface.

    Parameters
    ----------
    query : queries of the surface in the canonical frame of `pose`.
    """

    def __init__(self, surface: Surface, query: SurfaceQuery, pose: Pose) -> None:
        from scipy.ndimage import distance_transform_edt

        self._pose = pose
        canonical = pose.to_canonical(surface.positions)
        faces, weights = sample_triangles(face_areas(canonical, surface.triangles), POINTS, seed=4)
        points = (canonical[surface.triangles[faces]] * weights[:, :, None]).sum(axis=1)
        seen = _seen(query, points)
        points = points[seen]
        rgb = surface.colours_at(faces[seen], weights[seen])[:, :3]
        self.spread = float(np.ptp(rgb, axis=0).max())
        """Largest difference between two colours in one channel, sRGB in [0, 1]."""
        place = np.ravel_multi_index(tuple(self._cells(points).T), (SIDE,) * 3)
        counts = np.bincount(place, minlength=SIDE**3)
        sums = np.stack([np.bincount(place, rgb[:, k], SIDE**3) for k in range(3)], axis=1)
        means = sums / np.maximum(counts, 1)[:, None]
        empty = (counts == 0).reshape((SIDE,) * 3)
        nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
        self._rgb = means[np.ravel_multi_index(tuple(nearest.reshape(3, -1)), (SIDE,) * 3)].astype(np.float32)

    def at(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 3) sRGB in [0, 1] near (N, 3) points in the frame of the asset."""
        return self._rgb[np.ravel_multi_index(tuple(self._cells(self._pose.to_canonical(points)).T), (SIDE,) * 3)]

    def _cells(self, canonical: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.clip(((canonical + 0.5) * SIDE).astype(np.int64), 0, SIDE - 1)


def _seen(query: SurfaceQuery, points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the points from which a ray gets out, all of them where hardly any does."""
    directions = np.random.default_rng(7).normal(size=(PROBES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hidden = np.arange(len(points))
    for direction in (*directions, *-directions):
        start = points[hidden] + _LIFT * direction
        rays = np.concatenate([start, np.broadcast_to(direction, start.shape)], axis=1)
        hidden = hidden[np.isfinite(query.cast(rays)[1])]
    free = np.ones(len(points), dtype=bool)
    free[hidden] = False
    return np.flatnonzero(free) if free.sum() >= 100 else np.arange(len(points))
