"""What a generated surface should show: points on it, and the colour of the original that is seen there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.rebuild import vertex_normals
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.surface import Surface
from squeeze3d.geometry.visibility import seen_share

REACH = 0.03
"""How far in front of a point its visible colour is looked for, in sides of the frame."""
HIDDEN = 0.03
"""What a place that nobody sees counts next to one that is seen as usual."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Points on a generated surface."""

    points: NDArray[np.float64]
    """(N, 3)."""
    normals: NDArray[np.float64]
    """(N, 3) as a decoder interpolates them between vertices."""
    rgb: NDArray[np.float64]
    """(N, 3) sRGB in [0, 255] of the original there."""
    weights: NDArray[np.float64]
    """(N,) how much of each is seen; they sum to 1."""
    own: NDArray[np.float64]
    """(N, 3) sRGB in [0, 255] that the generated surface shows by itself."""

    def error(self, rgb: NDArray[np.floating]) -> float:
        """Mean squared error per channel of (N, 3) sRGB in [0, 255]."""
        return float((self.weights @ (rgb - self.rgb) ** 2).mean())


class Sampler:
    """Takes samples of a generated surface.

    Parameters
    ----------
    generated, original : surfaces in one frame.
    half_extent : half the side of the frame.
    """

    def __init__(self, generated: Surface, original: Surface, half_extent: float) -> None:
        self._generated, self._original, self._scale = generated, original, 2 * half_extent
        # Queries want coordinates of order 1.
        self._query = SurfaceQuery(original.positions / self._scale, original.triangles)
        self._places = generated.positions / self._scale
        self._normals = vertex_normals(generated.positions, generated.triangles.astype(np.int32))

    def take(self, count: int, seed: int) -> Samples:
        """`count` points, spread evenly."""
        triangles = self._generated.triangles
        faces, weights = sample_triangles(face_areas(self._places, triangles), count, seed=seed)
        points = (self._places[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        flat = face_normals(self._places, triangles)[faces]
        hits = self._query.outer_layer(points, flat, REACH)
        seen = seen_share(self._query, hits.points, flat)
        seen = seen + HIDDEN * max(float(seen.mean()), 1e-3)
        return Samples(
            self._scale * points,
            (self._normals[triangles[faces]].astype(np.float64) * weights[:, :, None]).sum(axis=1),
            255.0 * self._original.colours_at(hits.faces, hits.weights)[:, :3].astype(np.float64),
            seen / seen.sum(),
            255.0 * self._generated.colours_at(faces, weights)[:, :3].astype(np.float64),
        )
