r"""Triangle connectivity by region growing: which vertices each triangle joins, in about 1 to 3 bits a triangle.

The coder conquers the mesh triangle by triangle. *Gates* are directed edges of conquered triangles whose other side
is still open. One vertex at a time, the *focus*, in the order of discovery, has all its gates closed:

```text
        c            gate p→q of a conquered triangle; the triangle on its other side is (q, p, c).
       / \\           One symbol says what c is:
      /   \\            NEW       a vertex not seen before
     p─────q            FOCUS     the open neighbour that closes the fan around the focus
      \\▓▓▓/             FAR       the open neighbour that closes the fan around the other end
       \\▓/              BOUNDARY  there is no triangle
                        OTHER     any vertex seen before, by number
```

Any list of triangles can be coded, manifold or not: edges with three triangles, flipped neighbours and vertices where
surfaces touch cost an OTHER or a new start, never a duplicated vertex. Triangles with two equal corners are excluded.
Symbols are coded with adaptive integer tables; the context is how many triangles surround both ends of the gate so
far, which predicts when a fan closes (Touma & Gotsman 1998 code the same information as valences).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface.priors import CONNECTIVITY_PRIOR, SEED_PRIOR
from squeeze3d.errors import FormatError

NEW, FOCUS, FAR, BOUNDARY, OTHER = range(5)

FOCUS_CLASSES, FAR_CLASSES = 8, 6
CONTEXTS = FOCUS_CLASSES * FAR_CLASSES * 2


@dataclass(frozen=True, eq=False)
class Conquest:
    """A mesh in coding order."""

    triangles: NDArray[np.int64]
    """(F, 3) in coding order; vertices are numbered by first appearance."""
    gates: NDArray[np.int64]
    """(F,) index of the earlier triangle each one was reached from, -1 for a start. If t was reached from g, its
    corners 0 and 1 are the ends of the shared edge."""


class _Front:
    """Gates between conquered and open triangles; encoder and decoder keep the same.

    Gates are numbered in order of creation. Closing one only marks it, and the lists of a vertex forget it once it is
    at their end: no step takes longer where a vertex has many gates, or an edge many triangles.
    """

    def __init__(self) -> None:
        self.leaving: list[list[int]] = []
        """Per vertex p: its gates p→q, oldest first."""
        self.arriving: list[list[int]] = []
        """Per vertex q: its gates p→q, oldest first."""
        self.degree: list[int] = []
        """Per vertex: triangles conquered around it."""
        self.triangles: list[tuple[int, int, int]] = []
        self.gates: list[int] = []
        self.focus = 0
        self._start: list[int] = []
        self._end: list[int] = []
        self._owner: list[int] = []
        """Triangle of each gate."""
        self._open = bytearray()
        """Whether each gate is open."""
        self._oldest: dict[tuple[int, int], int] = {}
        """First open gate of each directed edge."""
        self._newest: dict[tuple[int, int], int] = {}
        """Last open gate of the edges that have had several."""
        self._next: dict[int, int] = {}
        """The gate behind each one of those, if it has the same edge."""

    def add_vertex(self) -> int:
        self.leaving.append([])
        self.arriving.append([])
        self.degree.append(0)
        return len(self.degree) - 1

    def _last(self, gates: list[int]) -> int:
        """Latest open gate of a vertex's list, -1 if there is none."""
        while gates:
            if self._open[gates[-1]]:
                return gates[-1]
            gates.pop()
        return -1

    def next_gate(self) -> tuple[int, int] | None:
        """Gate to close next, or None if all are closed."""
        while self.focus < len(self.degree):
            gate = self._last(self.leaving[self.focus])
            if gate < 0:
                gate = self._last(self.arriving[self.focus])
            if gate >= 0:
                return self._start[gate], self._end[gate]
            self.focus += 1
        return None

    def candidates(self, p: int, q: int) -> tuple[int, int]:
        """Vertices that FOCUS and FAR stand for at gate p→q; -1 where there is none."""
        before, behind = self._last(self.arriving[p]), self._last(self.leaving[q])
        before = self._start[before] if before >= 0 else -1
        behind = self._end[behind] if behind >= 0 else -1
        near, far = (before, behind) if p == self.focus else (behind, before)
        # A triangle needs three corners: the opposite edge of a doubled gate is no candidate.
        return (-1 if near in (p, q) else near), (-1 if far in (p, q) else far)

    def context(self, p: int, q: int, near: int) -> int:
        focus, far = (p, q) if p == self.focus else (q, p)
        return (
            (min(self.degree[focus], FOCUS_CLASSES) - 1) * FAR_CLASSES + min(self.degree[far], FAR_CLASSES) - 1
        ) * 2 + (near >= 0)

    def owner(self, p: int, q: int) -> int:
        """Triangle of the open gate p→q; the latest where several share the directed edge."""
        edge = p, q
        return self._owner[self._newest.get(edge, self._oldest[edge])]

    def close(self, p: int, q: int) -> None:
        """Close the oldest gate p→q."""
        edge = p, q
        gate = self._oldest[edge]
        self._open[gate] = 0
        follower = self._next.pop(gate, -1)
        if follower >= 0:
            self._oldest[edge] = follower
        else:
            del self._oldest[edge]
            self._newest.pop(edge, None)

    def _create(self, p: int, q: int, owner: int) -> None:
        edge = p, q
        gate = len(self._open)
        self._start.append(p)
        self._end.append(q)
        self._owner.append(owner)
        self._open.append(1)
        self.leaving[p].append(gate)
        self.arriving[q].append(gate)
        if edge in self._oldest:
            self._next[self._newest.get(edge, self._oldest[edge])] = gate
            self._newest[edge] = gate
        else:
            self._oldest[edge] = gate

    def conquer(self, a: int, b: int, c: int, gate: int) -> None:
        """Add a triangle; each edge closes the gate it meets or becomes one."""
        index = len(self.triangles)
        self.triangles.append((a, b, c))
        self.gates.append(gate)
        for p, q in ((a, b), (b, c), (c, a)):
            self.degree[p] += 1
            if (q, p) in self._oldest:
                self.close(q, p)
            else:
                self._create(p, q, index)

    def result(self) -> Conquest:
        return Conquest(np.array(self.triangles, dtype=np.int64).reshape(-1, 3), np.array(self.gates, dtype=np.int64))


