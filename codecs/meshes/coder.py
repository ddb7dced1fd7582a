"""Encode, decode and measure meshes with the compiled walk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, Contexts
from squeeze3d.codecs.meshes.layout import INPUTS
from squeeze3d.codecs.meshes.prediction import FEATURES
from squeeze3d.codecs.meshes.priors import shipped
from squeeze3d.codecs.meshes.quadrics import vertex_quadrics
from squeeze3d.codecs.meshes.residuals import Stream
from squeeze3d.codecs.meshes.starts import order_starts
from squeeze3d.codecs.meshes.state import RUNNING, Mesh
from squeeze3d.codecs.meshes.walk import DEGENERATE, GOOD, OUT_OF_GRID, walk
from squeeze3d.errors import FormatError

MIN_BITS, MAX_BITS = 4, 18
MAX_STEP = 6


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
    coder: BinaryEncoder | BinaryMeter,
    triangles: NDArray[np.integer],
    cells: NDArray[np.integer],
    bits: int,
    step: int = 0,
    *,
    in_order: bool = False,
) -> CodedMesh:
    """Code (F, 3) triangles, none with two equal corners, and the (V, 3) cells of their vertices.

    Vertices that no triangle uses disappear. The number of triangles, `bits` and `step` are not written.

    Parameters
    ----------
    bits : bits of a coordinate, `MIN_BITS` to `MAX_BITS`; cells lie in [0, 2**bits).
    step : 0 to `MAX_STEP`: the step that `settle_mesh` was given. Any other is right as well, but takes more bytes.
    in_order : keep the order of a `CodedMesh`, which then comes out as it went in.
    """
    source = _checked_triangles(triangles, len(cells))
    places = np.ascontiguousarray(cells, dtype=np.int64).reshape(-1, 3)
    if not MIN_BITS <= bits <= MAX_BITS or (len(places) and not 0 <= places.min() <= places.max() < 1 << bits):
        raise ValueError("cells lie outside the grid")
    starts = 3 * np.arange(len(source)) if in_order else order_starts(source, places)
    mesh = blank_mesh(source, places, starts, len(source), len(places))
    return _run(coder, mesh, bits, step)


def settle_mesh(
    triangles: NDArray[np.integer],
    positions: NDArray[np.floating],
    bits: int,
    step: int,
    tolerance: float,
    meter: BinaryMeter | None = None,
) -> CodedMesh:
    """Quantise vertices to cells that are cheap to code, mostly by moving them along the surface.

    Code the result with the same step and `in_order`, which leads over the same way once more.

    Parameters
    ----------
    positions : (V, 3) in cells: a cell's centre has integer coordinates.
    step : 1 to `MAX_STEP`; residuals along the surface become multiples of 2**step cells where the shape allows it.
    tolerance : largest distance of a moved vertex from the planes of its triangles, root mean square, in cells.
        Rounding to the nearest cell has 0.3; 0.6 is hard to see, 2 softens edges.
    meter : measures what encoding the result will take.
    """
    source = _checked_triangles(triangles, len(positions))
    targets = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    places = np.rint(targets).astype(np.int64).clip(0, (1 << bits) - 1)
    mesh = blank_mesh(source, places, order_starts(source, places), len(source), len(places))
    quadrics, reach = vertex_quadrics(source, targets)
    mesh = mesh._replace(quadrics=quadrics, targets=targets, reach=reach, tolerance=np.array([tolerance**2]))
    return _run(meter or BinaryMeter(), mesh, bits, step)


def decode_mesh(coder: BinaryDecoder, faces: int, bits: int, step: int = 0) -> CodedMesh:
    """Inverse of `encode_mesh`.

    Raises FormatError if the bits describe no mesh; hostile ones may give any mesh with cells in the grid. Takes time
    and memory proportional to `faces`, which the caller has bounded.
    """
    if faces < 0 or not MIN_BITS <= bits <= MAX_BITS or not 0 <= step <= MAX_STEP:
        raise FormatError("mesh parameters are out of range")
    nothing = np.zeros((0, 3), dtype=np.int64)
    return _run(coder, blank_mesh(nothing, nothing, np.zeros(0, np.int64), faces, 3 * faces), bits, step)


def measure_mesh(triangles: NDArray[np.integer], cells: NDArray[np.integer], bits: int, step: int = 0) -> float:
    """Bytes that `encode_mesh` takes."""
    meter = BinaryMeter()
    encode_mesh(meter, triangles, cells, bits, step)
    return meter.bits / 8


def _checked_triangles(triangles: NDArray[np.integer], vertices: int) -> NDArray[np.int64]:
    source = np.ascontiguousarray(triangles, dtype=np.int64).reshape(-1, 3)
    a, b, c = source.T
    if ((a == b) | (b == c) | (c == a)).any():
        raise ValueError("triangles with two equal corners cannot be coded")
    if len(source) and not 0 <= source.min() <= source.max() < vertices:
        raise ValueError("triangles refer to vertices that do not exist")
    return source


def _run(coder: BinaryEncoder | BinaryDecoder | BinaryMeter, mesh: Mesh, bits: int, step: int) -> CodedMesh:
    priors = shipped()
    stream = make_stream(coder, priors.contexts())
    status = walk(stream, mesh, priors.table.astype(np.int64), len(mesh.triangles), bits, step)
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
    source: NDArray[np.int64],
    source_cells: NDArray[np.int64],
    starts: NDArray[np.int64],
    faces: int,
    vertices: int,
    samples: int = 0,
) -> Mesh:
    """Arrays for a walk over a source, or over a stream if that is empty."""
    return Mesh(
        triangles=np.zeros((faces, 3), dtype=np.int64),
        cells=np.zeros((vertices, 3), dtype=np.int64),
        old=np.zeros(vertices, dtype=np.int64),
        sizes=np.zeros(2, dtype=np.int64),
        source_triangles=source,
        source_cells=source_cells,
        starts=starts,
        memory=np.array(RUNNING, dtype=np.int64),
        coarse=np.zeros(vertices, dtype=np.int64),
        quadrics=np.zeros((0, 6)),
        targets=np.zeros((0, 3)),
        reach=np.zeros(0),
        tolerance=np.zeros(1),
        samples=np.zeros((samples, FEATURES + 1, 3), dtype=np.int32),
        classes=np.zeros(samples, dtype=np.int32),
    )
