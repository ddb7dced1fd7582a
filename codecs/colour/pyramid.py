"""A smooth colour field: every level of cells predicts the next finer one, and quantised residuals correct it.

```text
root colour ─► predict children ─► + residual × step ─► predict their children ─► … ─► colour of each cell
               (3:1 interpolation)    │
                                      └─ zero flag, sign, magnitude; contexts: neighbours, parents, luma before chroma
```

After the Laplacian pyramid (Burt & Adelson 1983), here over occupied cells alone and with quantisation inside the loop:
an error of a coarse level is seen and corrected by the finer ones. Colours are integer YCoCg; chroma takes twice the
step of luma, which costs the same squared error in RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.colour.cells import OFFSETS, Hierarchy, Level, interpolated
from squeeze3d.codecs.colour.priors import MAGNITUDE_PRIOR, SIGN_PRIOR, ZERO_PRIOR

LOWEST, HIGHEST = -512, 511
"""Decoded values are limited to this range: the integers of a hostile file stay small."""
MAGNITUDES = 8
"""Magnitudes 1 to 7 have a symbol each; the last symbol is followed by the rest as a raw number."""
RAW_BITS = 10
COARSE_STEPS = (16, 11, 8, 6)
"""Step in sixteenths of the finest level's: the finest level, the next, … (the last entry holds for all others).

