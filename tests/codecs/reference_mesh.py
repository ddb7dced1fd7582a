"""The part of the second decoder that reads meshes, from `CODEC_SPEC.md` alone (section 9, mesh coder)."""

from __future__ import annotations

import struct
from collections import defaultdict, deque

from reference_binary import BinaryDecoder, read_priors, shipped
from reference_decoder import Triangle, Vector, clamp, require

PRIORS = ("codecs/meshes/priors.bin", 121896, 408, 6)
NEW, FOCUS, FAR, BOUNDARY, OTHER = range(5)
Gate = tuple[int, int, int]
"""Start, end and apex; each is an object of its own."""


def bits_of(value: int) -> int:
    return value.bit_length()


def dot(u: Vector, v: Vector) -> int:
    return sum(x * y for x, y in zip(u, v, strict=True))


def add(u: Vector, v: Vector) -> Vector:
    return tuple(x + y for x, y in zip(u, v, strict=True))


def less(u: Vector, v: Vector) -> Vector:
    return tuple(x - y for x, y in zip(u, v, strict=True))


def square_of(u: Vector) -> int:
    return dot(u, u)


def cross(u: Vector, v: Vector) -> Vector:
    return (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])


def shorten(v: Vector, n: int) -> Vector:
    s = bits_of(max(abs(x) for x in v)) - n
    if s <= 0:
        return v
    return tuple(((abs(x) + 2 ** (s - 1)) >> s) * (1 if x >= 0 else -1) for x in v)


def cosine(u: Vector, v: Vector) -> int:
    u, v = shorten(u, 12), shorten(v, 12)
    d = dot(u, v)
    k = sum(d * d * 1024 < dot(u, u) * dot(v, v) * t for t in (874, 512, 150))
    return k if d > 0 else 7 - k


