"""Charts: pieces of a coded mesh that lie flat in a picture. They follow from the mesh alone; both sides agree on them.

```text
triangles ─► merged while they face one way ─► laid flat, relaxed ─► turned into the smallest box
                                    ▲                    │
                                    └── what lies on top ┘
```

Pieces grow by merging neighbours in the order of what flattening costs (Garland, Willmott & Heckbert 2001). A piece is
projected along its mean normal, then relaxed as rigidly as possible (Liu et al. 2008, Sorkine & Alexa 2007), so that
what bends away from the picture plane is not squeezed.

Numbers are IEEE doubles, made by additions, multiplications, divisions and square roots in a fixed order, and nothing
else: every machine gets the same ones.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.cuts import InnerEdges
from squeeze3d.compiled import compiled
from squeeze3d.geometry.disjoint import root

MOST_FACES = 1 << 16
"""Larger meshes are not laid flat."""
FLATNESS = 0.65
"""Length of the mean normal of a piece, at least: a half cylinder has 0.64. Part of the format, as all that follow."""
ROUNDNESS = 0.15
"""What a border that merging does not take away costs, against what bending costs."""
FACING = 0.1
"""Cosine to the mean normal below which a triangle leaves its piece."""
PASSES = 3
"""Times that triangles which left are merged among themselves."""
FREE_STEPS, STEPS_PER_FACE = 1 << 16, 512
"""Edges of pieces that merging looks at, and so many more for each triangle; then it ends. A flat square of 65,000
triangles takes 93 for each, a sphere 22. Where teeth stand all along a piece that grows it would be the number of
triangles itself, and take minutes."""
ROOM = 16
"""Entries of the heap for each triangle; where there are more, those out of date are taken out. This is no part of the
format."""
SWEEPS, SWEEPS_PER_FIT = 120, 4
OVER = 1.6
"""Over-relaxation of the sweeps."""
LEAST_WEIGHT = 0.05
LAYERS = 3
"""Times that what lies on top of other parts of its piece becomes a piece of its own."""
CELLS_PER_FACE, MOST_CELLS = 24, 16_384
"""Of a piece, to find that out."""
TURNS = 32
"""Directions tried for the smallest box, over a right angle."""
_COSINES = tuple(round(4096 * float(np.cos(np.pi / 2 * k / TURNS))) / 4096 for k in range(TURNS + 1))


@dataclass(frozen=True, eq=False)
class Charts:
    """A mesh in flat pieces."""

    owners: NDArray[np.int64]
    """(F,) piece of each triangle."""
    places: NDArray[np.float64]
    """(F, 3, 2) where its corners lie, in grid cells; each piece begins at 0, 0."""
    boxes: NDArray[np.float64]
    """(P, 2) width and height of each piece, wider than high."""


def charts(triangles: NDArray[np.int64], cells: NDArray[np.int64], edges: InnerEdges) -> Charts:
    """Flat pieces of a mesh."""
    corners = cells[triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    gap = cells[edges.ends[:, 1]] - cells[edges.ends[:, 0]]
    lengths = np.sqrt((gap * gap).sum(axis=1).astype(np.float64))
    sides = np.sqrt(((np.roll(corners, -1, axis=1) - corners) ** 2).sum(axis=2))
    owners = _pieces(normals, sides, edges.faces, lengths)
    places = np.zeros((len(triangles), 3, 2))
    changed = np.ones(int(owners.max(initial=-1)) + 1, dtype=np.bool_)
    for layer in range(LAYERS + 1):
        faces = np.flatnonzero(changed[owners])
        # Vertices of each piece, and the triangles in terms of them.
        keys, index = np.unique((owners[faces, None] * len(cells) + triangles[faces]).reshape(-1), return_inverse=True)
        local, homes = index.reshape(-1, 3), keys // len(cells)
        points = cells[keys % len(cells)].astype(np.float64)
        places[faces] = _flattened(local, homes, points, normals[faces], owners[faces], len(changed))[local]
        if layer < LAYERS:
            changed = _lift(places, owners, edges.faces, changed)
        if not changed.any():
            break
    boxes = _turn(places, owners, np.argsort(owners, kind="stable"), len(changed), np.array(_COSINES))
    return Charts(owners, places, boxes)


@compiled
def _pieces(normals, sides, pairs, lengths):  # type: ignore[no-untyped-def]
    """(F,) numbers of pieces, in the order of their first triangles."""
    count = len(normals)
    owners = np.full(count, -1, dtype=np.int64)
    open_ = np.ones(count, dtype=np.bool_)
    steps = np.full(1, FREE_STEPS + STEPS_PER_FACE * count)
    for turn in range(PASSES):
        roots = _merged(normals, sides, pairs, lengths, open_, steps)
        mean = np.zeros((count, 3))
        for f in range(count):
            if open_[f]:
                for k in range(3):
                    mean[roots[f], k] += normals[f, k]
        left = 0
        for f in range(count):
            if not open_[f]:
                continue
            own, other, dot = 0.0, 0.0, 0.0
            for k in range(3):
                own += normals[f, k] * normals[f, k]
                other += mean[roots[f], k] * mean[roots[f], k]
                dot += normals[f, k] * mean[roots[f], k]
            if dot > FACING * np.sqrt(own) * np.sqrt(other) or own == 0.0:
                owners[f] = roots[f] * PASSES + turn
                open_[f] = False
            else:
                left += 1
        if left == 0:
            break
    for f in range(count):
        if open_[f]:
            owners[f] = (count + f) * PASSES
    # Numbered as they come. A piece that lost triangles in between may hang together no more; it stays one.
    names = np.full(2 * count * PASSES, -1, dtype=np.int64)
    known = 0
    for f in range(count):
        if names[owners[f]] < 0:
            names[owners[f]] = known
            known += 1
        owners[f] = names[owners[f]]
    return owners


@compiled
def _cost(mean, area, border, p, q, shared):  # type: ignore[no-untyped-def]
    """What merging two pieces costs, and the flatness of the result."""
    square = 0.0
    for k in range(3):
        total = mean[p, k] + mean[q, k]
        square += total * total
    whole = area[p] + area[q]
    flat = np.sqrt(square) / whole if whole > 0.0 else 1.0
    least = min(border[p], border[q])
    rest = 1.0 - shared / least if least > 0.0 else 0.0
    return 1.0 - flat + ROUNDNESS * rest, flat


@compiled
def _merged(normals, sides, pairs, lengths, open_, steps):  # type: ignore[no-untyped-def]
    """(F,) a triangle that stands for the piece of each one; pieces of triangles that are open.

    `steps` is what is left of the edges that may be looked at.
    """
    count = len(normals)
    parents = np.arange(count)
    versions = np.zeros(count, dtype=np.int64)
    mean = normals.copy()
    area = np.zeros(count)
    border = np.zeros(count)
    for f in range(count):
        square = 0.0
        for k in range(3):
            square += normals[f, k] * normals[f, k]
            border[f] += sides[f, k]
        area[f] = np.sqrt(square)
    # Half-edges of the dual graph in a linked ring for each piece: 2 e and 2 e + 1 are the two of pair e.
    ahead = np.arange(2 * len(pairs))
    first = np.full(count, -1, dtype=np.int64)
    heap = [(0.0, 0, 0, 0, 0)]
    heap.pop()
    for e in range(len(pairs)):
        p, q = pairs[e]
        if p == q or not open_[p] or not open_[q]:
            continue
        for side in range(2):
            f = pairs[e, side]
            half = 2 * e + side
            if first[f] >= 0:
                ahead[half] = ahead[first[f]]
                ahead[first[f]] = half
            first[f] = half
    gain = np.zeros(count)
    marks = np.full(count, -1, dtype=np.int64)
    for f in range(count):
        _offer(heap, f, first, ahead, pairs, lengths, parents, mean, area, border, versions, gain, marks, steps, f)
    room = ROOM * count
    while len(heap) > 0 and steps[0] >= 0:
        if len(heap) > room:
            _clear(heap, parents, versions)
        _, p, q, before, after = heapq.heappop(heap)
        if parents[p] != p or parents[q] != q or versions[p] != before or versions[q] != after:
            continue
        shared = 0.0
        last = first[p]
        half = last
        while True:
            if root(parents, pairs[half >> 1, 1 - (half & 1)]) == q:
                shared += lengths[half >> 1]
            half = ahead[half]
            if half == last:
                break
        parents[q] = p
        for k in range(3):
            mean[p, k] += mean[q, k]
        area[p] += area[q]
        border[p] = max(border[p] + border[q] - 2.0 * shared, 0.0)
        versions[p] += 1
        # Two rings become one; half-edges inside the piece are taken out when it is walked next.
        one, other = first[p], first[q]
        ahead[one], ahead[other] = ahead[other], ahead[one]
        _offer(heap, p, first, ahead, pairs, lengths, parents, mean, area, border, versions, gain, marks, steps, -1)
    for f in range(count):
        parents[f] = root(parents, f)
    return parents


@compiled
def _clear(heap, parents, versions):  # type: ignore[no-untyped-def]
    """Take out what is out of date. The order of the rest is total, so they come as they would have."""
    kept = 0
    for at in range(len(heap)):
        _, p, q, before, after = heap[at]
        if parents[p] == p and parents[q] == q and versions[p] == before and versions[q] == after:
            heap[kept] = heap[at]
            kept += 1
    while len(heap) > kept:
        heap.pop()
    heapq.heapify(heap)


@compiled
def _offer(  # type: ignore[no-untyped-def]
    heap, p, first, ahead, pairs, lengths, parents, mean, area, border, versions, gain, marks, steps, above
):
    """Put merging `p` with each of its neighbours (of those with a number above `above`) on the heap."""
    if first[p] < 0:
        return
    # Take out what lies inside.
    half = first[p]
    size = 0
    last = half
    while True:
        size += 1
        half = ahead[half]
        if half == last:
            break
    before = half
    for _ in range(size):
        half = ahead[before]
        if root(parents, pairs[half >> 1, 1 - (half & 1)]) == p:
            ahead[before] = ahead[half]
            if half == first[p]:
                first[p] = before
            if half == before:
                first[p] = -1
                return
        else:
            before = half
    half = first[p]
    last = half
    while True:
        q = root(parents, pairs[half >> 1, 1 - (half & 1)])
        if marks[q] != p:
            marks[q] = p
            gain[q] = 0.0
        gain[q] += lengths[half >> 1]
        steps[0] -= 1
        half = ahead[half]
        if half == last:
            break
    while True:
        q = root(parents, pairs[half >> 1, 1 - (half & 1)])
        if marks[q] == p:
            marks[q] = -1
            if q > above:
                cost, flat = _cost(mean, area, border, p, q, gain[q])
                if flat >= FLATNESS:
                    heapq.heappush(heap, (cost, p, q, versions[p], versions[q]))
        half = ahead[half]
        if half == last:
            break


@compiled
def _flattened(local, homes, points, normals, owners, count):  # type: ignore[no-untyped-def]
    """(N, 2) places of the vertices of pieces: projected, and relaxed where no triangle turns over."""
    mean = np.zeros((count, 3))
    for f in range(len(local)):
        for k in range(3):
            mean[owners[f], k] += normals[f, k]
    axes = np.zeros((count, 2, 3))
    for p in range(count):
        _plane(mean[p], axes[p])
    flat = np.zeros((len(points), 2))
    for i in range(len(points)):
        for side in range(2):
            for k in range(3):
                flat[i, side] += points[i, k] * axes[homes[i], side, k]
    relaxed = _relaxed(local, points, flat)
    turned = np.zeros(count, dtype=np.bool_)
    for f in range(len(local)):
        a, b, c = local[f]
        if _area(relaxed, a, b, c) <= 0.0 and _area(flat, a, b, c) > 0.0:
            turned[owners[f]] = True
    for i in range(len(points)):
        if not turned[homes[i]]:
            flat[i, 0], flat[i, 1] = relaxed[i, 0], relaxed[i, 1]
    return flat


@compiled
def _lift(places, owners, pairs, fresh):  # type: ignore[no-untyped-def]
    """Give triangles that lie on top of others of their piece to new pieces, in `owners`.

    Looks at pieces that are `fresh`, and returns which have changed or are new. Triangles are laid down one after the
    other, from the first one to its neighbours and so on.
    """
    faces, count = len(places), len(fresh)
    offsets = np.zeros(faces + 1, dtype=np.int64)
    for e in range(len(pairs)):
        for side in range(2):
            offsets[pairs[e, side] + 1] += 1
    for f in range(faces):
        offsets[f + 1] += offsets[f]
    near = np.zeros(offsets[-1], dtype=np.int64)
    fill = offsets[:-1].copy()
    for e in range(len(pairs)):
        for side in range(2):
            near[fill[pairs[e, side]]] = pairs[e, 1 - side]
            fill[pairs[e, side]] += 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    sizes = np.zeros(count, dtype=np.int64)
    for f in range(faces):
        p = owners[f]
        sizes[p] += 1
        for k in range(3):
            for axis in range(2):
                low[p, axis] = min(low[p, axis], places[f, k, axis])
                high[p, axis] = max(high[p, axis], places[f, k, axis])
    starts = np.zeros(count + 1, dtype=np.int64)
    shape = np.zeros((count, 2), dtype=np.int64)
    unit = np.zeros(count)
    for p in range(count):
        wide, tall = high[p, 0] - low[p, 0], high[p, 1] - low[p, 1]
        unit[p] = max(np.sqrt(wide * tall / min(CELLS_PER_FACE * sizes[p], MOST_CELLS)), max(wide, tall) / 4096.0)
        if unit[p] > 0.0 and sizes[p] > 1 and fresh[p]:
            shape[p, 0], shape[p, 1] = int(wide / unit[p]) + 1, int(tall / unit[p]) + 1
        starts[p + 1] = starts[p] + shape[p, 0] * shape[p, 1]
    taken = np.zeros(starts[-1], dtype=np.bool_)
    state = np.zeros(faces, dtype=np.int64)  # 1 in line, 2 on top
    line = np.zeros(faces, dtype=np.int64)
    for seed in range(faces):
        if state[seed] != 0:
            continue
        state[seed] = 1
        line[0] = seed
        ahead, end = 0, 1
        while ahead < end:
            f = line[ahead]
            ahead += 1
            p = owners[f]
            if shape[p, 0] > 0:
                # Looked at first, then taken.
                if _covers(places[f], low[p], unit[p], shape[p], taken[starts[p] : starts[p + 1]], False):
                    state[f] = 2
                    continue
                _covers(places[f], low[p], unit[p], shape[p], taken[starts[p] : starts[p + 1]], True)
            for at in range(offsets[f], offsets[f + 1]):
                g = near[at]
                if state[g] == 0 and owners[g] == p:
                    state[g] = 1
                    line[end] = g
                    end += 1
    changed = np.zeros(count + faces, dtype=np.bool_)
    known = count
    for seed in range(faces):
        if state[seed] != 2:
            continue
        home = owners[seed]
        changed[home] = changed[known] = True
        state[seed] = 3
        owners[seed] = known
        line[0] = seed
        ahead, end = 0, 1
        while ahead < end:
            f = line[ahead]
            ahead += 1
            for at in range(offsets[f], offsets[f + 1]):
                g = near[at]
                if state[g] == 2 and owners[g] == home:
                    state[g] = 3
                    owners[g] = known
                    line[end] = g
                    end += 1
        known += 1
    return changed[:known]


@compiled
def _covers(corners, low, unit, shape, taken, take):  # type: ignore[no-untyped-def]
    """Whether a triangle has the middle of a cell that is taken inside; or take them all."""
    ax, ay = (corners[0, 0] - low[0]) / unit, (corners[0, 1] - low[1]) / unit
    bx, by = (corners[1, 0] - low[0]) / unit, (corners[1, 1] - low[1]) / unit
    cx, cy = (corners[2, 0] - low[0]) / unit, (corners[2, 1] - low[1]) / unit
    sign = 1.0 if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0.0 else -1.0
    first, last = max(int(min(ax, bx, cx)), 0), min(int(max(ax, bx, cx)), shape[0] - 1)
    for row in range(max(int(min(ay, by, cy)), 0), min(int(max(ay, by, cy)), shape[1] - 1) + 1):
        y = row + 0.5
        begin, end = _inside(ax, ay, bx, by, sign, y, first, last + 1)
        begin, end = _inside(bx, by, cx, cy, sign, y, begin, end)
        begin, end = _inside(cx, cy, ax, ay, sign, y, begin, end)
        for column in range(begin, end):
            if take:
                taken[row * shape[0] + column] = True
            elif taken[row * shape[0] + column]:
                return True
    return False


@compiled
def _inside(ax, ay, bx, by, sign, y, begin, end):  # type: ignore[no-untyped-def]
    """Those of the columns from `begin` to `end` whose middle lies on the inner side of a-b in a row; a range as well.

    Rounding keeps order, so the side changes once along a row, whatever the numbers: a few columns have to be looked
    at. Needles along the diagonal of their piece would take seconds otherwise.
    """
    rising = sign * (by - ay) < 0.0
    low, high = begin, end
    while low < high:
        middle = (low + high) >> 1
        if (sign * ((bx - ax) * (y - ay) - (by - ay) * (middle + 0.5 - ax)) > 0.0) == rising:
            high = middle
        else:
            low = middle + 1
    return (low, end) if rising else (begin, low)


@compiled
def _area(flat, a, b, c):  # type: ignore[no-untyped-def]
    return (flat[b, 0] - flat[a, 0]) * (flat[c, 1] - flat[a, 1]) - (flat[b, 1] - flat[a, 1]) * (flat[c, 0] - flat[a, 0])


@compiled
def _plane(normal, axes):  # type: ignore[no-untyped-def]
    """Two axes across a normal, such that pieces seen from outside are not mirrored."""
    length = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    if length == 0.0:
        axes[0, 0] = 1.0
        axes[1, 1] = 1.0
        return
    x, y, z = normal[0] / length, normal[1] / length, normal[2] / length
    least = 0
    if abs(y) < abs(x):
        least = 1
    if abs(z) < min(abs(x), abs(y)):
        least = 2
    dot = x if least == 0 else (y if least == 1 else z)
    u = np.zeros(3)
    u[least] = 1.0
    u[0] -= dot * x
    u[1] -= dot * y
    u[2] -= dot * z
    size = np.sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2])
    for k in range(3):
        u[k] /= size
        axes[0, k] = u[k]
    axes[1, 0] = y * u[2] - z * u[1]
    axes[1, 1] = z * u[0] - x * u[2]
    axes[1, 2] = x * u[1] - y * u[0]


@compiled
def _relaxed(local, points, start):  # type: ignore[no-untyped-def]
    """(N, 2) places after sweeps that make triangles as rigid as possible."""
    faces = len(local)
    flat = start.copy()
    rest = np.zeros((faces, 3, 2))
    weights = np.zeros((faces, 3))
    for f in range(faces):
        a, b, c = local[f]
        u0, u1, u2 = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        v0, v1, v2 = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        uu, uv, vv = u0 * u0 + u1 * u1 + u2 * u2, u0 * v0 + u1 * v1 + u2 * v2, v0 * v0 + v1 * v1 + v2 * v2
        length = np.sqrt(uu)
        double = np.sqrt(max(uu * vv - uv * uv, 0.0))
        if length > 0.0:
            rest[f, 1, 0] = length
            rest[f, 2, 0] = uv / length
            rest[f, 2, 1] = double / length
        # Cotangents of the corners across from edges 0-1, 1-2, 2-0.
        if double > 0.0:
            weights[f, 0] = min(max((vv - uv) / double, LEAST_WEIGHT), 1.0 / LEAST_WEIGHT)
            weights[f, 1] = min(max(uv / double, LEAST_WEIGHT), 1.0 / LEAST_WEIGHT)
            weights[f, 2] = min(max((uu - uv) / double, LEAST_WEIGHT), 1.0 / LEAST_WEIGHT)
        else:
            for k in range(3):
                weights[f, k] = LEAST_WEIGHT
    # Triangles around each vertex.
    offsets = np.zeros(len(points) + 1, dtype=np.int64)
    for f in range(faces):
        for k in range(3):
            offsets[local[f, k] + 1] += 1
    for i in range(len(points)):
        offsets[i + 1] += offsets[i]
    around = np.zeros(3 * faces, dtype=np.int64)
    fill = offsets[:-1].copy()
    for f in range(faces):
        for k in range(3):
            around[fill[local[f, k]]] = 3 * f + k
            fill[local[f, k]] += 1
    # Vertices around each one, and how strongly they hold it: links 2 * offsets[i] to ends[i].
    near = np.zeros(6 * faces, dtype=np.int64)
    strength = np.zeros(6 * faces)
    ends = np.zeros(len(points), dtype=np.int64)
    totals = np.zeros(len(points))
    for i in range(len(points)):
        end = 2 * offsets[i]
        for at in range(offsets[i], offsets[i + 1]):
            f, k = around[at] // 3, around[at] % 3
            for n, edge in (((k + 1) % 3, k), ((k + 2) % 3, (k + 2) % 3)):
                link = 2 * offsets[i]
                while link < end and near[link] != local[f, n]:
                    link += 1
                if link == end:
                    near[link] = local[f, n]
                    end += 1
                strength[link] += weights[f, edge]
                totals[i] += weights[f, edge]
        ends[i] = end
    pulls = np.zeros((len(points), 2))
    for sweep in range(SWEEPS):
        if sweep % SWEEPS_PER_FIT == 0:
            pulls[:] = 0.0
            for f in range(faces):
                _pull(flat, local[f], rest[f], weights[f], pulls)
        for i in range(len(points)):
            x, y = pulls[i]
            for link in range(2 * offsets[i], ends[i]):
                x += strength[link] * flat[near[link], 0]
                y += strength[link] * flat[near[link], 1]
            flat[i, 0] += OVER * (x / totals[i] - flat[i, 0])
            flat[i, 1] += OVER * (y / totals[i] - flat[i, 1])
    return flat


@compiled
def _pull(flat, corners, rest, weights, pulls):  # type: ignore[no-untyped-def]
    """Turn a triangle at rest as its corners lie, and add where it wants them to be, relative to each other."""
    along, across = 0.0, 0.0
    for k in range(3):
        n = (k + 1) % 3
        i, j = corners[k], corners[n]
        x, y = flat[j, 0] - flat[i, 0], flat[j, 1] - flat[i, 1]
        s, t = rest[n, 0] - rest[k, 0], rest[n, 1] - rest[k, 1]
        along += weights[k] * (s * x + t * y)
        across += weights[k] * (s * y - t * x)
    size = np.sqrt(along * along + across * across)
    cosine, sine = (along / size, across / size) if size > 0.0 else (1.0, 0.0)
    for k in range(3):
        n = (k + 1) % 3
        s, t = rest[n, 0] - rest[k, 0], rest[n, 1] - rest[k, 1]
        x, y = weights[k] * (cosine * s - sine * t), weights[k] * (sine * s + cosine * t)
        pulls[corners[k], 0] -= x
        pulls[corners[k], 1] -= y
        pulls[corners[n], 0] += x
        pulls[corners[n], 1] += y


@compiled
def _turn(places, owners, order, count, cosines):  # type: ignore[no-untyped-def]
    """Turn each piece, in place, so that its box is smallest, lies wide and begins at 0, 0. Returns (P, 2) sizes.

    `order` has the triangles of each piece next to each other.
    """
    boxes = np.zeros((count, 2))
    begin = 0
    while begin < len(order):
        home = owners[order[begin]]
        end = begin
        while end < len(order) and owners[order[end]] == home:
            end += 1
        best, least = 0, np.inf
        for turn in range(len(cosines) - 1):
            low0, high0, low1, high1 = _box(places, order[begin:end], cosines, turn)
            size = (high0 - low0) * (high1 - low1)
            if size < least:
                best, least = turn, size
        low0, high0, low1, high1 = _box(places, order[begin:end], cosines, best)
        c, s = cosines[best], cosines[len(cosines) - 1 - best]
        wide = high0 - low0 >= high1 - low1
        for f in order[begin:end]:
            for k in range(3):
                x, y = places[f, k]
                x, y = c * x - s * y - low0, s * x + c * y - low1
                if wide:
                    places[f, k, 0], places[f, k, 1] = x, y
                else:
                    places[f, k, 0], places[f, k, 1] = high1 - low1 - y, x
        boxes[home, 0] = max(high0 - low0, high1 - low1)
        boxes[home, 1] = min(high0 - low0, high1 - low1)
        begin = end
    return boxes


@compiled
def _box(places, faces, cosines, turn):  # type: ignore[no-untyped-def]
    """Least and greatest column and row of triangles after a turn."""
    c, s = cosines[turn], cosines[len(cosines) - 1 - turn]
    low0, high0, low1, high1 = np.inf, -np.inf, np.inf, -np.inf
    for f in faces:
        for k in range(3):
            x, y = c * places[f, k, 0] - s * places[f, k, 1], s * places[f, k, 0] + c * places[f, k, 1]
            low0, high0, low1, high1 = min(low0, x), max(high0, x), min(low1, y), max(high1, y)
    return low0, high0, low1, high1
