"""Progressive simplification by edge collapses: one run gives the mesh at every number of triangles.

```text
triangles ─► hidden ones out ─► cheapest edge collapses, again and again ─► a log
                                                                            └─► replayed up to any number of triangles
```

Errors are quadrics (Garland & Heckbert 1997): squared distances to the planes of the triangles that a vertex stands
for, weighted by area and by how much of it is seen. Borders, and edges where colours jump, add planes across them that
keep them in place. Collapses may close handles and let small parts vanish; triangles that fall together become one.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.edges import first_rows
from squeeze3d.geometry.simplify import TriangleMesh

BORDER = 1.0
"""Weight of the plane across a border, relative to a triangle as large as the square over it."""
JUMP = 1.0
"""The same for a jump of colours from black to white."""
LENGTH = 1e-4
"""Weight of squared length: among collapses that cost nothing, short ones come first."""
TURN = 0.1
"""Least cosine between a triangle's normals before and after."""
OFF = 0.5
"""How far a vertex may be placed from the edge it replaces, relative to the edge's length."""


@dataclass(frozen=True, eq=False)
class Collapses:
    """A log of collapses.

    Step k moves vertex `kept[k]` to `places[k]`, merges `gone[k]` into it, and leaves `left[k]` triangles.
    """

    mesh: TriangleMesh
    kept: NDArray[np.int64]
    gone: NDArray[np.int64]
    places: NDArray[np.float64]
    left: NDArray[np.int64]

    def at(self, count: int) -> TriangleMesh:
        """The mesh with at most `count` triangles, or as few as there can be."""
        positions, triangles = self.mesh.positions, self.mesh.triangles
        if len(triangles) <= count:
            return self.mesh
        steps = int(np.searchsorted(-self.left, -count)) + 1
        home = _homes(self.kept[:steps], self.gone[:steps], len(positions))
        moved = positions.copy()
        # Of several moves of a vertex the last one counts.
        moved[self.kept[:steps]] = self.places[:steps]
        return one_sided(TriangleMesh(moved, home[triangles]).cleaned())


def one_sided(mesh: TriangleMesh) -> TriangleMesh:
    """Without the second of two triangles that differ in orientation alone."""
    first = first_rows(np.sort(mesh.triangles, axis=1), len(mesh.positions))
    return TriangleMesh(mesh.positions, mesh.triangles[first]).cleaned()


def collapses(
    mesh: TriangleMesh, weights: NDArray[np.float64], jumps: NDArray[np.float64], *, least: int = 1
) -> Collapses:
    """Collapse edges of a mesh until `least` triangles are left, or no collapse is possible.

    Parameters
    ----------
    weights : (F,) importance of each triangle; those with 0 are left out.
    jumps : (F, 3) squared difference of colours across the edge from corner k to k + 1, 1 for black and white.
    """
    shown = weights > 0
    if not shown.any():
        shown[:] = True
    kept = mesh.triangles[shown]
    used = np.unique(kept)
    index = np.zeros(len(mesh.positions), dtype=np.int64)
    index[used] = np.arange(len(used))
    kept = index[kept]
    positions = mesh.positions[used]
    # Orientation does not matter for what is a copy: both sides are drawn.
    first = first_rows(np.sort(kept, axis=1), len(positions))
    proper = (kept[:, 0] != kept[:, 1]) & (kept[:, 1] != kept[:, 2]) & (kept[:, 2] != kept[:, 0])
    first = first[proper[first]]
    triangles = np.ascontiguousarray(kept[first])
    quadrics = _quadrics(positions, triangles, weights[shown][first], jumps[shown][first])
    log = _run(np.ascontiguousarray(positions), triangles.copy(), quadrics, least)
    return Collapses(TriangleMesh(positions, triangles), *log)


