"""Shading normals from geometry: smooth where faces meet softly, split at creases. NumPy alone, linear time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.sampling import face_areas, face_normals


@dataclass(frozen=True, eq=False)
class CreaseNormals:
    """Normals shared by groups of corners."""

    groups: NDArray[np.int64]
    """(F, 3) group of each corner. All corners of a group are at one vertex."""
    normals: NDArray[np.float64]
    """(G, 3) unit normal of each group."""


def crease_normals(positions: NDArray[np.floating], triangles: NDArray[np.integer], angle: float) -> CreaseNormals:
    """Area-weighted normals, averaged across edges whose faces turn by at most `angle` degrees.

    180 smooths everything that is connected by an edge, 0 shades every face flat.
    """
    count = len(triangles)
    normals = face_normals(positions, triangles)
    areas = face_areas(positions, triangles)
    labels = np.arange(3 * count)
    first, second = _linked_corners(np.asarray(triangles, dtype=np.int64), normals, angle)
    # Connected corners get the smallest number among them. Trees of labels are joined at their roots and flattened, so
    # that a fan of n faces takes about log n rounds, whatever their order.
    while len(first):
        low, high = np.minimum(labels[first], labels[second]), np.maximum(labels[first], labels[second])
        apart = low != high
        first, second = first[apart], second[apart]
        np.minimum.at(labels, high[apart], low[apart])
        while not np.array_equal(labels, flatter := labels[labels]):
            labels = flatter
    kept, groups = np.unique(labels, return_inverse=True)
    groups = groups.reshape(count, 3)
    sums = np.zeros((len(kept), 3))
    np.add.at(sums, groups.reshape(-1), np.repeat(normals * areas[:, None], 3, axis=0))
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    # Where faces lie back to back their normals cancel out, and what is left is rounding: the first face decides.
    clear = length > 1e-6 * np.bincount(groups.reshape(-1), np.repeat(areas, 3), len(kept))[:, None]
    unit = np.where(clear, sums / np.where(clear, length, 1), normals[kept // 3])
    # A face without area has no direction; up is as good as any and keeps the file valid.
    unit[~unit.any(axis=1)] = (0.0, 1.0, 0.0)
    return CreaseNormals(groups, unit)


def _linked_corners(
    triangles: NDArray[np.int64], normals: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of corners (flat index) at one vertex whose faces meet softly across an edge of that vertex."""
    count = len(triangles)
    start = triangles.reshape(-1)
    end = np.roll(triangles, -1, axis=1).reshape(-1)
    from_corner = np.arange(3 * count)
    to_corner = (np.arange(count)[:, None] * 3 + (np.arange(3) + 1) % 3).reshape(-1)
    size = int(triangles.max()) + 1 if count else 1
    forward, backward = start * size + end, end * size + start
    order = np.argsort(forward, kind="stable")
    place = np.minimum(np.searchsorted(forward[order], backward), len(order) - 1)
    twin = order[place]
    soft = forward[twin] == backward
    cosine = (normals[np.arange(3 * count) // 3] * normals[twin // 3]).sum(axis=1)
    soft &= cosine >= np.cos(np.radians(angle)) - 1e-9
    edges = np.flatnonzero(soft)
    # The twin runs the other way: its end is our start.
    return (
        np.concatenate([from_corner[edges], to_corner[edges]]),
        np.concatenate([to_corner[twin[edges]], from_corner[twin[edges]]]),
    )
