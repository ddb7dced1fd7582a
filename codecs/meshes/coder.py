"""Encode, decode and measure meshes with the compiled walk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, Contexts
from squeeze3d.codecs.meshes.layout import INPUTS
from squeeze3d.codecs.meshes.prediction import FEATURES
from squeeze3d.codecs.meshes.priors import shipped
from squeeze3d.codecs.meshes.residuals import Stream
from squeeze3d.codecs.meshes.starts import order_starts
from squeeze3d.codecs.meshes.walk import DEGENERATE, GOOD, OUT_OF_GRID, RUNNING, Mesh, walk
from squeeze3d.errors import FormatError

MIN_BITS, MAX_BITS = 4, 18


@dataclass(frozen=True, eq=False)
class CodedMesh:
    """A mesh in coding order."""

    triangles: NDArray[np.int64]
    """(F, 3); vertices are numbered by first appearance."""
    cells: NDArray[np.int64]
    """(V, 3) grid cells."""
    order: NDArray[np.int64]
    """(V,) number of each vertex before it was encoded; empty after decoding."""


def encode_mesh(
    coder: BinaryEncoder | BinaryMeter, triangles: NDArray[np.integer], cells: NDArray[np.integer], bits: int
) -> CodedMesh:
    """Code (F, 3) triangles, none with two equal corners, and the (V, 3) cells of their vertices.

    Vertices that no triangle uses disappear. Neither the number of triangles nor `bits` is written.

    Parameters
    ----------
    bits : bits of a coordinate, `MIN_BITS` to `MAX_BITS`; cells lie in [0, 2**bits).
    """
    source = np.ascontiguousarray(triangles, dtype=np.int64).reshape(-1, 3)
    places = np.ascontiguousarray(cells, dtype=np.int64).reshape(-1, 3)
    a, b, c = source.T
    if ((a == b) | (b == c) | (c == a)).any():
        raise ValueError("triangles with two equal corners cannot be coded")
    if len(source) and not 0 <= source.min() <= source.max() < len(places):
        raise ValueError("triangles refer to vertices that do not exist")
    if not MIN_BITS <= bits <= MAX_BITS or (len(places) and not 0 <= places.min() <= places.max() < 1 << bits):
        raise ValueError("cells lie outside the grid")
    return _run(coder, source, places, len(source), bits)


def decode_mesh(coder: BinaryDecoder, faces: int, bits: int) -> CodedMesh:
    """Inverse of `encode_mesh`.

    Raises FormatError if the bits describe no mesh; hostile ones may give any mesh with cells in the grid. Takes time
    and memory proportional to `faces`, which the caller has bounded.
    """
    if faces < 0 or not MIN_BITS <= bits <= MAX_BITS:
        raise FormatError("mesh parameters are out of range")
    nothing = np.zeros((0, 3), dtype=np.int64)
    return _run(coder, nothing, nothing, faces, bits)


def measure_mesh(triangles: NDArray[np.integer], cells: NDArray[np.integer], bits: int) -> float:
    """Bytes that `encode_mesh` takes."""
    meter = BinaryMeter()
    encode_mesh(meter, triangles, cells, bits)
    return meter.bits / 8


def _run(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter,
    source: NDArray[np.int64],
    source_cells: NDArray[np.int64],
    faces: int,
    bits: int,
) -> CodedMesh:
    priors = shipped()
    vertices = len(source_cells) if len(source) else 3 * faces
    mesh = blank_mesh(source, source_cells, faces, vertices)
    status = walk(make_stream(coder, priors.contexts()), mesh, priors.table.astype(np.int64), faces, bits)
    if status != GOOD:
        raise FormatError(_MESSAGES.get(status, "connectivity refers to a vertex that does not exist"))
    count = int(mesh.sizes[1])
    # Copies: the buffers of a decoder are larger than what it found.
    return CodedMesh(mesh.triangles, mesh.cells[:count].copy(), mesh.old[:count].copy())


_MESSAGES = {
    DEGENERATE: "connectivity holds a degenerate triangle",
    OUT_OF_GRID: "vertex position out of range",
}


def make_stream(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter, contexts: Contexts, tally: NDArray[np.int32] | None = None
) -> Stream:
    """What a walk codes decisions with; `tally` (CONTEXTS, 2) counts them."""
    return Stream(
        coder.state,
        coder.data,
        contexts.chances,
        contexts.seen,
        contexts.weights,
        np.zeros(INPUTS, dtype=np.int64),
        np.zeros((0, 2), dtype=np.int32) if tally is None else tally,
    )


def blank_mesh(
    source: NDArray[np.int64], source_cells: NDArray[np.int64], faces: int, vertices: int, samples: int = 0
) -> Mesh:
    """Arrays for a walk over a source, or over a stream if that is empty."""
    return Mesh(
        np.zeros((faces, 3), dtype=np.int64),
        np.zeros((vertices, 3), dtype=np.int64),
        np.zeros(vertices, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
        source,
        source_cells,
        order_starts(source, source_cells),
        np.array(RUNNING, dtype=np.int64),
        np.zeros((samples, FEATURES + 1, 3), dtype=np.int32),
        np.zeros(samples, dtype=np.int32),
    )
