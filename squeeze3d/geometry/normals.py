"""Shading normals from geometry: smooth where faces meet softly, split at creases. Linear time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.disjoint import join, root
from squeeze3d.geometry.edges import edges_of
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
    triangles = np.ascontiguousarray(triangles, dtype=np.int64).reshape(-1, 3)
    normals = face_normals(positions, triangles)
    areas = face_areas(positions, triangles)
    edges = edges_of(triangles, int(triangles.max(initial=-1)) + 1)
    groups, kept = _grouped(triangles, edges.index, len(edges.ends), normals, np.cos(np.radians(angle)) - 1e-9)
    sums = _summed(groups, len(kept), normals * areas[:, None])
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    # Where faces lie back to back their normals cancel out, and what is left is rounding: the first face decides.
    clear = length > 1e-6 * np.bincount(groups.reshape(-1), np.repeat(areas, 3), len(kept))[:, None]
    unit = np.where(clear, sums / np.where(clear, length, 1), normals[kept // 3])
    # A face without area has no direction; up is as good as any and keeps the file valid.
    unit[~unit.any(axis=1)] = (0.0, 1.0, 0.0)
    return CreaseNormals(groups, unit)


@compiled
def _grouped(triangles, index, edge_count, normals, least):  # type: ignore[no-untyped-def]
    """(F, 3) group of each corner, and the first corner of each group.

    Corners belong together if they are at one vertex and their faces meet there at an edge that both run along in
    opposite ways, with a cosine between their normals of at least `least`.
    """
    size = 3 * len(triangles)
    first = np.full((edge_count, 2), -1, np.int64)
    for corner in range(size):
        f, k = corner // 3, corner % 3
        way = 1 if triangles[f, k] > triangles[f, (k + 1) % 3] else 0
        if first[index[corner], way] < 0:
            first[index[corner], way] = corner
    parent = np.arange(size)
    for corner in range(size):
        f, k = corner // 3, corner % 3
        start, end = triangles[f, k], triangles[f, (k + 1) % 3]
        twin = first[index[corner], 0 if start >= end else 1]
        if twin < 0:
            continue
        g, j = twin // 3, twin % 3
        cosine = normals[f, 0] * normals[g, 0] + normals[f, 1] * normals[g, 1] + normals[f, 2] * normals[g, 2]
        if not cosine >= least:
            continue
        # The twin runs the other way: its end is our start.
        for side in range(2):
            one = corner if side == 0 else 3 * f + (k + 1) % 3
            other = 3 * g + (j + 1) % 3 if side == 0 else twin
            # The smallest corner stands for its group, so that it comes first below.
            join(parent, one, other)
    groups = np.empty(size, np.int64)
    kept = np.empty(size, np.int64)
    number = 0
    for corner in range(size):
        head = root(parent, corner)
        if head == corner:
            kept[number] = corner
            groups[corner] = number
            number += 1
        else:
            groups[corner] = groups[head]
    return groups.reshape(-1, 3), kept[:number].copy()


@compiled
def _summed(groups, count, vectors):  # type: ignore[no-untyped-def]
    """(count, 3) sums over the corners of each group, of what their faces have."""
    sums = np.zeros((count, 3))
    for f in range(len(groups)):
        for k in range(3):
            for axis in range(3):
                sums[groups[f, k], axis] += vectors[f, axis]
    return sums
