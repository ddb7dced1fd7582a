"""Closest-point and ray queries against a triangle list, through open3d's ray-casting scene (Embree)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.native import open3d


@dataclass(frozen=True, eq=False)
class Hits:
    """Points on a surface."""

    points: NDArray[np.float64]
    """(N, 3)."""
    faces: NDArray[np.int64]
    """(N,)."""
    weights: NDArray[np.float64]
    """(N, 3) barycentric coordinates."""


class SurfaceQuery:
    """Answers where the nearest or first-hit surface is.

    Coordinates should be of order 1 (canonical frame): the scene computes in float32.
    """

    def __init__(self, positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
        o3d = open3d()
        self._core = o3d.core
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=min(8, os.cpu_count() or 1))
        self._scene.add_triangles(
            self._tensor(np.asarray(positions, dtype=np.float32)),
            o3d.core.Tensor.from_numpy(np.ascontiguousarray(triangles, dtype=np.uint32)),
        )
        self._positions = np.asarray(positions, dtype=np.float64)
        self._triangles = np.asarray(triangles, dtype=np.int64)

    def _tensor(self, array: NDArray[np.float32]) -> object:
        return self._core.Tensor.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    def closest(self, points: NDArray[np.floating]) -> Hits:
        """Closest surface point of each of (N, 3) points."""
        answer = self._scene.compute_closest_points(self._tensor(np.asarray(points, dtype=np.float32)))
        uv = answer["primitive_uvs"].numpy().astype(np.float64)
        return self._hits(answer["primitive_ids"].numpy().astype(np.int64), uv)

    def distance(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N,) unsigned distance of (N, 3) points."""
        nearest = self.closest(points).points
        result: NDArray[np.float64] = np.linalg.norm(np.asarray(points, dtype=np.float64) - nearest, axis=1)
        return result

    def outer_layer(self, points: NDArray[np.floating], normals: NDArray[np.floating], reach: float) -> Hits:
        """Surface seen from outside near each point.

        Rays start `reach` in front of the points, along the normals, and look inwards as far behind them. Where a
        wall has two sides, that finds the visible one, while the closest point may lie on the hidden one. Where
        nothing is hit, the closest point counts.
        """
        points = np.asarray(points, dtype=np.float64)
        rays = np.concatenate([points + reach * normals, -np.asarray(normals, dtype=np.float64)], axis=1)
        hits, length = self.cast(rays)
        missed = ~(length <= 2 * reach)
        if missed.any():
            near = self.closest(points[missed])
            hits.points[missed], hits.faces[missed], hits.weights[missed] = near.points, near.faces, near.weights
        return hits

    def cast(self, rays: NDArray[np.floating]) -> tuple[Hits, NDArray[np.float64]]:
        """First hits of (N, 6) rays, origin and direction, and (N,) lengths in units of the direction.

        Where nothing is hit the length is infinite and the hit means nothing.
        """
        answer = self._scene.cast_rays(self._tensor(np.asarray(rays, dtype=np.float32)))
        length = answer["t_hit"].numpy().astype(np.float64)
        faces = np.where(np.isfinite(length), answer["primitive_ids"].numpy(), 0).astype(np.int64)
        return self._hits(faces, answer["primitive_uvs"].numpy().astype(np.float64)), length

    def hidden(self, rays: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,) whether each of (N, 6) rays hits anything: faster than `cast`, as any hit will do."""
        answer = self._scene.test_occlusions(self._tensor(np.asarray(rays, dtype=np.float32)))
        result: NDArray[np.bool_] = answer.numpy()
        return result

    def _hits(self, faces: NDArray[np.int64], uv: NDArray[np.float64]) -> Hits:
        weights = np.concatenate([1 - uv.sum(axis=1, keepdims=True), uv], axis=1)
        corners = self._positions[self._triangles[faces]]
        return Hits(np.einsum("nkc,nk->nc", corners, weights), faces, weights)
