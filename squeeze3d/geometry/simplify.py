"""Reduce a welded triangle mesh to a face budget.

No library simplifies everything well: open3d's quadric decimation is best on open and hard-surface meshes but drops
whole components of cluttered ones, fast-simplification is best on dense scans but may stop early, and vertex
clustering always arrives but is coarse. So all of them run, and the result closest to the original wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.edges import first_rows
from squeeze3d.geometry.native import open3d
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, sample_triangles

PROBES = 8000
"""Sample points per direction when candidates are compared."""

EXACT_BELOW = 40_000
"""Larger meshes are brought to this many faces first: quadric decimation takes 10 us a face, and at budgets far
below, the detour costs less than 1 % of distance."""

HEADROOM = 6
"""Faces a prepared mesh needs, relative to the budget, for its result to be as good as the original's."""

CLUSTER_STEPS = 8

COARSE = 0.008
"""Distance above which clustering is tried too: decimation has then lost whole parts."""


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Positions and triangles, nothing else."""

    positions: NDArray[np.float64]
    """(V, 3)."""
    triangles: NDArray[np.int64]
    """(F, 3)."""

    def cleaned(self) -> TriangleMesh:
        """Without degenerate triangles, repeated triangles and unused vertices."""
        faces = self.triangles
        proper = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
        faces = faces[proper]
        # Rotate the smallest index to the front: same triangle, same row, orientation kept.
        shift = faces.argmin(axis=1)[:, None]
        faces = np.take_along_axis(faces, (np.arange(3) + shift) % 3, axis=1)
        faces = faces[first_rows(faces, len(self.positions))]
        in_use = np.zeros(len(self.positions), dtype=bool)
        in_use[faces] = True
        used = np.flatnonzero(in_use)
        index = np.zeros(len(self.positions), dtype=np.int64)
        index[used] = np.arange(len(used))
        return TriangleMesh(self.positions[used], index[faces])


class Simplifier:
    """Simplifies one mesh to any number of faces.

    Parameters
    ----------
    mesh : welded, in coordinates of order 1.
    """

    def __init__(self, mesh: TriangleMesh) -> None:
        self._original = mesh
        self.query = SurfaceQuery(mesh.positions, mesh.triangles)
        faces, weights = sample_triangles(face_areas(mesh.positions, mesh.triangles), PROBES)
        self._probes = (mesh.positions[mesh.triangles[faces]] * weights[:, :, None]).sum(axis=1)
        self._winner: dict[int, str] = {}
        """Best method for face counts of each power of two: it hardly changes within one."""
        self._bases = [mesh if len(mesh.triangles) <= EXACT_BELOW else _quadric(mesh, EXACT_BELOW).cleaned()]
        """The mesh at decreasing sizes, each a quarter of the one before."""

    def reduce(self, count: int) -> TriangleMesh:
        """At most `count` faces, or the mesh itself if it has no more."""
        if len(self._original.triangles) <= count:
            return self._original.cleaned()
        octave = count.bit_length()
        known = octave in self._winner
        base = self._base(count)
        # The last winner goes first, and alone if it arrives.
        methods = sorted(_METHODS, key=lambda name: name != self._winner.get(octave))
        best: tuple[float, TriangleMesh] | None = None
        for name in methods:
            if best is not None and known:
                break
            candidate = _METHODS[name](base, count).cleaned()
            if not 0 < len(candidate.triangles) <= count:
                continue
            error = self.error(candidate)
            if best is None or error < best[0]:
                best = error, candidate
                self._winner[octave] = name
        if best is None or best[0] > COARSE:
            candidate = _clustered(base, count).cleaned()
            if 0 < len(candidate.triangles) <= count and (best is None or self.error(candidate) < best[0]):
                return candidate
        # Even clustering may leave more faces than asked for; the largest ones must do then.
        return _largest(base.cleaned(), count) if best is None else best[1]

    def _base(self, count: int) -> TriangleMesh:
        """Smallest prepared mesh with at least `HEADROOM` times the wanted faces."""
        while len(self._bases[-1].triangles) >= 4 * HEADROOM * count:
            smaller = _quadric(self._bases[-1], len(self._bases[-1].triangles) // 4).cleaned()
            if len(smaller.triangles) > len(self._bases[-1].triangles) // 2:
                break  # It resists; going on would not make it cheaper.
            self._bases.append(smaller)
        return next(b for b in reversed(self._bases) if len(b.triangles) >= HEADROOM * count or b is self._bases[0])

    def error(self, mesh: TriangleMesh) -> float:
        """Root mean square distance between both surfaces, both directions."""
        forward = SurfaceQuery(mesh.positions, mesh.triangles).distance(self._probes)
        faces, weights = sample_triangles(face_areas(mesh.positions, mesh.triangles), PROBES)
        points = (mesh.positions[mesh.triangles[faces]] * weights[:, :, None]).sum(axis=1)
        backward = self.query.distance(points)
        return float(np.sqrt((forward**2).mean() + (backward**2).mean()))


def _legacy(mesh: TriangleMesh) -> object:
    o3d = open3d()
    return o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.positions),
        o3d.utility.Vector3iVector(mesh.triangles.astype(np.int32)),
    )


def _from_legacy(mesh: object) -> TriangleMesh:
    return TriangleMesh(
        np.asarray(mesh.vertices, dtype=np.float64),  # type: ignore[attr-defined]
        np.asarray(mesh.triangles, dtype=np.int64).reshape(-1, 3),  # type: ignore[attr-defined]
    )


def _quadric(mesh: TriangleMesh, count: int) -> TriangleMesh:
    """Garland-Heckbert decimation with penalised borders."""
    return _from_legacy(
        _legacy(mesh).simplify_quadric_decimation(count, boundary_weight=0.1)  # type: ignore[attr-defined]
    )


def _fast(mesh: TriangleMesh, count: int, aggressiveness: float) -> TriangleMesh:
    """Threshold-driven quadric decimation; stops above `count` where its threshold does not suffice."""
    import fast_simplification

    positions, triangles = fast_simplification.simplify(
        mesh.positions.astype(np.float32),
        mesh.triangles.astype(np.int32),
        target_count=min(count, len(mesh.triangles) - 1),
        agg=aggressiveness,
    )
    return TriangleMesh(np.asarray(positions, dtype=np.float64), np.asarray(triangles, dtype=np.int64).reshape(-1, 3))


def _clustered(mesh: TriangleMesh, count: int) -> TriangleMesh:
    """Vertex clustering on the finest grid that meets the budget, found by bisection."""
    o3d = open3d()
    whole = _legacy(mesh)
    # A surface of area A fills about A / cell**2 cells, with two triangles each.
    area = face_areas(mesh.positions, mesh.triangles).sum()
    cell = max(1e-4, float(2 * area / count) ** 0.5)
    low, high = 0.0, np.inf
    best = TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    for _ in range(CLUSTER_STEPS):
        reduced = _from_legacy(
            whole.simplify_vertex_clustering(  # type: ignore[attr-defined]
                cell, o3d.geometry.SimplificationContraction.Quadric
            )
        )
        found = len(reduced.triangles)
        if found > count:
            low = cell
        else:
            high = cell
            if found > len(best.triangles):
                best = reduced
            if found > 0.95 * count:
                break
        step = min(max((found / count) ** 0.5, 0.5), 2.0)
        cell = (low * high) ** 0.5 if low > 0 and high < np.inf else cell * (step if abs(step - 1) > 0.02 else 1.1)
    # Quadric contraction may throw vertices far out where planes are nearly parallel.
    inside = (best.positions >= mesh.positions.min(axis=0) - 1e-6) & (
        best.positions <= mesh.positions.max(axis=0) + 1e-6
    )
    if len(best.positions) and not inside.all():
        best = TriangleMesh(
            np.clip(best.positions, mesh.positions.min(axis=0), mesh.positions.max(axis=0)), best.triangles
        )
    return best


def _largest(mesh: TriangleMesh, count: int) -> TriangleMesh:
    areas = face_areas(mesh.positions, mesh.triangles)
    chosen = np.sort(np.argsort(-areas, kind="stable")[:count])
    return TriangleMesh(mesh.positions, mesh.triangles[chosen]).cleaned()


_METHODS: dict[str, Callable[[TriangleMesh, int], TriangleMesh]] = {
    "quadric": _quadric,
    "fast-3": lambda mesh, count: _fast(mesh, count, 3.0),
    "fast-5": lambda mesh, count: _fast(mesh, count, 5.0),
}