def _quadrics(
    positions: NDArray[np.float64],
    triangles: NDArray[np.int64],
    weights: NDArray[np.float64],
    jumps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(V, 10) sums of weighted plane quadrics: xx xy xz yy yz zz of A, then b, then c."""
    count = len(positions)
    corners = positions[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(cross, axis=1)
    normal = cross / np.maximum(size, 1e-30)[:, None]
    result = np.zeros((count, 10))
    planes = _planes(normal, corners[:, 0]) * (size / 2 * weights)[:, None]
    for corner in range(3):
        np.add.at(result, triangles[:, corner], planes)
    start, end = triangles.reshape(-1), np.roll(triangles, -1, axis=1).reshape(-1)
    keys = np.minimum(start, end) * count + np.maximum(start, end)
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    alone = times[inverse.reshape(-1)] != 2
    strength = np.where(alone, BORDER, JUMP * jumps.reshape(-1))
    chosen = np.flatnonzero(strength > 1e-4)
    owner = chosen // 3
    along = positions[end[chosen]] - positions[start[chosen]]
    across = np.cross(normal[owner], along)
    length = np.linalg.norm(across, axis=1)
    planes = _planes(across / np.maximum(length, 1e-30)[:, None], positions[start[chosen]])
    planes *= (strength[chosen] * length**2 * weights[owner])[:, None]
    np.add.at(result, start[chosen], planes)
    np.add.at(result, end[chosen], planes)
    return result


def _planes(normals: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 10) quadrics of planes."""
    x, y, z = normals.T
    d = -(normals * points).sum(axis=1)
    return np.stack([x * x, x * y, x * z, y * y, y * z, z * z, x * d, y * d, z * d, d * d], axis=1)


@compiled
def _homes(kept, gone, count):  # type: ignore[no-untyped-def]
    """(count,) vertex that each vertex ended up in."""
    home = np.arange(count)
    for k in range(len(kept)):
        home[gone[k]] = kept[k]
    for v in range(count):
        root = v
        while home[root] != root:
            root = home[root]
        while home[v] != root:
            home[v], v = root, home[v]
    return home


@compiled
def _error(q, x, y, z):  # type: ignore[no-untyped-def]
    return (
        q[0] * x * x
        + 2 * q[1] * x * y
        + 2 * q[2] * x * z
        + q[3] * y * y
        + 2 * q[4] * y * z
        + q[5] * z * z
        + 2 * (q[6] * x + q[7] * y + q[8] * z)
        + q[9]
    )


@compiled
def _best_place(q, p, r, out):  # type: ignore[no-untyped-def]
    """Where the error of an edge p, r that becomes a vertex is least; returns it."""
    mx, my, mz = (p[0] + r[0]) / 2, (p[1] + r[1]) / 2, (p[2] + r[2]) / 2
    length = (p[0] - r[0]) ** 2 + (p[1] - r[1]) ** 2 + (p[2] - r[2]) ** 2
    # Held weakly at the middle, so that flat and straight places have one answer.
    hold = 1e-3 * (q[0] + q[3] + q[5]) + 1e-15
    a, b, c, d, e, f = q[0] + hold, q[1], q[2], q[3] + hold, q[4], q[5] + hold
    g, h, i = hold * mx - q[6], hold * my - q[7], hold * mz - q[8]
    c0, c1, c2 = d * f - e * e, c * e - b * f, b * e - c * d
    det = a * c0 + b * c1 + c * c2
    if det > 0:
        x = (c0 * g + c1 * h + c2 * i) / det
        y = (c1 * g + (a * f - c * c) * h + (b * c - a * e) * i) / det
        z = (c2 * g + (b * c - a * e) * h + (a * d - b * b) * i) / det
        reach = OFF + 0.5
        if (x - mx) ** 2 + (y - my) ** 2 + (z - mz) ** 2 <= reach * reach * length:
            out[0], out[1], out[2] = x, y, z
            return max(_error(q, x, y, z), 0.0) + LENGTH * length * length
    out[0], out[1], out[2] = mx, my, mz
    best = _error(q, mx, my, mz)
    for end in (p, r):
        value = _error(q, end[0], end[1], end[2])
        if value < best:
            best = value
            out[0], out[1], out[2] = end[0], end[1], end[2]
    return max(best, 0.0) + LENGTH * length * length


@compiled
def _turns(positions, faces, alive, head, following, a, b, place):  # type: ignore[no-untyped-def]
    """Whether a triangle around a or b that stays would turn over if both moved to `place`."""
    for v in (a, b):
        corner = head[v]
        while corner >= 0:
            face = corner // 3
            if alive[face]:
                k = corner % 3
                u, w = faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
                if u != a and u != b and w != a and w != b:
                    p, r, s = positions[v], positions[u], positions[w]
                    ux, uy, uz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
                    wx, wy, wz = s[0] - p[0], s[1] - p[1], s[2] - p[2]
                    nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
                    ux, uy, uz = r[0] - place[0], r[1] - place[1], r[2] - place[2]
                    wx, wy, wz = s[0] - place[0], s[1] - place[1], s[2] - place[2]
                    mx, my, mz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
                    before = nx * nx + ny * ny + nz * nz
                    after = mx * mx + my * my + mz * mz
                    dot = nx * mx + ny * my + nz * mz
                    if before > 1e-24 and (dot <= 0 or dot * dot < TURN * TURN * before * after):
                        return True
            corner = following[corner]
    return False


@compiled
def _run(positions, faces, quadrics, least):  # type: ignore[no-untyped-def]
    """Collapse; returns the log."""
    count, size = len(positions), len(faces)
    positions = positions.copy()
    alive = np.ones(size, dtype=np.bool_)
    head = np.full(count, -1, dtype=np.int64)
    tail = np.full(count, -1, dtype=np.int64)
    following = np.full(3 * size, -1, dtype=np.int64)
    for corner in range(3 * size):
        v = faces[corner // 3, corner % 3]
        if head[v] < 0:
            head[v] = corner
        else:
            following[tail[v]] = corner
        tail[v] = corner
    stamp = np.zeros(count, dtype=np.int64)
    mark = np.full(count, -1, dtype=np.int64)
    tick = 0
    place = np.zeros(3)
    q = np.zeros(10)
    heap = [(0.0, 0, 0, 0, 0, 0)]
    heap.pop()
    for v in range(count):
        corner = head[v]
        tick += 1
        while corner >= 0:
            face = corner // 3
            for k in range(3):
                u = faces[face, k]
                if u > v and mark[u] != tick:
                    mark[u] = tick
                    for i in range(10):
                        q[i] = quadrics[v, i] + quadrics[u, i]
                    heap.append((_best_place(q, positions[v], positions[u], place), v, u, 0, 0, 0))
            corner = following[corner]
    heapq.heapify(heap)
    kept = np.zeros(count, dtype=np.int64)
    gone = np.zeros(count, dtype=np.int64)
    places = np.zeros((count, 3))
    left = np.zeros(count, dtype=np.int64)
    steps = 0
    live = size
    while live > least and len(heap) > 0:
        _, a, b, sa, sb, way = heapq.heappop(heap)
        if stamp[a] != sa or stamp[b] != sb:
            continue
        for i in range(10):
            q[i] = quadrics[a, i] + quadrics[b, i]
        if way == 0:
            _best_place(q, positions[a], positions[b], place)
        else:
            place[:] = positions[a] if way == 1 else positions[b]
        if _turns(positions, faces, alive, head, following, a, b, place):
            if way == 0:
                for end, v in ((1, a), (2, b)):
                    value = _error(q, positions[v, 0], positions[v, 1], positions[v, 2])
                    heapq.heappush(heap, (max(value, 0.0), a, b, sa, sb, end))
            continue
        # Merge b into a.
        positions[a] = place
        quadrics[a] = q
        corner = head[b]
        while corner >= 0:
            face = corner // 3
            if alive[face]:
                if faces[face, 0] == a or faces[face, 1] == a or faces[face, 2] == a:
                    alive[face] = False
                    live -= 1
                else:
                    faces[face, corner % 3] = a
            corner = following[corner]
        if head[a] >= 0 and head[b] >= 0:
            following[tail[a]] = head[b]
            tail[a] = tail[b]
        # Forget dead corners, and the second of two triangles that fell together.
        previous = -1
        corner = head[a]
        degree = 0
        while corner >= 0:
            after = following[corner]
            if alive[corner // 3]:
                degree += 1
                previous = corner
            elif previous < 0:
                head[a] = after
            else:
                following[previous] = after
            corner = after
        tail[a] = previous
        if degree <= 64:
            corner = head[a]
            while corner >= 0:
                face = corner // 3
                if alive[face]:
                    k = corner % 3
                    u, w = faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
                    other = following[corner]
                    while other >= 0:
                        twin = other // 3
                        if alive[twin]:
                            k = other % 3
                            x, y = faces[twin, (k + 1) % 3], faces[twin, (k + 2) % 3]
                            if (x == u and y == w) or (x == w and y == u):
                                alive[twin] = False
                                live -= 1
                        other = following[other]
                corner = following[corner]
        stamp[a] += 1
        stamp[b] += 1
        kept[steps], gone[steps], left[steps] = a, b, live
        places[steps] = place
        steps += 1
        tick += 1
        corner = head[a]
        while corner >= 0:
            face = corner // 3
            if alive[face]:
                for k in range(3):
                    u = faces[face, k]
                    if u != a and mark[u] != tick:
                        mark[u] = tick
                        for i in range(10):
                            q[i] = quadrics[a, i] + quadrics[u, i]
                        cost = _best_place(q, positions[a], positions[u], place)
                        heapq.heappush(heap, (cost, a, u, stamp[a], stamp[u], 0))
            corner = following[corner]
    return kept[:steps], gone[:steps], places[:steps], left[:steps]
