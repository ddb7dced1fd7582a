"""Values that spread from the skin, and coded corrections on the way.

```text
skin ─► layer 1: mean of the sources + residual × step ─► layer 2 ─► …       step: coarser where less light comes from
                                          │
                                          └─ any?  zero flag, sign, magnitude of each channel; contexts: corrections of
                                             the sources, light
```

Along the way inwards and outwards little changes in most fields, so nearly all corrections are zero, and a cell without
any costs a hundredth of a bit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import INCREMENT, AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.fields.distances import Layers
from squeeze3d.codecs.fields.light import CLASSES

ACTIVITIES = (1, 2, 4, 8, 16)
"""Bounds of the classes of the mean correction of a cell's sources, in quarters of a step. Part of the format."""
MAGNITUDES = 8
"""Magnitudes 1 to 7 have a symbol each; the last symbol is followed by the rest as a raw number."""
RAW_BITS = 15
DEAD_ZONE = 0.35
"""What is added to a magnitude before it is rounded down: to round to the nearest costs more than it gains."""
_LARGEST = (1 << RAW_BITS) + MAGNITUDES - 2
_LIGHTS = CLASSES // 2


class ResidualTables:
    """The adaptive tables of the corrections of one quantity."""

    def __init__(self) -> None:
        rows = (len(ACTIVITIES) + 1) * _LIGHTS
        self.any = AdaptiveTables(np.tile([6 * INCREMENT, INCREMENT], (rows, 1)))
        self.zero = AdaptiveTables(np.tile([2 * INCREMENT, 2 * INCREMENT], (4 * (len(ACTIVITIES) + 1), 1)))
        decay = np.maximum(8 * INCREMENT >> np.arange(MAGNITUDES), INCREMENT >> 2)
        self.magnitude = AdaptiveTables(np.tile(decay, (2 * (len(ACTIVITIES) + 1), 1)))


@dataclass(frozen=True, eq=False)
class Quantity:
    """What spreads: its steps, and the range of its values."""

    steps: NDArray[np.int64]
    """(N, C) step of each listed cell and channel."""
    coded: NDArray[np.bool_]
    """(N,) whether a cell may be corrected; others copy their sources."""
    light: NDArray[np.int64]
    """(N,) class of light, for contexts."""
    lowest: int
    highest: int


