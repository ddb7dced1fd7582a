"""Residuals of a colour pyramid: what each is worth against what it costs.

Rounding to the nearest step is not the best choice at low rates: most residuals of fine levels are small, and a zero
among zeros is nearly free. A magnitude is lowered where the bits saved are worth more than the error added:

    weight × (error after² - error before²)  <  lambda × bits saved,        lambda = strength × step²

with bits from the tables as they stand after the levels before and a first rounding of this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import INCREMENT
from squeeze3d.codecs.colour.cells import Hierarchy, interpolated
from squeeze3d.codecs.colour.pyramid import (
    LUMA_SHARE,
    MAGNITUDES,
    RAW_BITS,
    Contexts,
    LevelContexts,
    PyramidTables,
    refined,
    steps,
)

_LARGEST = (1 << RAW_BITS) + MAGNITUDES - 2


@dataclass(frozen=True, eq=False)
class Quantised:
    """Residuals of all levels but the root, and the values a decoder gets."""

    residuals: list[NDArray[np.int64]]
    values: NDArray[np.int64]
    """(N, 3)."""


def quantise(
    hierarchy: Hierarchy,
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    root: NDArray[np.int64],
    step: int,
    strength: float,
) -> Quantised:
    """Choose residuals for (N, 3) target values with (N,) weights; cells of weight 0 follow the prediction."""
    pooled = hierarchy.pooled(targets, weights)
    mean = float(weights.sum()) / max(1, int(np.count_nonzero(weights)))
    price = strength * step**2 * LUMA_SHARE[0] * mean
    counts = _Counts()
    values, above = root[None], np.zeros((1, 3), dtype=np.int64)
    residuals = []
    last = len(hierarchy.levels) - 1
    for position in range(1, last + 1):
        level, coarse = hierarchy.levels[position], hierarchy.levels[position - 1]
        goal, weight = pooled[position]
        size = steps(step, last - position)
        wanted = np.where(weight[:, None] > 0, (goal - interpolated(level, coarse, values)) / size, 0.0)
        current = np.clip(np.rint(wanted), -_LARGEST, _LARGEST).astype(np.int64)
        contexts = LevelContexts(level, coarse, above, last - position)
        everything = np.arange(level.count)
        if price > 0:
            for _ in range(2):
                trial = _Counts(counts)
                rows = [contexts.rows(everything, current, component) for component in range(3)]
                for component in range(3):
                    trial.add(rows[component], current[:, component])
                for component in range(3):
                    scale = weight * (LUMA_SHARE[component] * float(size[component]) ** 2)
                    current[:, component] = _lowered(
                        wanted[:, component], current[:, component], scale, trial.bits(rows[component]), price
                    )
        for component in range(3):
            counts.add(contexts.rows(everything, current, component), current[:, component])
        values = refined(level, coarse, values, current, size)
        residuals.append(current)
        above = current
    return Quantised(residuals, values)


def _lowered(
    wanted: NDArray[np.float64],
    current: NDArray[np.int64],
    scale: NDArray[np.float64],
    bits: NDArray[np.float64],
    price: float,
) -> NDArray[np.int64]:
    """Residuals with magnitudes one smaller where that pays; (N, MAGNITUDES + 2) bits of each magnitude."""
    size = np.abs(current)
    smaller = np.maximum(size - 1, 0)
    exact = np.abs(wanted)
    harm = scale * ((exact - smaller) ** 2 - (exact - size) ** 2)
    rows = np.arange(len(size))
    largest = bits.shape[1] - 1
    gain = price * (bits[rows, np.minimum(size, largest)] - bits[rows, np.minimum(smaller, largest)])
    return np.where(harm < gain, np.sign(current) * smaller, current)


class _Counts:
    """Occurrences of zero flags and magnitudes, for estimates of code lengths."""

    def __init__(self, start: _Counts | None = None) -> None:
        if start is None:
            tables = PyramidTables()
            self.zero, self.magnitude = tables.zero.counts / INCREMENT, tables.magnitude.counts / INCREMENT
        else:
            self.zero, self.magnitude = start.zero.copy(), start.magnitude.copy()

    def add(self, rows: Contexts, values: NDArray[np.int64]) -> None:
        """Count (N,) residuals."""
        used = values != 0
        np.add.at(self.zero, (rows.zero, used.astype(np.int64)), 1.0)
        symbols = np.minimum(np.abs(values[used]) - 1, MAGNITUDES - 1)
        np.add.at(self.magnitude, (rows.magnitude[used], symbols), 1.0)

    def bits(self, rows: Contexts) -> NDArray[np.float64]:
        """(N, MAGNITUDES + 1) length of magnitudes 0, 1, …; the sign counts one bit."""
        zero = -np.log2(self.zero / self.zero.sum(axis=1, keepdims=True))
        magnitude = -np.log2(self.magnitude / self.magnitude.sum(axis=1, keepdims=True))
        magnitude[:, -1] += RAW_BITS
        flag = zero[rows.zero]
        return np.concatenate([flag[:, :1], flag[:, 1:] + 1 + magnitude[rows.magnitude]], axis=1)
