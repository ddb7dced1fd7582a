"""Where colours jump: edges of the coded mesh along which it is cut before it is refined.

Flat colours meet at edges. A vertex on such an edge has one colour on either side, so the mesh that carries the colours
is cut there: each fan of triangles around a vertex that cuts leave connected is a vertex of its own (a wedge). The
surface itself stays closed.

A flag says for each inner edge whether it is cut. Contexts are the flags of earlier edges at both ends, since cuts go
on, and the bend of the surface.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, Contexts, code_mixed
from squeeze3d.bitstream.priors import Run
from squeeze3d.codecs.surface.priors import CUTS, shipped
from squeeze3d.compiled import compiled
from squeeze3d.geometry.disjoint import join, root

BENDS = 6
SETS = ((5, 5), (BENDS, 3, 3), (4, 4, 3))
"""Context sets: cuts at both ends; bend and whether cuts end there; flags of the other edges of both triangles."""
CONTEXTS = sum(math.prod(shape) for shape in SETS)
MIXERS = 3
_BENT, _FAN = math.prod(SETS[0]), math.prod(SETS[0]) + math.prod(SETS[1])
NO_TALLY = np.zeros((0, 2), dtype=np.int32)


@dataclass(frozen=True, eq=False)
class InnerEdges:
    """Edges between exactly two triangles."""

    ends: NDArray[np.int64]
    """(E, 2) vertices, the smaller one first; in lexicographic order."""
    faces: NDArray[np.int64]
    """(E, 2) triangles at both sides."""
    corners: NDArray[np.int64]
    """(E, 2) corner of each triangle at which the edge begins: corner k to k + 1."""
    bend: NDArray[np.int64]
    """(E,) class of the angle between both triangles: 0 is flat."""


@dataclass(frozen=True, eq=False)
class CutMesh:
    """A mesh cut open."""

    triangles: NDArray[np.int64]
    """(F, 3) wedges."""
    vertices: NDArray[np.int64]
    """(W,) vertex of each wedge."""


def inner_edges(triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> InnerEdges:
    """The edges of a mesh that may be cut."""
    count = len(cells)
    start, end = triangles.reshape(-1), np.roll(triangles, -1, axis=1).reshape(-1)
    keys = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.argsort(keys, kind="stable")
    unique, first, times = np.unique(keys[order], return_index=True, return_counts=True)
    twice = times == 2
    pair = np.stack([order[first[twice]], order[first[twice] + 1]], axis=1)
    ends = np.stack([unique[twice] // count, unique[twice] % count], axis=1)
    faces, corners = pair // 3, pair % 3
    return InnerEdges(ends, faces, corners, _bends(triangles, cells, faces))


def _bends(triangles: NDArray[np.int64], cells: NDArray[np.int64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes of the angles between pairs of triangles, by integers that are the same everywhere."""
    p = cells[triangles]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    # Scaled to 15 bits: products stay below 2**33.
    largest = np.maximum(np.abs(normal).max(axis=1, initial=0), 1)[:, None]
    normal = normal * 32767 // largest
    a, b = normal[faces[:, 0]], normal[faces[:, 1]]
    dot, aa, bb = (a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1)
    # cos^2 against thresholds in 1/64, without roots: dot^2 / (aa bb) = (dot / aa) (dot / bb).
    share = (dot * 64 // np.maximum(aa, 1)) * (dot * 64 // np.maximum(bb, 1)) >> 6
    bend = np.searchsorted([16, 36, 52, 62], share, side="right")
    return np.where(dot <= 0, BENDS - 1, 4 - bend)


@compiled
def walk(  # type: ignore[no-untyped-def]
    state, data, chances, seen, weights, ends, faces, bend, vertex_count, face_count, flags, tally
):
    """Code the (E,) flags of edges; they are filled in when decoding."""
    cut = np.zeros(vertex_count, dtype=np.int64)
    known = np.zeros(vertex_count, dtype=np.int64)
    around = np.zeros((face_count, 2), dtype=np.int64)
    before = 0
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        f, g = faces[e, 0], faces[e, 1]
        x = min(cut[a], 3) if known[a] else 4
        y = min(cut[b], 3) if known[b] else 4
        going = min(cut[a], 2) * 3 + min(cut[b], 2)
        first = min(around[f, 0], 1) * 2 + min(around[f, 1], 1)
        second = min(around[g, 0], 1) * 2 + min(around[g, 1], 1)
        i = x * 5 + y
        j = _BENT + bend[e] * 9 + going
        k = _FAN + (first * 4 + second) * 3 + before
        mixer = min(known[a] + known[b], 2)
        bit = code_mixed(state, data, chances, seen, weights, mixer, i, j, k, flags[e])
        if len(tally):
            tally[i, bit] += 1
            tally[j, bit] += 1
            tally[k, bit] += 1
        flags[e] = bit
        before = 1 + bit
        cut[a] += bit
        cut[b] += bit
        known[a] += 1
        known[b] += 1
        around[f, bit] += 1
        around[g, bit] += 1


@compiled
def _wedges(triangles, faces, corners, flags):  # type: ignore[no-untyped-def]
    """(3 F,) a corner of the same wedge for each corner: union-find over edges that are not cut."""
    count = 3 * len(triangles)
    parent = np.arange(count)
    for e in range(len(faces)):
        if flags[e]:
            continue
        f, g = faces[e, 0], faces[e, 1]
        i, j = corners[e, 0], corners[e, 1]
        for k in range(2):
            one = 3 * f + (i + k) % 3
            other = 3 * g + j
            if triangles[g, j] != triangles[f, (i + k) % 3]:
                other = 3 * g + (j + 1) % 3
            join(parent, one, other)
    for c in range(count):
        parent[c] = root(parent, c)
    return parent


def cut_open(triangles: NDArray[np.int64], edges: InnerEdges, flags: NDArray[np.int64]) -> CutMesh:
    """The mesh with the flagged edges cut. Edges of one triangle, or of more than two, separate nothing."""
    if not flags.any():
        return CutMesh(triangles, np.arange(int(triangles.max(initial=-1)) + 1))
    roots = _wedges(triangles, edges.faces, edges.corners, flags)
    # Fans that only touch at a vertex, or meet at an edge of several triangles, were never apart.
    fans = _wedges(triangles, edges.faces, edges.corners, np.zeros_like(flags))
    vertex = triangles.reshape(-1)
    split = np.zeros(int(vertex.max()) + 1, dtype=bool)
    split[vertex[roots != fans]] = True
    keys = np.where(split[vertex], len(split) + roots, vertex)
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return CutMesh(index.reshape(-1, 3).astype(np.int64), vertex[first])


def code_cuts(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter,
    edges: InnerEdges,
    triangles: NDArray[np.int64],
    vertex_count: int,
    flags: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Code the (E,) flags of inner edges; a decoder passes None and gets them."""
    result = np.zeros(len(edges.ends), dtype=np.int64) if flags is None else np.array(flags, dtype=np.int64)
    _code(coder, edges, len(triangles), vertex_count, result, shipped(CUTS, CONTEXTS, MIXERS).contexts(), NO_TALLY)
    return result


def runner(edges: InnerEdges, triangles: NDArray[np.int64], vertex_count: int, flags: NDArray[np.int64]) -> Run:
    """Coding of flags in given contexts, for fitting priors."""

    def run(contexts: Contexts, tally: NDArray[np.int32]) -> None:
        _code(BinaryMeter(), edges, len(triangles), vertex_count, np.array(flags, dtype=np.int64), contexts, tally)

    return run


def _code(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter,
    edges: InnerEdges,
    face_count: int,
    vertex_count: int,
    flags: NDArray[np.int64],
    contexts: Contexts,
    tally: NDArray[np.int32],
) -> None:
    walk(
        coder.state, coder.data, contexts.chances, contexts.seen, contexts.weights, edges.ends, edges.faces, edges.bend,
        vertex_count, face_count, flags, tally,
    )  # fmt: skip
