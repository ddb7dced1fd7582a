"""Deterministic, area-uniform points on triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_triangles(
    areas: NDArray[np.floating], count: int, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`count` stratified points: (count,) triangles and (count, 3) barycentric weights.

    One point falls into each of `count` equal slices of the total area, so that the spread is more even than with
    independent points. Zero total area falls back to one triangle after the other.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    cumulative = np.cumsum(areas, dtype=np.float64)
    if not cumulative[-1] > 0:
        cumulative = np.arange(1, len(areas) + 1, dtype=np.float64)
    place = (np.arange(count) + random.random(count)) / count * cumulative[-1]
    faces = np.minimum(np.searchsorted(cumulative, place, side="right"), len(areas) - 1)
    u, v = random.random((2, count))
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    return faces, np.stack([1 - u - v, u, v], axis=1)


def face_areas(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(F,) areas."""
    a, b, c = (positions[triangles[:, k]].astype(np.float64) for k in range(3))
    areas: NDArray[np.float64] = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return areas


def face_normals(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(F, 3) unit normals; zero for triangles without area."""
    a, b, c = (positions[triangles[:, k]].astype(np.float64) for k in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)
