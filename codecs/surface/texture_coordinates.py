"""Texture coordinates per corner: where the atlas is cut, and integer UVs.

A *wedge* is a vertex with one texture coordinate. Away from the atlas's seams every vertex has one wedge; on a seam
it has several. Corners are visited in coding order and say which wedge of their vertex they use:

```text
corner ─► a wedge of its vertex used before (most recent first) │ a new wedge ─► UV residual
```

A new wedge is predicted by the parallelogram across the gate, if the triangle's other corners continue the chart of
the triangle behind the gate; else by another corner of the triangle, else by the wedge coded last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface.connectivity import Conquest
from squeeze3d.codecs.surface.vectors import check_range, decode_residuals, encode_residuals
from squeeze3d.errors import FormatError

WEDGE_SYMBOLS = 8
"""0 to 6: a wedge used before, by recency; 7: a new wedge. Vertices with more than 7 wedges repeat one."""
NEW_WEDGE = WEDGE_SYMBOLS - 1
MAX_UV_BITS = 13

_PARALLELOGRAM, _CORNER, _LAST = 2, 1, 0
CLASSES = 3


@dataclass(frozen=True, eq=False)
class Wedges:
    """Texture coordinates in coding order."""

    corners: NDArray[np.int64]
    """(F, 3) wedge of each corner."""
    vertices: NDArray[np.int64]
    """(W,) vertex of each wedge."""
    uvs: NDArray[np.int64]
    """(W, 2) integer coordinates."""


class _Tracker:
    """Wedges seen so far; encoder and decoder keep the same."""

    def __init__(self, conquest: Conquest) -> None:
        self.triangles: list[list[int]] = conquest.triangles.tolist()
        self.gates: list[int] = conquest.gates.tolist()
        self.recent: dict[int, list[int]] = {}
        self.corners: list[list[int]] = []
        self.vertices: list[int] = []
        self.rules: list[tuple[int, int, int, int]] = []
        """How each wedge is predicted: class and up to three earlier wedges."""

    def context(self, vertex: int, continues: int) -> int:
        """Table for a corner: how many wedges its vertex has, and how many corners before it left the chart."""
        return min(len(self.recent[vertex]), 3) * 3 + continues

    def behind(self, face: int, corner: int) -> int:
        """Wedge the triangle behind the gate has at this corner's vertex, -1 where there is none."""
        gate = self.gates[face]
        if gate < 0 or corner == 2:
            return -1
        vertex = self.triangles[face][corner]
        return self.corners[gate][self.triangles[gate].index(vertex)]

    def first(self, vertex: int, wedge: int) -> None:
        """Move a wedge to the front of its vertex's list."""
        wedges = self.recent[vertex]
        wedges.remove(wedge)
        wedges.insert(0, wedge)

    def add(self, face: int, vertex: int, before: list[int]) -> int:
        """Create a wedge for a corner whose triangle already has the wedges `before`."""
        wedge = len(self.vertices)
        self.vertices.append(vertex)
        wedges = self.recent.setdefault(vertex, [])
        wedges.insert(0, wedge)
        del wedges[NEW_WEDGE:]
        gate = self.gates[face]
        if len(before) == 2 and gate >= 0:
            opposite = self._opposite(gate, before)
            if opposite >= 0:
                self.rules.append((_PARALLELOGRAM, before[0], before[1], opposite))
                return wedge
        if before:
            self.rules.append((_CORNER, before[-1], 0, 0))
        else:
            self.rules.append((_LAST, wedge - 1, 0, 0))
        return wedge

    def _opposite(self, gate: int, shared: list[int]) -> int:
        """Third wedge of the triangle behind the gate, if it has both shared wedges; else -1."""
        corners = self.corners[gate]
        if shared[0] in corners and shared[1] in corners:
            return next((w for w in corners if w not in shared), -1)
        return -1


def _tables() -> AdaptiveTables:
    prior = np.full((4 * 3, WEDGE_SYMBOLS), 16, dtype=np.int64)
    prior[:, 0] = 3072
    prior[:, 1] = 256
    prior[:, NEW_WEDGE] = 512
    return AdaptiveTables(prior)


