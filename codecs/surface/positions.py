"""Vertex positions on an integer grid, predicted by parallelograms.

The grid is a cube of 2**bits cells a side around the canonical frame; a coordinate q stands for the cell centre
(q + 0.5) / 2**bits - 0.5, in units of the pose's scale. One grid for the whole scene: parts that touch stay touching.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface.prediction import Parallelograms, earlier_neighbours, parallelograms
from squeeze3d.codecs.surface.vectors import check_range, decode_residuals, encode_residuals, rounded_means
from squeeze3d.errors import FormatError

MIN_BITS, MAX_BITS = 4, 18
_RUNAWAY = 1 << 40
CLASSES = 4
"""How a vertex is predicted: by the vertex before it, by neighbours, by one parallelogram, by several."""


def quantise(canonical: NDArray[np.floating], bits: int) -> NDArray[np.int64]:
    """(N, 3) canonical coordinates to grid cells; values outside the cube go to its border."""
    cells = np.floor((np.asarray(canonical, dtype=np.float64) + 0.5) * (1 << bits)).astype(np.int64)
    return np.clip(cells, 0, (1 << bits) - 1)


def dequantise(cells: NDArray[np.int64], bits: int) -> NDArray[np.float64]:
    """(N, 3) grid cells to the canonical coordinates of their centres."""
    return (cells + 0.5) / (1 << bits) - 0.5


class _Predictor:
    """Predictions for all vertices, as sums over earlier vertices: the same arithmetic for both sides."""

    def __init__(self, triangles: NDArray[np.int64], vertex_count: int) -> None:
        self.count = vertex_count
        self.shapes: Parallelograms = parallelograms(triangles, vertex_count)
        self.targets, self.neighbours = earlier_neighbours(triangles, vertex_count)
        self.by_shape = np.bincount(self.shapes.targets, minlength=vertex_count)
        self.by_neighbour = np.bincount(self.targets, minlength=vertex_count)
        self.classes = np.where(
            self.by_shape > 0, 1 + np.minimum(self.by_shape, 2), (self.by_neighbour > 0).astype(np.int64)
        )

    def all(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """(V, 3) predictions when all values are known, as in the encoder."""
        before = np.zeros_like(values)
        before[1:] = values[:-1]
        near = np.zeros_like(values)
        np.add.at(near, self.targets, values[self.neighbours])
        shaped = np.zeros_like(values)
        s = self.shapes
        np.add.at(shaped, s.targets, values[s.a] + values[s.b] - values[s.opposite])
        result = before
        for totals, counts in ((near, self.by_neighbour), (shaped, self.by_shape)):
            has = counts > 0
            result[has] = rounded_means(totals[has], counts[has])
        return result

    def reconstruct(self, residuals: NDArray[np.int64]) -> NDArray[np.int64]:
        """(V, 3) values from residuals, vertex by vertex.

        Raises FormatError where hostile residuals run away: parallelograms may triple a value at every step.
        """
        shape_start = np.concatenate([[0], np.cumsum(self.by_shape)]).tolist()
        near_start = np.concatenate([[0], np.cumsum(self.by_neighbour)]).tolist()
        a, b, opposite = self.shapes.a.tolist(), self.shapes.b.tolist(), self.shapes.opposite.tolist()
        neighbours = self.neighbours.tolist()
        columns = []
        for residual in residuals.T.tolist():
            values: list[int] = []
            append = values.append
            for vertex in range(self.count):
                first, last = shape_start[vertex], shape_start[vertex + 1]
                if last > first:
                    total = 0
                    for k in range(first, last):
                        total += values[a[k]] + values[b[k]] - values[opposite[k]]
                else:
                    first, last = near_start[vertex], near_start[vertex + 1]
                    if last > first:
                        total = 0
                        for k in range(first, last):
                            total += values[neighbours[k]]
                    else:
                        total, first, last = (values[-1] if values else 0), 0, 1
                count = last - first
                value = residual[vertex] + (2 * total + count) // (2 * count)
                if not -_RUNAWAY < value < _RUNAWAY:
                    raise FormatError("vertex position out of range")
                append(value)
            columns.append(values)
        return np.array(columns, dtype=np.int64).T.reshape(self.count, residuals.shape[1])


def encode_positions(encoder: SymbolEncoder, triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> None:
    """Append (V, 3) grid cells of vertices numbered in coding order."""
    predictor = _Predictor(triangles, len(cells))
    encode_residuals(encoder, cells - predictor.all(cells), predictor.classes, CLASSES)


def decode_positions(
    decoder: SymbolDecoder, triangles: NDArray[np.int64], vertex_count: int, bits: int
) -> NDArray[np.int64]:
    """(V, 3) grid cells; inverse of `encode_positions`.

    Raises FormatError if a cell lies outside the grid.
    """
    predictor = _Predictor(triangles, vertex_count)
    residuals = decode_residuals(decoder, predictor.classes, CLASSES, 3)
    cells = predictor.reconstruct(residuals)
    check_range(cells, 0, (1 << bits) - 1, "vertex position")
    return cells
