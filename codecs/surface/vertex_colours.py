"""Vertex colours: integer YCoCg, predicted by the mean of the neighbours that are already known.

Colours are converted with the lossless YCoCg-R lifting (Malvar & Sullivan 2003) and divided by a step; chroma takes
1.5 times the step of luma, where the eye forgives more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface.prediction import earlier_neighbours
from squeeze3d.codecs.surface.vectors import (
    check_range,
    decode_residuals,
    encode_residuals,
    rounded_mean,
    rounded_means,
)

CLASSES = 2
"""How a vertex is predicted: by the vertex before it, or by neighbours."""
MAX_STEP = 64


def _steps(step: int) -> NDArray[np.int64]:
    return np.array([step, (3 * step + 1) // 2, (3 * step + 1) // 2], dtype=np.int64)


def rgb_to_ycocg(rgb: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, 3) integers in [0, 255] to Y in [0, 255], Co and Cg in [-255, 255]; lossless."""
    r, g, b = np.asarray(rgb, dtype=np.int64).T
    co = r - b
    base = b + (co >> 1)
    cg = g - base
    return np.stack([base + (cg >> 1), co, cg], axis=1)


def ycocg_to_rgb(ycocg: NDArray[np.integer]) -> NDArray[np.int64]:
    """Inverse of `rgb_to_ycocg`."""
    y, co, cg = np.asarray(ycocg, dtype=np.int64).T
    base = y - (cg >> 1)
    g = cg + base
    b = base - (co >> 1)
    return np.stack([b + co, g, b], axis=1)


def quantise_colours(rgb: NDArray[np.integer], step: int) -> NDArray[np.int64]:
    """(N, 3) sRGB bytes to quantised YCoCg."""
    steps = _steps(step)
    scaled = rgb_to_ycocg(rgb)
    return (2 * scaled + steps) // (2 * steps)


def dequantise_colours(codes: NDArray[np.int64], step: int) -> NDArray[np.uint8]:
    """(N, 3) quantised YCoCg to sRGB bytes."""
    return np.clip(ycocg_to_rgb(codes * _steps(step)), 0, 255).astype(np.uint8)


def encode_colours(encoder: SymbolEncoder, triangles: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
    """Append (V, 3) quantised colours of vertices in coding order."""
    count = len(codes)
    targets, neighbours = earlier_neighbours(triangles, count)
    known = np.bincount(targets, minlength=count)
    prediction = np.zeros_like(codes)
    prediction[1:] = codes[:-1]
    totals = np.zeros_like(codes)
    np.add.at(totals, targets, codes[neighbours])
    prediction[known > 0] = rounded_means(totals[known > 0], known[known > 0])
    encode_residuals(encoder, codes - prediction, (known > 0).astype(np.int64), CLASSES)


def decode_colours(decoder: SymbolDecoder, triangles: NDArray[np.int64], vertex_count: int) -> NDArray[np.int64]:
    """(V, 3) quantised colours; inverse of `encode_colours`.

    Raises FormatError if a value is out of range.
    """
    targets, neighbours = earlier_neighbours(triangles, vertex_count)
    known = np.bincount(targets, minlength=vertex_count)
    residuals = decode_residuals(decoder, (known > 0).astype(np.int64), CLASSES, 3)
    start = np.concatenate([[0], np.cumsum(known)]).tolist()
    order = neighbours.tolist()
    columns = []
    for residual in residuals.T.tolist():
        values: list[int] = []
        for vertex in range(vertex_count):
            first, last = start[vertex], start[vertex + 1]
            if last > first:
                prediction = rounded_mean(sum([values[k] for k in order[first:last]]), last - first)
            else:
                prediction = values[-1] if values else 0
            values.append(prediction + residual[vertex])
        columns.append([min(max(v, -(1 << 40)), 1 << 40) for v in values])
    codes = np.array(columns, dtype=np.int64).T.reshape(vertex_count, 3)
    check_range(codes, -512, 512, "vertex colour")
    return codes