def _visit(tracker: _Tracker, face: int, choose: Callable[[int, int, int], int]) -> None:
    """Walk the corners of one triangle; `choose(corner, vertex, context)` says which symbol each one has."""
    corners: list[int] = []
    left = 0
    for corner, vertex in enumerate(tracker.triangles[face]):
        symbol = NEW_WEDGE
        if vertex in tracker.recent:
            expected = tracker.behind(face, corner)
            if expected in tracker.recent[vertex]:
                tracker.first(vertex, expected)
            symbol = choose(corner, vertex, tracker.context(vertex, left))
            left += symbol != 0
        if symbol == NEW_WEDGE:
            corners.append(tracker.add(face, vertex, corners))
        elif symbol < len(tracker.recent[vertex]):
            corners.append(tracker.recent[vertex][symbol])
            tracker.first(vertex, corners[-1])
        else:
            raise FormatError("texture coordinates refer to a wedge that does not exist")
    tracker.corners.append(corners)


def _prediction(rule: tuple[int, int, int, int], values: list[tuple[int, int]]) -> tuple[int, int]:
    kind, a, b, opposite = rule
    if kind == _PARALLELOGRAM:
        return (
            values[a][0] + values[b][0] - values[opposite][0],
            values[a][1] + values[b][1] - values[opposite][1],
        )
    return values[a] if a >= 0 else (0, 0)


def encode_texture_coordinates(
    encoder: SymbolEncoder, conquest: Conquest, corners: NDArray[np.integer], uvs: NDArray[np.integer]
) -> Wedges:
    """Append texture coordinates.

    Parameters
    ----------
    corners : (F, 3) index into `uvs` of each corner of the triangles in coding order. An index belongs to one vertex.
    uvs : (N, 2) integers in [0, 2**MAX_UV_BITS).

    Returns
    -------
    What a decoder returns.
    """
    tracker, tables = _Tracker(conquest), _tables()
    truth = np.asarray(corners).tolist()
    wedge_of: dict[int, int] = {}
    source: list[int] = []
    for face in range(len(truth)):

        def choose(corner: int, vertex: int, context: int, wanted: list[int] = truth[face]) -> int:
            wedge = wedge_of.get(wanted[corner], -1)
            recent = tracker.recent[vertex]
            symbol = recent.index(wedge) if wedge in recent else NEW_WEDGE
            encoder.encode_one(symbol, tables, context)
            return symbol

        _visit(tracker, face, choose)
        for wanted, wedge in zip(truth[face], tracker.corners[face], strict=True):
            if wedge == len(source):
                source.append(wanted)
            wedge_of[wanted] = wedge
    values = [(int(u), int(v)) for u, v in np.asarray(uvs)[source]]
    predictions = np.array([_prediction(rule, values) for rule in tracker.rules], dtype=np.int64)
    coded = np.array(values, dtype=np.int64)
    encode_residuals(encoder, coded - predictions, _classes(tracker), CLASSES)
    return _wedges(tracker, coded)


def decode_texture_coordinates(decoder: SymbolDecoder, conquest: Conquest, bits: int) -> Wedges:
    """Inverse of `encode_texture_coordinates`.

    Raises FormatError if a coordinate leaves [0, 2**bits) or a corner names a wedge that does not exist.
    """
    tracker, tables = _Tracker(conquest), _tables()
    for face in range(len(conquest.triangles)):
        _visit(tracker, face, lambda corner, vertex, context: decoder.decode_one(tables, context))
    residuals = decode_residuals(decoder, _classes(tracker), CLASSES, 2).tolist()
    limit = 1 << 40
    values: list[tuple[int, int]] = []
    for rule, (du, dv) in zip(tracker.rules, residuals, strict=True):
        u, v = _prediction(rule, values)
        values.append((min(max(u + du, -limit), limit), min(max(v + dv, -limit), limit)))
    coded = np.array(values, dtype=np.int64)
    check_range(coded, 0, (1 << bits) - 1, "texture coordinate")
    return _wedges(tracker, coded)


def _classes(tracker: _Tracker) -> NDArray[np.int64]:
    return np.array([rule[0] for rule in tracker.rules], dtype=np.int64)


def _wedges(tracker: _Tracker, uvs: NDArray[np.int64]) -> Wedges:
    return Wedges(np.array(tracker.corners, dtype=np.int64), np.array(tracker.vertices, dtype=np.int64), uvs)