There are few coarse residuals, and many cells inherit what they say: 1.3 dB at low rates against equal steps."""
LUMA_SHARE = (3.0, 0.5, 0.75)
"""Squared error in RGB, summed over the channels, that a squared error of one in Y, Co and Cg makes."""

_NEAR = np.array([{0: 0, 1: 2, 2: 1, 3: 1}[int(np.abs(offset).sum())] for offset in OFFSETS], dtype=np.int64)
"""Weights of neighbours in a context; those that share a face count double."""


def steps(step: int, height: int) -> NDArray[np.int64]:
    """(3,) steps of Y, Co and Cg `height` levels above the finest."""
    luma = max(1, (step * COARSE_STEPS[min(height, len(COARSE_STEPS) - 1)] + 8) >> 4)
    return np.array([luma, 2 * luma, 2 * luma], dtype=np.int64)


class PyramidTables:
    """The adaptive tables of one pyramid."""

    def __init__(self) -> None:
        self.zero = AdaptiveTables(ZERO_PRIOR)
        self.sign = AdaptiveTables(SIGN_PRIOR)
        self.magnitude = AdaptiveTables(MAGNITUDE_PRIOR)


@dataclass(frozen=True, eq=False)
class Contexts:
    """Table rows of one component of some cells of a level."""

    zero: NDArray[np.int64]
    sign: NDArray[np.int64]
    magnitude: NDArray[np.int64]


class LevelContexts:
    """Contexts of the residuals of one level.

    Parameters
    ----------
    level, coarse : the level and the one above it.
    above : (M, 3) quantised residuals of the coarser level; zeros where it is the root.
    height : number of finer levels.
    """

    def __init__(self, level: Level, coarse: Level, above: NDArray[np.int64], height: int) -> None:
        self._level = level
        self._height = min(height, 2)
        parents = np.concatenate([np.clip(above, -2, 2), np.zeros((1, 3), dtype=np.int64)])
        busy = np.minimum(np.abs(parents), 1)[coarse.neighbours].sum(axis=1) + 3 * np.abs(parents[:-1])
        self._parents = np.searchsorted([1, 4, 7], busy, side="right")[level.parents]
        self._parent_signs = np.sign(above)[level.parents]
        self._weights = np.where(level.earlier, _NEAR, 0)

    def rows(self, cells: NDArray[np.intp], residuals: NDArray[np.int64], component: int) -> Contexts:
        """Rows of `component` of some cells, given the (N, 3) residuals of the level.

        Only residuals of earlier passes and of earlier components of the cells are looked at.
        """
        values = np.append(np.clip(residuals[:, component], -2, 2), 0)[self._level.neighbours[cells]]
        weights = self._weights[cells]
        activity = (np.abs(values) * weights).sum(axis=1)
        near = np.where(weights.any(axis=1), 1 + np.searchsorted([1, 3, 6], activity, side="right"), 0)
        parent = self._parents[cells, component]
        row = (self._height * 5 + near) * 4 + parent
        if component > 0:
            before = np.minimum(np.abs(residuals[cells, 0]), 1)
            if component == 2:
                before = np.where(residuals[cells, 1] != 0, 2, before)
            row = 60 + row * 3 + before
        chroma = int(component > 0)
        signs = np.sign((np.sign(values) * weights).sum(axis=1))
        sign = (chroma * 3 + signs + 1) * 3 + self._parent_signs[cells, component] + 1
        magnitude = (chroma * 3 + self._height) * 3 + np.where(near > 2, 2, np.minimum(near // 2 + parent, 1))
        return Contexts(row, sign, magnitude)


def encode_pyramid(
    encoder: SymbolEncoder, hierarchy: Hierarchy, residuals: list[NDArray[np.int64]], tables: PyramidTables
) -> None:
    """Append the (N, 3) residuals of every level but the root."""
    above = np.zeros((1, 3), dtype=np.int64)
    for position, current in enumerate(residuals, 1):
        level = hierarchy.levels[position]
        contexts = LevelContexts(level, hierarchy.levels[position - 1], above, len(residuals) - position)
        everything = np.arange(level.count)
        rows = [contexts.rows(everything, current, component) for component in range(3)]
        for cells in level.passes:
            if len(cells) == 0:
                continue
            for component in range(3):
                values = current[cells, component]
                zero = rows[component].zero[cells]
                encoder.encode((values != 0).astype(np.int64), tables.zero, zero)
                used, values = cells[values != 0], values[values != 0]
                if len(used) == 0:
                    continue
                encoder.encode((values < 0).astype(np.int64), tables.sign, rows[component].sign[used])
                rest = np.abs(values) - 1
                symbols = np.minimum(rest, MAGNITUDES - 1)
                encoder.encode(symbols, tables.magnitude, rows[component].magnitude[used])
                encoder.encode_raw(rest[symbols == MAGNITUDES - 1] - (MAGNITUDES - 1), RAW_BITS)
        above = current


def decode_pyramid(
    decoder: SymbolDecoder, hierarchy: Hierarchy, root: NDArray[np.int64], step: int
) -> NDArray[np.int64]:
    """(N, 3) values of the cells; inverse of `encode_pyramid` and of the quantisation in `quantise`."""
    tables = PyramidTables()
    values = root[None]
    above = np.zeros((1, 3), dtype=np.int64)
    last = len(hierarchy.levels) - 1
    for position in range(1, last + 1):
        level, coarse = hierarchy.levels[position], hierarchy.levels[position - 1]
        contexts = LevelContexts(level, coarse, above, last - position)
        current = np.zeros((level.count, 3), dtype=np.int64)
        for cells in level.passes:
            if len(cells) == 0:
                continue
            for component in range(3):
                rows = contexts.rows(cells, current, component)
                used = decoder.decode(len(cells), tables.zero, rows.zero) == 1
                count = int(np.count_nonzero(used))
                if count == 0:
                    continue
                negative = decoder.decode(count, tables.sign, rows.sign[used]) == 1
                rest = decoder.decode(count, tables.magnitude, rows.magnitude[used]).astype(np.int64)
                far = rest == MAGNITUDES - 1
                rest[far] += decoder.decode_raw(int(np.count_nonzero(far)), RAW_BITS)
                current[cells[used], component] = np.where(negative, -1 - rest, 1 + rest)
        values = refined(level, coarse, values, current, steps(step, last - position))
        above = current
    return values


def refined(
    level: Level,
    coarse: Level,
    values: NDArray[np.int64],
    residuals: NDArray[np.int64],
    size: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Values of a level from those of the coarser one and residuals in units of `size`."""
    return np.clip(interpolated(level, coarse, values) + residuals * size, LOWEST, HIGHEST)