class _Channel(Protocol):
    def residuals(
        self, cells: NDArray[np.int64], predicted: NDArray[np.int64], activity: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(K, C) corrections in steps of (K,) cells whose predictions are (K, C)."""


class _Writer:
    def __init__(self, encoder: SymbolEncoder, quantity: Quantity, goals: NDArray[np.float64]) -> None:
        self._encoder, self._quantity, self._goals = encoder, quantity, goals
        self._tables = ResidualTables()

    def residuals(
        self, cells: NDArray[np.int64], predicted: NDArray[np.int64], activity: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        missing = (self._goals[cells] - predicted) / self._quantity.steps[cells]
        size = np.minimum(np.floor(np.abs(missing) + DEAD_ZONE), _LARGEST)
        values = (np.sign(missing) * size).astype(np.int64)
        tables, encoder = self._tables, self._encoder
        used = values.any(axis=1)
        encoder.encode(used, tables.any, _any_rows(activity, self._quantity.light[cells]))
        values_used, active = values[used], activity[used]
        channels = values.shape[1]
        for channel in range(channels):
            column = values_used[:, channel]
            nonzero = column != 0
            if channels > 1:
                encoder.encode(nonzero, tables.zero, _zero_rows(active, values_used, channel))
            column = column[nonzero]
            encoder.encode_raw(column < 0, 1)
            rest = np.abs(column) - 1
            symbols = np.minimum(rest, MAGNITUDES - 1)
            encoder.encode(symbols, tables.magnitude, _magnitude_rows(active[nonzero], channel))
            encoder.encode_raw(rest[symbols == MAGNITUDES - 1] - (MAGNITUDES - 1), RAW_BITS)
        return values


class _Reader:
    def __init__(self, decoder: SymbolDecoder, quantity: Quantity) -> None:
        self._decoder, self._quantity = decoder, quantity
        self._tables = ResidualTables()

    def residuals(
        self, cells: NDArray[np.int64], predicted: NDArray[np.int64], activity: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        tables, decoder = self._tables, self._decoder
        used = decoder.decode(len(cells), tables.any, _any_rows(activity, self._quantity.light[cells])) == 1
        active = activity[used]
        channels = predicted.shape[1]
        found = np.zeros((len(active), channels), dtype=np.int64)
        for channel in range(channels):
            nonzero = np.ones(len(active), dtype=bool)
            if channels > 1:
                nonzero = decoder.decode(len(active), tables.zero, _zero_rows(active, found, channel)) == 1
            count = int(np.count_nonzero(nonzero))
            negative = decoder.decode_raw(count, 1) == 1
            rest = decoder.decode(count, tables.magnitude, _magnitude_rows(active[nonzero], channel)).astype(np.int64)
            far = rest == MAGNITUDES - 1
            rest[far] += decoder.decode_raw(int(np.count_nonzero(far)), RAW_BITS)
            found[nonzero, channel] = np.where(negative, -1 - rest, 1 + rest)
        values = np.zeros((len(cells), channels), dtype=np.int64)
        values[used] = found
        return values


def _any_rows(activity: NDArray[np.int64], light: NDArray[np.int64]) -> NDArray[np.int64]:
    return activity * _LIGHTS + np.minimum(light >> 1, _LIGHTS - 1)


def _zero_rows(activity: NDArray[np.int64], values: NDArray[np.int64], channel: int) -> NDArray[np.int64]:
    """Row of the zero flag of a channel, given the channels before."""
    if channel == 0:
        return activity
    before = values[:, :channel].any(axis=1).astype(np.int64) if channel == 1 else (values[:, 1] != 0).astype(np.int64)
    rows: NDArray[np.int64] = (1 + before + (channel == 2)) * (len(ACTIVITIES) + 1) + activity
    return rows


def _magnitude_rows(activity: NDArray[np.int64], channel: int) -> NDArray[np.int64]:
    return activity + (len(ACTIVITIES) + 1) * (channel > 0)


def spread(
    layers: Layers, skin: NDArray[np.int64], quantity: Quantity | None = None, channel: _Channel | None = None
) -> NDArray[np.int64]:
    """(N, C) values of all listed cells.

    Parameters
    ----------
    skin : (S, C) values of the skin, or predictions of them where the channel corrects those too: `coded` says so.
    """
    values = np.zeros((len(layers.cells), skin.shape[1]), dtype=np.int64)
    sizes = np.zeros((len(layers.cells), 1), dtype=np.int64)
    # Cells without sources: whatever is usual.
    usual = (2 * skin.sum(axis=0) + len(skin)) // max(1, 2 * len(skin))
    bounds = [0, *layers.bounds.tolist()]
    for first, last in itertools.pairwise(bounds):
        behind = first >= layers.skin
        predicted = layers.copied(values, first, last) if behind else skin
        if behind:
            predicted[np.diff(layers.starts[first - layers.skin : last - layers.skin + 1]) == 0] = usual
        if quantity is not None and channel is not None:
            chosen = first + np.flatnonzero(quantity.coded[first:last])
            near = layers.copied(sizes, first, last)[chosen - first, 0] if behind else np.zeros_like(chosen)
            activity = np.searchsorted(ACTIVITIES, near, side="right")
            residuals = channel.residuals(chosen, predicted[chosen - first], activity)
            predicted = predicted.copy()
            predicted[chosen - first] += residuals * quantity.steps[chosen]
            predicted = np.clip(predicted, quantity.lowest, quantity.highest)
            sizes[chosen, 0] = 4 * np.minimum(np.abs(residuals).sum(axis=1), 15)
        values[first:last] = predicted
    return values


def encode_residuals(
    encoder: SymbolEncoder,
    layers: Layers,
    skin: NDArray[np.int64],
    quantity: Quantity,
    goals: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Append corrections towards (N, C) goals; returns what `decode_residuals` returns."""
    return spread(layers, skin, quantity, _Writer(encoder, quantity, goals))


def decode_residuals(
    decoder: SymbolDecoder, layers: Layers, skin: NDArray[np.int64], quantity: Quantity
) -> NDArray[np.int64]:
    """(N, C) values of all listed cells. Any bytes give some values in range, or FormatError."""
    return spread(layers, skin, quantity, _Reader(decoder, quantity))
