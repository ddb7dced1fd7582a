"""Coding of one integer vector per vertex (coordinates, colours) as residuals of a prediction.

Components are coded one after the other, each for all vertices at once. The context of a component is how well its
vertex is predicted and how large the residuals of the components before it were: residuals of one vertex tend to be
large or small together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.integers import (
    SCALES,
    IntegerTables,
    best_scale,
    decode_integers,
    encode_integers,
)
from squeeze3d.errors import FormatError

BUCKETS = 3
_BUCKET_SHIFT = (-2, 0, 3)
"""How much wider the prior of a component is when those before it were small, typical or large."""
SCALE_BITS = 5


@dataclass(frozen=True, slots=True)
class ResidualModel:
    """What adapts the tables to one set of residuals; written in front of them."""

    scales: tuple[int, ...]
    """Prior scale of each class of vertices."""

    @classmethod
    def fit(cls, residuals: NDArray[np.int64], classes: NDArray[np.int64], class_count: int) -> ResidualModel:
        """Choose scales for (N, C) residuals of vertices in (N,) classes."""
        return cls(tuple(best_scale(residuals[classes == k].reshape(-1)) for k in range(class_count)))

    def tables(self, components: int) -> IntegerTables:
        """One row per component, class and bucket."""
        rows = []
        for component in range(components):
            for scale in self.scales:
                for shift in _BUCKET_SHIFT:
                    moved = scale + (shift if component else 0)
                    rows.append(min(max(moved, 0), SCALES - 1))
        return IntegerTables(rows)

    def contexts(self, component: int, classes: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) row of each vertex, given (N,) the sum of the magnitudes of the components before."""
        base = (component * len(self.scales) + classes) * BUCKETS
        if component == 0:
            return base + 1
        # Twice the mean magnitude that a scale stands for: 2 ** (scale / 2 - 2), as an integer >= 1.
        typical = np.array([max(1, 1 << max(0, (scale >> 1) - 2)) for scale in self.scales], dtype=np.int64)[classes]
        doubled = 2 * before // component
        return base + (doubled > typical // 2) + (doubled > 2 * typical)


def encode_residuals(
    encoder: SymbolEncoder, residuals: NDArray[np.int64], classes: NDArray[np.int64], class_count: int
) -> None:
    """Append (N, C) residuals of vertices in (N,) classes below `class_count`."""
    model = ResidualModel.fit(residuals, classes, class_count)
    encoder.encode_raw(model.scales, SCALE_BITS)
    tables = model.tables(residuals.shape[1])
    before = np.zeros(len(residuals), dtype=np.int64)
    for component in range(residuals.shape[1]):
        values = residuals[:, component]
        encode_integers(encoder, values, tables, model.contexts(component, classes, before))
        before += np.abs(values)


def decode_residuals(
    decoder: SymbolDecoder, classes: NDArray[np.int64], class_count: int, components: int
) -> NDArray[np.int64]:
    """(N, components) residuals; inverse of `encode_residuals`."""
    model = ResidualModel(tuple(decoder.decode_raw(class_count, SCALE_BITS).tolist()))
    tables = model.tables(components)
    count = len(classes)
    result = np.zeros((count, components), dtype=np.int64)
    before = np.zeros(count, dtype=np.int64)
    for component in range(components):
        result[:, component] = decode_integers(decoder, count, tables, model.contexts(component, classes, before))
        before += np.abs(result[:, component])
    return result


def rounded_mean(total: int, count: int) -> int:
    """Total / count rounded to the nearest integer, halves up; integers only, part of the format."""
    return (2 * total + count) // (2 * count)


def rounded_means(totals: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Array version of `rounded_mean`; (N, C) totals and (N,) counts >= 1."""
    doubled: NDArray[np.int64] = (2 * totals + counts[:, None]) // (2 * counts[:, None])
    return doubled


def check_range(values: NDArray[np.int64], low: int, high: int, what: str) -> None:
    """Raise FormatError if a decoded value leaves [low, high]: only damaged or hostile streams do."""
    if len(values) and (int(values.min()) < low or int(values.max()) > high):
        raise FormatError(f"{what} out of range")