def _tables() -> tuple[AdaptiveTables, AdaptiveTables]:
    return AdaptiveTables(np.array(CONNECTIVITY_PRIOR)), AdaptiveTables(np.array(SEED_PRIOR))


def encode_connectivity(encoder: SymbolEncoder, triangles: NDArray[np.integer]) -> tuple[Conquest, NDArray[np.int64]]:
    """Code (F, 3) triangles without degenerate ones.

    Returns
    -------
    The mesh in coding order, and (V,) the old number of each new vertex. Vertices no triangle uses disappear.
    """
    faces = [tuple(face) for face in np.asarray(triangles).tolist()]
    waiting: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (a, b, c) in enumerate(faces):
        waiting[a, b].append(index)
        waiting[b, c].append(index)
        waiting[c, a].append(index)
    done = bytearray(len(faces))
    new_of: dict[int, int] = {}
    old_of: list[int] = []
    front = _Front()
    tables, seed_tables = _tables()
    start = 0

    def number(old: int) -> int:
        new_of[old] = front.add_vertex()
        old_of.append(old)
        return new_of[old]

    while len(front.triangles) < len(faces):
        gate = front.next_gate()
        if gate is None:
            while done[start]:
                start += 1
            done[start] = 1
            corners: list[int] = []
            for old in faces[start]:
                known = old in new_of
                encoder.encode_one(int(known), seed_tables, min(len(corners), 2))
                if known:
                    _encode_index(encoder, new_of[old], len(old_of))
                    corners.append(new_of[old])
                else:
                    corners.append(number(old))
            front.conquer(corners[0], corners[1], corners[2], -1)
            continue
        p, q = gate
        near, far = front.candidates(p, q)
        context = front.context(p, q, near)
        edge = old_of[q], old_of[p]
        found = next((i for i in waiting.get(edge, ()) if not done[i]), -1)
        if found < 0:
            encoder.encode_one(BOUNDARY, tables, context)
            front.close(p, q)
            continue
        done[found] = 1
        apex = next(v for v in faces[found] if v not in edge)
        c = new_of.get(apex, -1)
        if c < 0:
            encoder.encode_one(NEW, tables, context)
            c = number(apex)
        elif c == near:
            encoder.encode_one(FOCUS, tables, context)
        elif c == far:
            encoder.encode_one(FAR, tables, context)
        else:
            encoder.encode_one(OTHER, tables, context)
            _encode_index(encoder, c, len(old_of))
        front.conquer(q, p, c, front.owner(p, q))
    return front.result(), np.array(old_of, dtype=np.int64)


def decode_connectivity(decoder: SymbolDecoder, count: int) -> Conquest:
    """Decode `count` triangles; inverse of `encode_connectivity`.

    Raises FormatError if the symbols describe no mesh. Takes time and memory proportional to `count`, which the
    caller has bounded.
    """
    front = _Front()
    tables, seed_tables = _tables()
    while len(front.triangles) < count:
        gate = front.next_gate()
        if gate is None:
            corners: list[int] = []
            for corner in range(3):
                if decoder.decode_one(seed_tables, min(corner, 2)):
                    corners.append(_decode_index(decoder, len(front.degree)))
                else:
                    corners.append(front.add_vertex())
            if len(set(corners)) < 3:
                raise FormatError("connectivity holds a degenerate triangle")
            front.conquer(corners[0], corners[1], corners[2], -1)
            continue
        p, q = gate
        near, far = front.candidates(p, q)
        symbol = decoder.decode_one(tables, front.context(p, q, near))
        if symbol == BOUNDARY:
            front.close(p, q)
            continue
        if symbol == NEW:
            c = front.add_vertex()
        elif symbol == OTHER:
            c = _decode_index(decoder, len(front.degree))
        else:
            c = near if symbol == FOCUS else far
        if c < 0 or c in (p, q):
            raise FormatError("connectivity refers to a vertex that does not exist")
        front.conquer(q, p, c, front.owner(p, q))
    return front.result()


def _encode_index(encoder: SymbolEncoder, value: int, count: int) -> None:
    """A vertex number below `count`, in as few raw bits as hold count - 1, low 16 bits first."""
    bits = (count - 1).bit_length()
    for shift in range(0, bits, 16):
        width = min(16, bits - shift)
        encoder.encode_raw([value >> shift & (1 << width) - 1], width)


def _decode_index(decoder: SymbolDecoder, count: int) -> int:
    bits = max(count - 1, 0).bit_length()
    value = 0
    for shift in range(0, bits, 16):
        value |= int(decoder.decode_raw(1, min(16, bits - shift))[0]) << shift
    if value >= count:
        raise FormatError("connectivity refers to a vertex that does not exist")
    return value