class MeshDecoder:
    """One mesh; `read` gives its triangles and cells."""

    def __init__(self, coder: BinaryDecoder, faces: int, bits: int, step: int) -> None:
        self.coder, self.faces, self.bits, self.step = coder, faces, bits, step
        self.top = 2**bits - 1
        self.contexts = shipped(coder, *PRIORS)
        rest = struct.unpack("<640h", read_priors(*PRIORS)[3])
        self.table = [rest[k : k + 5] for k in range(0, 640, 5)]
        self.triangles: list[Triangle] = []
        self.cells: list[list[int]] = []
        self.leaving: list[list[Gate]] = []
        self.arriving: list[list[Gate]] = []
        self.degree: list[int] = []
        self.coarse: list[int] = []
        self.gates: dict[tuple[int, int], list[Gate]] = defaultdict(list)
        self.queue: list[int] = []
        self.queues: list[deque[int]] = [deque() for _ in range(17)]
        self.effort = 400 * faces
        self.sum = self.edges = 0
        self.error = [[1024] * 3 for _ in range(3)]
        self.excess = [512] * 3
        self.times = [1] * 3

    # Vectors

    def vector(self, a: int, b: int) -> Vector:
        return less(self.cells[b], self.cells[a])

    def square(self, a: int, b: int) -> int:
        return square_of(self.vector(a, b))

    def normal(self, a: int, b: int, c: int) -> Vector:
        return cross(self.vector(a, b), self.vector(a, c))

    def turn(self, f: int, g: int, o: int, n: int) -> int:
        k = cosine(self.vector(f, g), self.vector(f, n))
        s = dot(shorten(self.normal(f, g, o), 20), shorten(self.normal(f, g, n), 20))
        return k if s <= 0 else 15 - k

    # Gates and agenda

    def new_vertex(self) -> int:
        self.cells.append([])
        self.leaving.append([])
        self.arriving.append([])
        self.degree.append(0)
        self.coarse.append(0)
        self.queue.append(-1)
        return len(self.cells) - 1

    def close(self, p: int, q: int) -> None:
        gate = self.gates[p, q].pop(0)
        for gates in (self.leaving[p], self.arriving[q]):
            gates.pop(next(i for i, each in enumerate(gates) if each is gate))

    def conquer(self, a: int, b: int, c: int) -> None:
        self.triangles.append((a, b, c))
        for p, q, r in ((a, b, c), (b, c, a), (c, a, b)):
            self.degree[p] += 1
            if self.gates[q, p]:
                self.close(q, p)
            else:
                gate = (p, q, r)
                self.gates[p, q].append(gate)
                self.leaving[p].append(gate)
                self.arriving[q].append(gate)

    def touch(self, v: int) -> None:
        if not self.leaving[v] and not self.arriving[v]:
            self.queue[v] = -1
            return
        k = 16
        if self.leaving[v] and self.arriving[v]:
            _, g, o = self.leaving[v][-1]
            n = self.arriving[v][-1][0]
            if g != n:
                k = self.turn(v, g, o, n)
        if self.queue[v] != k:
            self.queue[v] = k
            self.queues[k].append(v)

    def next_focus(self) -> int:
        for k in range(17):
            while self.queues[k]:
                v = self.queues[k].popleft()
                if self.queue[v] == k:
                    self.queue[v] = -1
                    return v
        return -1

    # Walk

    def read(self) -> tuple[list[Triangle], list[Vector]]:
        focus, waiting, history, entered, anchor = -1, 0, 0, 0, 0
        closed: list[int] = []
        gap, fan = 16, (-1, -1, -1)
        while len(self.triangles) < self.faces:
            if focus < 0 or not (self.leaving[focus] or self.arriving[focus]):
                for triangle in self.triangles[entered:]:
                    for v in triangle:
                        self.touch(v)
                for v in closed:
                    self.touch(v)
                entered, closed = len(self.triangles), []
                focus = self.next_focus()
                if focus < 0:
                    anchor = self.read_start(anchor)
                continue
            p, q, _ = self.leaving[focus][-1] if self.leaving[focus] else self.arriving[focus][-1]
            apex = self.gates[p, q][0][2]
            other = q if p == focus else p
            before = self.arriving[p][-1] if self.arriving[p] else None
            behind = self.leaving[q][-1] if self.leaving[q] else None
            ends = (before[0] if before else -1, behind[1] if behind else -1)
            near_gate = before if p == focus else behind
            near, far = (-1 if x in (p, q) else x for x in (ends if p == focus else ends[::-1]))
            if waiting == 0:
                gap = self.turn(focus, other, apex, near) if near >= 0 else 16
                fan = (other, apex, far)
            symbol = self.read_symbol(focus, other, apex, near, far, waiting, gap, history)
            history = (5 * history + symbol) % 125
            if symbol == NEW:
                c = self.new_vertex()
                waiting += 1
            elif waiting > 0:
                end = (near, near_gate[2]) if symbol == FOCUS else (-1, -1)
                self.read_fan(focus, *fan, *end, waiting)
                waiting = 0
            if symbol == BOUNDARY:
                self.close(p, q)
                closed += [p, q]
                continue
            if symbol == FOCUS:
                c = near
            elif symbol == FAR:
                c = far
            elif symbol == OTHER:
                point = less(add(self.cells[p], self.cells[q]), self.cells[apex])
                c = self.read_known(point, True, 0, (p, q, near, far))
            require(c not in (p, q), "the third corner is one of the gate")
            self.conquer(q, p, c)
        if waiting:
            self.read_fan(focus, *fan, -1, -1, waiting)
        return self.triangles, [tuple(cell) for cell in self.cells]

    def read_symbol(self, f: int, g: int, apex: int, near: int, far: int, w: int, gap: int, history: int) -> int:
        around, beyond, has = min(self.degree[f], 8) - 1, min(self.degree[g], 6) - 1, int(near >= 0)
        reach, fold, length, far_gap = 8, 0, 0, 16
        if w == 0 and far >= 0:
            far_gap = self.turn(g, f, apex, far)
        if w == 0 and near >= 0:
            square = max(self.square(f, g), 1)
            x = less(less(add(self.cells[f], self.cells[g]), self.cells[apex]), self.cells[near])
            reach = min(bits_of(16 * square_of(x) // square), 7)
            fold = min(cosine(self.normal(f, g, apex), self.normal(g, f, near)), 5)
            ratio = 4 * self.square(f, near) // square
            length = 0 if ratio < 2 else 1 if ratio < 12 else 2
        places = [
            4 * ((gap * 4 + min(w, 3)) * 3 + length),
            816 + 4 * (((around * 6 + beyond) * 3 + min(w, 2)) * 2 + has),
            1968 + 4 * ((gap * 8 + around) * 6 + min(w, 5)),
            5232 + 4 * (((reach * 8 + fold) * 3 + min(w, 2)) * 3 + length),
            7824 + 4 * (((far_gap * 6 + beyond) * 2 + has) * 5 + history % 5),
            11904 + 4 * (history * 2 + has),
        ]

        def decision(d: int) -> int:
            return self.contexts.mixed(4 * min(w, 2) + d, [place + d for place in places])

        if near >= 0 and decision(0):
            return FOCUS
        if decision(1):
            return NEW
        if far >= 0 and decision(2):
            return FAR
        return BOUNDARY if decision(3) else OTHER

    def read_known(self, point: Vector, active: bool, kind: int, skipped: tuple[int, ...]) -> int:
        """Vertices seen before."""
        count = len(self.cells)
        if self.effort >= count:
            self.effort -= count
            found = sorted(
                (square_of(less(self.cells[v], point)), v)
                for v in range(count)
                if v not in skipped and (not active or self.leaving[v] or self.arriving[v])
            )
            base = 121847 + 17 * kind
            if not self.contexts.bit(base):
                for r, (_, v) in enumerate(found[:16]):
                    if self.contexts.bit(base + 1 + r):
                        return v
                raise ValueError("no candidate is meant")
        v = self.coder.raw(bits_of(max(count - 1, 0)))
        require(v < count, "a vertex does not exist")
        return v

    def read_start(self, anchor: int) -> int:
        """Starts; returns the next anchor."""
        corner = [-1, -1, -1]
        for i in range(3):
            if self.contexts.bit(121844 + i):
                require(len(self.cells) > 0, "there is no vertex yet")
                point = self.cells[corner[i - 1] if i else anchor]
                corner[i] = self.read_known(point, False, 1, tuple(corner[:i]))
                continue
            a, b = ((anchor, len(self.cells) - 1), (corner[0], anchor), (corner[1], corner[0]))[i]
            corner[i] = v = self.new_vertex()
            if v == 0:
                self.cells[v] = [self.coder.raw(self.bits) for _ in range(3)]
                continue
            prediction, other = [256 * x for x in self.cells[a]], [256 * x for x in self.cells[b]]
            if i == 0:
                square = 2 ** (2 * self.bits - 4)
            elif i == 1:
                square = self.sum // self.edges if self.edges else 2 ** (2 * self.bits - 5)
            else:
                square = self.square(a, b)
                prediction = [x // 2 for x in add(prediction, other)]
            self.read_cell(v, 3 + i, a, b, prediction, other, (0, 0, 0), square, i, 1)
            if i > 0:
                self.sum += self.square(corner[0], v)
                self.edges += 1
        require(len(set(corner)) == 3, "a triangle has two equal corners")
        self.conquer(*corner)
        return corner[0]

    def read_fan(self, f: int, g: int, o: int, h: int, n: int, o2: int, waiting: int) -> None:
        """Fans: cells of the last `waiting` vertices."""
        for rest in range(waiting, 0, -1):
            c = len(self.cells) - rest
            kind = 2 if n < 0 else 0 if rest == 1 else 1
            if n >= 0:
                group = (min(rest, 3) - 1) * 16 + self.turn(f, g, o, n)
            else:
                group = 48 + (self.turn(g, f, o, h) if h >= 0 else 0)
            weights = self.table[2 * group + (h >= 0)]
            e = [self.vector(f, v) if v >= 0 else (0, 0, 0) for v in (g, o, n, o2, h)]
            at = self.cells
            fitted = [
                clamp(256 * at[f][axis] + sum(w * x[axis] for w, x in zip(weights, e, strict=True)), 0, 256 * self.top)
                for axis in range(3)
            ]
            across = less(add(at[f], at[g]), at[o])
            guess = [fitted, [256 * x for x in across], [256 * x for x in across]]
            if kind == 0:
                guess[2] = [128 * x for x in add(across, less(add(at[n], at[f]), at[o2]))]
            error = self.error[kind]
            second = 2 if kind == 0 and error[1] >= error[2] else 1
            best = second if error[second] < error[0] else 0
            if best == second:
                second = 0
            normal = self.normal(f, g, o)
            square = self.square(f, g)
            if n >= 0:
                normal = add(normal, self.normal(n, f, o2))
                square = (square + self.square(f, n)) // 2
            style = 0 if best == 0 else 2
            self.read_cell(c, kind, f, g, guess[best], guess[second], normal, square, group % 16, style)
            for j in range(3):
                s = sum((((guess[j][axis] + 128) >> 8) - at[c][axis]) ** 2 for axis in range(3))
                error[j] += (256 * bits_of(s) - error[j]) >> 3
            self.sum += self.square(f, c)
            self.edges += 1
            o, g, h = g, c, -1

    def read_cell(
        self, v: int, kind: int, a: int, b: int, prediction: list[int], other: list[int],
        normal: Vector, square: int, turn: int, style: int,
    ) -> None:  # fmt: skip
        """Cells."""
        m = shorten(normal, 9)
        third = max(range(3), key=lambda axis: (abs(m[axis]), -axis))
        first, second = (third + 1) % 3, (third + 2) % 3
        if abs(m[first]) > abs(m[second]):
            first, second = second, first
        n0, n1, n2 = m[first], m[second], m[third]
        nn = n0 * n0 + n1 * n1 + n2 * n2
        square = max(square, 1)
        unit = 1
        while unit * unit < square and unit < 2**20:
            unit *= 2
        near = self.coarse[a] + self.coarse[b]
        done0 = done1 = 0
        result = [0, 0, 0]
        for slot, axis in enumerate((first, second, third)):
            moved, ratio = given(slot, n0, n1, n2, nn, done0, done1)
            expected = clamp(prediction[axis] + moved, 0, 256 * self.top)
            rounded = min((expected + 128) >> 8, self.top)
            down = 0
            if self.step > 0 and slot < 2 and kind < 3:
                place = 121881 + 3 * kind + near if slot == 0 else 121890 + 2 * kind + self.coarse[v]
                self.coarse[v] = self.contexts.bit(place)
                down = self.step * self.coarse[v]
            part = (expected >> 6) & 3 if down == 0 else 0
            full = bits_of((square * ratio) >> 8)
            scale = max(full - 2 * down, 0)
            plain = min(scale, 23)
            adapted = clamp(scale + (self.excess[slot] >> 8), 0, 23)
            before = 0
            if slot > 0:
                z = abs(done0) >> 8 if slot == 1 else ((abs(done0) + abs(done1)) // 2) >> 8
                before = 5 if z > unit else min(bits_of(16 * z // unit), 4)
            share = 3 if nn == 0 else min(4 * n2 * n2 // nn, 4) - 1
            d = (other[axis] + moved - expected) >> 8
            size = abs(d)
            level = 0 if d == 0 else 1 if 4 * size <= unit else 2 if 2 * size <= unit else 3 if size <= unit else 4
            away = 4 + level if d > 0 else 4 - level
            ra, rb = (clamp((self.cells[x][axis] - rounded) >> down, -3, 3) + 3 for x in (a, b))
            same = int(self.cells[a][axis] == self.cells[b][axis])
            places = [
                12904 + 22 * ((slot * 24 + plain) * 6 + kind),
                22408 + 22 * (((slot * 24 + adapted) * 4 + part) * 3 + style),
                41416 + 22 * (((slot * 12 + adapted // 2) * 6 + before) * 3 + style),
                55672 + 22 * (((slot * 12 + adapted // 2) * 9 + away) * 3 + style),
                77056 + 22 * (((slot * 7 + ra) * 7 + rb) * 6 + 3 * same + style),
                96460 + 22 * (((slot * 4 + share) * 16 + turn) * 6 + kind),
            ]
            r = self.read_residual(12 + 22 * (slot * 6 + kind), places) << down
            result[axis] = rounded + r
            require(0 <= result[axis] <= self.top, "a cell lies outside the grid")
            done = 256 * result[axis] - prediction[axis]
            if slot == 0:
                done0 = done
            elif slot == 1:
                done1 = done
            if kind < 3:
                self.times[slot] = min(self.times[slot] + 1, 16)
                self.excess[slot] += (256 * (bits_of(4 * r * r) - full) - self.excess[slot]) // self.times[slot]
        self.cells[v] = result

    def read_residual(self, row: int, places: list[int]) -> int:
        def decision(d: int) -> int:
            return self.contexts.mixed(row + d, [place + d for place in places])

        if not decision(0):
            return 0
        negative = decision(1)
        k = 0
        while k < 36 and decision(2 + min(k, 19)):
            k += 1
        magnitude = k + 1
        if k >= 4:
            u = (k - 2) >> 1
            t = self.contexts.bit(121804 + min(k, 39))
            magnitude = 2 ** (u + 1) + k % 2 * 2**u + 1 + t * 2 ** (u - 1) + self.coder.raw(u - 1)
        return -magnitude if negative else magnitude


def given(slot: int, n0: int, n1: int, n2: int, nn: int, done0: int, done1: int) -> tuple[int, int]:
    """How far the axes before move the prediction of this one, and how much is left to know."""
    if nn == 0:
        return 0, 256
    v0, v1, v2, w = 16 * nn - 15 * n0 * n0, 16 * nn - 15 * n1 * n1, nn + 15 * n2 * n2, 15 * n0 * n1
    if slot == 0:
        return 0, 256 * v0 // (16 * nn)
    if slot == 1:
        return (-w * done0) // v0, 256 * (v0 * v1 - w * w) // (16 * nn * v0)
    return (-15 * n2 * (n0 * done0 + n1 * done1)) // v2, 256 * nn // v2
