"""Move the vertices of a simplified mesh closer to the surface it stands for.

Simplifiers place vertices on local evidence. Afterwards, with the connectivity fixed, the best positions are a linear
least-squares problem: points sampled on the original should lie on the triangle next to them. That costs no bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, sample_triangles
from squeeze3d.geometry.simplify import TriangleMesh

STIFFNESS = 0.05
"""Weight of staying put, relative to the mean number of samples a vertex has: keeps unobserved vertices in place."""
ROUNDS, ACCURACY = 200, 1e-7
"""Of conjugate gradients, which take about 30 rounds: a factorisation takes longer the more vertices there are."""
TIP = 0.0075
"""Loss of a side of the box, relative to its extent, above which a vertex is pulled out; see `restore_bounds`."""


def refit(mesh: TriangleMesh, points: NDArray[np.float64], original: SurfaceQuery, *, rounds: int = 2) -> TriangleMesh:
    """Least-squares fit of the vertices to the original surface.

    Each round pairs (N, 3) points of the original with their closest places on the current mesh, and as many points
    of the mesh with their closest places on the original, and solves for the positions. The result stays in the box
    of mesh and points.
    """
    positions, triangles = mesh.positions, mesh.triangles
    low = np.minimum(positions.min(axis=0), points.min(axis=0))
    high = np.maximum(positions.max(axis=0), points.max(axis=0))
    for _ in range(rounds):
        near = SurfaceQuery(positions, triangles).closest(points)
        faces, weights = sample_triangles(face_areas(positions, triangles), len(points) // 2, seed=2)
        own = (positions[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        faces, weights = np.concatenate([near.faces, faces]), np.concatenate([near.weights, weights])
        wanted = np.concatenate([points, original.closest(own).points])
        moved = fit_vertices(faces, weights, triangles, wanted, positions, stiffness=STIFFNESS)
        positions = np.clip(moved, low, high)
    return TriangleMesh(positions, triangles)


def fit_vertices(
    faces: NDArray[np.int64],
    weights: NDArray[np.float64],
    triangles: NDArray[np.int64],
    wanted: NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    stiffness: float,
) -> NDArray[np.float64]:
    """Values at vertices whose interpolation comes closest to samples, in the least-squares sense.

    Parameters
    ----------
    faces, weights : (N,) triangle and (N, 3) barycentric coordinates of the samples.
    triangles : (F, 3).
    wanted : (N, C) values of the samples.
    start : (V, C) values that vertices without samples keep.
    stiffness : weight of `start`, relative to the mean number of samples a vertex has.
    """
    count = len(start)
    stay = stiffness * len(wanted) / count
    values = np.ascontiguousarray(wanted, dtype=np.float64)
    held = np.ascontiguousarray(start, dtype=np.float64)
    return _least_squares(faces, weights, np.ascontiguousarray(triangles), values, held, stay, ROUNDS, ACCURACY)


@compiled
def _least_squares(faces, weights, triangles, wanted, start, stay, rounds, accuracy):  # type: ignore[no-untyped-def]
    """Conjugate gradients on the normal equations, whose matrix is kept as 3 x 3 blocks of triangles."""
    count, channels = start.shape
    blocks = np.zeros((len(triangles), 3, 3))
    inverse = np.full(count, stay)
    rest = np.zeros((count, channels))
    for s in range(len(faces)):
        f = faces[s]
        for i in range(3):
            w, v = weights[s, i], triangles[f, i]
            inverse[v] += w * w
            for j in range(3):
                blocks[f, i, j] += w * weights[s, j]
            for c in range(channels):
                # What start leaves over at the sample: the solution begins there.
                off = wanted[s, c]
                for j in range(3):
                    off -= weights[s, j] * start[triangles[f, j], c]
                rest[v, c] += w * off
    for v in range(count):
        inverse[v] = 1 / inverse[v] if inverse[v] > 0 else 1.0
    result = start.copy()
    way = np.empty((count, channels))
    before = np.zeros(channels)
    for v in range(count):
        for c in range(channels):
            way[v, c] = inverse[v] * rest[v, c]
            before[c] += rest[v, c] * way[v, c]
    goal = before * accuracy * accuracy
    for _ in range(rounds):
        if not (before > goal).any():
            break
        pushed = stay * way
        for f in range(len(triangles)):
            for i in range(3):
                for j in range(3):
                    for c in range(channels):
                        pushed[triangles[f, i], c] += blocks[f, i, j] * way[triangles[f, j], c]
        size, after = np.zeros(channels), np.zeros(channels)
        for v in range(count):
            for c in range(channels):
                size[c] += way[v, c] * pushed[v, c]
        for c in range(channels):
            size[c] = before[c] / size[c] if before[c] > goal[c] and size[c] > 0 else 0.0
        for v in range(count):
            for c in range(channels):
                result[v, c] += size[c] * way[v, c]
                rest[v, c] -= size[c] * pushed[v, c]
                after[c] += inverse[v] * rest[v, c] * rest[v, c]
        for c in range(channels):
            turn = after[c] / before[c] if before[c] > 0 else 0.0
            for v in range(count):
                way[v, c] = inverse[v] * rest[v, c] + turn * way[v, c]
            before[c] = after[c]
    return result


def restore_bounds(mesh: TriangleMesh, original: NDArray[np.float64]) -> TriangleMesh:
    """Bring the bounding box of a simplified mesh back to that of (N, 3) original vertices.

    Thin tips vanish first when a mesh shrinks. Where a side moved inwards by more than `TIP` of the box's extent, the
    vertex next to the original extreme is pulled out to it. Smaller losses stay: a coarse mesh that touches the
    extremes of a round shape fits worse everywhere else.
    """
    positions = mesh.positions.copy()
    low, high = original.min(axis=0), original.max(axis=0)
    for axis in range(3):
        allowed = TIP * (high[axis] - low[axis])
        for extreme, lost in (
            (original[original[:, axis].argmin()], positions[:, axis].min() - low[axis]),
            (original[original[:, axis].argmax()], high[axis] - positions[:, axis].max()),
        ):
            if lost > allowed:
                positions[((positions - extreme) ** 2).sum(axis=1).argmin()] = extreme
    return TriangleMesh(positions, mesh.triangles)


def surface_points(mesh: TriangleMesh, count: int) -> NDArray[np.float64]:
    """(count, 3) area-uniform points on a mesh."""
    faces, weights = sample_triangles(face_areas(mesh.positions, mesh.triangles), count, seed=1)
    points: NDArray[np.float64] = (mesh.positions[mesh.triangles[faces]] * weights[:, :, None]).sum(axis=1)
    return points
