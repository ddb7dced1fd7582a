"""How far vertices may move along the surface: quadrics of the planes around them (Garland & Heckbert 1997)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 0.3
"""Largest move, of the shortest edge around: no triangle turns over."""


def vertex_quadrics(
    triangles: NDArray[np.int64], positions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(V, 6) mean squared distances from the planes of the triangles, and of borders, around each vertex.

    Also (V,) squares of how far each may move. Borders are edges of one triangle: their planes stand upright on it.
    """
    corners = positions[triangles]
    edges = corners[:, [1, 2, 0]] - corners
    areas = np.cross(edges[:, 0], edges[:, 1])
    sizes = np.linalg.norm(areas, axis=1)
    normals = areas / np.maximum(sizes, 1e-12)[:, None]
    count = len(positions)
    total, weight = np.zeros((count, 3, 3)), np.zeros(count)
    planes = normals[:, :, None] * normals[:, None, :] * sizes[:, None, None]
    for corner in range(3):
        np.add.at(total, triangles[:, corner], planes)
        np.add.at(weight, triangles[:, corner], sizes)

    start, end = triangles.reshape(-1), triangles[:, [1, 2, 0]].reshape(-1)
    key = np.minimum(start, end) * count + np.maximum(start, end)
    _, place, times = np.unique(key, return_inverse=True, return_counts=True)
    border = times[place.reshape(-1)] == 1
    along = edges.reshape(-1, 3)[border]
    upright = np.cross(along, normals.repeat(3, axis=0)[border])
    upright /= np.maximum(np.linalg.norm(upright, axis=1), 1e-12)[:, None]
    strength = (along**2).sum(axis=1)
    for ends in (start[border], end[border]):
        np.add.at(total, ends, upright[:, :, None] * upright[:, None, :] * strength[:, None, None])
        np.add.at(weight, ends, strength)
    total /= np.maximum(weight, 1e-12)[:, None, None]

    shortest = np.full(count, np.inf)
    lengths = (edges**2).sum(axis=2).reshape(-1)
    np.minimum.at(shortest, start, lengths)
    np.minimum.at(shortest, end, lengths)
    return np.ascontiguousarray(total[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]), REACH**2 * shortest
