"""Colours of cells as coefficients of an adaptive transform.

```text
colours of 8 cells ─► pairs along z ─► pairs along y ─► pairs along x ─► 1 mean, up to 7 differences ─► of 8 means …
                      mean, difference × √(w₁ w₂ / (w₁ + w₂))              │
                      weighted by light                                    └─ less what means around tell ─► steps
```

The region-adaptive hierarchical transform (de Queiroz and Chou, 2016) with weights of light: as many coefficients as
cells, orthonormal in what is seen, so that one step is right for all of them. From the coarsest level on, differences
are predicted by interpolation of the means that are known.

The pyramid of `codecs/colour` has a third more numbers than cells on a surface, and takes 1.5 to 1.7 times the bytes at
42 dB (sugar box, walking robot). Its palettes are another matter: 16 entries and coefficients of what they leave take
15 to 50 % less than coefficients alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import INCREMENT, AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.integers import IntegerTables, decode_integers, encode_integers
from squeeze3d.codecs.colour.cells import OFFSETS, PASSES, Hierarchy, interpolated
from squeeze3d.codecs.lite.context_net import TABLES, odds_counts

MAX_STEP = 62
"""A step s, from 0 on, is (3 / 2) 2**(s / 8) levels of 255, of scaled values. Part of the format."""
_ROOT_SCALE = 8
"""Scale of `bitstream.integers` of the mean of all colours, in quarters of a level. Part of the format."""
COLOURS = (1.7320508075688772, 0.7071067811865476, 0.8660254037844386)
"""Scales of Y, Co and Cg, the roots of 3, 1/2 and 3/4: squared errors of scaled values add up to those of R, G and B.
Part of the format."""
FORESIGHT = 0.5
"""Part of a predicted difference that is believed. All of it pays on smooth colours and harms on print. Part of the
format."""
WEIGHT_UNIT = 1 << 10
"""Weight of a cell of the skin with the mean amount of light. Part of the format."""
DEAD_ZONE = 0.4
"""What is added to a magnitude before it is rounded down."""
ACTIVITIES = (1, 3, 6, 12, 24, 48, 96, 192, 384)
"""Bounds of the classes of activity. Part of the format."""
WEIGHTS = (-3, -2, -1, 0, 1, 2, 4)
"""log2 of the bounds of the classes of weight, in units of WEIGHT_UNIT. Part of the format."""
LARGEST = (1 << 20) - 1
"""Magnitude of a coefficient, at most."""
FINENESS = 256
"""Parts of a level of 255 that means are rounded to at each level of cells. Part of the format."""
_ROOTS = (
    1.0, 1.0905077326652577, 1.189207115002721, 1.2968395546510096,
    1.4142135623730951, 1.5422108254079407, 1.681792830507429, 1.8340080864093424,
)  # fmt: skip
_FACES = np.flatnonzero(np.abs(OFFSETS).sum(axis=1) == 1)


class TransformTables:
    """The adaptive tables of one set of coefficients."""

    def __init__(self) -> None:
        self.zero = AdaptiveTables(_zero_prior())
        self.value = IntegerTables([scale for group in _VALUE_SCALES for scale in group])


_ZERO_GROUPS = (0, -12, -2, 5, -25, 0, -11, 4, -8, 7)
_ZERO_ACTIVITIES = (-29, -15, -11, -9, -5, -1, 2, 5, 8, 12)
_ZERO_WEIGHTS = (-7, -8, -8, -4, -5, -4, -4, -3)
"""Quarter bits of log-odds that a coefficient is not zero, which add up: luma, then chroma by what is known of the
channels before; activity; weight. Learnt from ten fields; learnt from nine of them, the tenth takes 2 bytes more at
most. Part of the format."""
_ZERO_STRENGTH = 4
"""Symbols that the prior is worth. Part of the format."""
_BUSY = (8, 8, 8, 8, 9, 10, 11, 12, 13, 15)
_CALM = (7, 7, 7, 7, 7, 8, 9, 9, 10, 11)
_VALUE_SCALES = (_BUSY, _CALM, _CALM, _BUSY)
"""Scales of `bitstream.integers` by activity: luma, then chroma where the luma is 0, 1 or larger. Part of the
format."""


def _zero_prior() -> NDArray[np.int64]:
    groups, active, heavy = (np.array(part) for part in (_ZERO_GROUPS, _ZERO_ACTIVITIES, _ZERO_WEIGHTS))
    odds = groups[:, None, None] + active[:, None] + heavy
    counts = odds_counts()[np.clip(odds + TABLES // 2, 0, TABLES - 1).reshape(-1)]
    return 1 + counts * (_ZERO_STRENGTH * INCREMENT) // counts.sum(axis=1, keepdims=True)


class _Channel(Protocol):
    def numbers(self, stage: _Stage, predicted: NDArray[np.float64], activity: NDArray[np.int64]) -> NDArray[np.int64]:
        """(K, C) coefficients in steps of the pairs of a stage, in the order of the file.

        Parameters
        ----------
        predicted : (K, C) coefficients that are expected, in steps.
        activity : (K, C) how large coefficients near them are, channel by channel.
        """


@dataclass(frozen=True, eq=False)
class _Stage:
    """Pairs of a level of cells that are told apart at once."""

    position: int
    """Of the level in the hierarchy."""
    pairs: int
    """In a node: 1 (along x), 2 (along y) or 4 (along z)."""
    nodes: NDArray[np.intp]
    """(K,) nodes of the pairs that have two members."""
    columns: NDArray[np.intp]
    """(K,) which of the node's pairs."""
    weights: NDArray[np.int64]
    """(K,) smaller weight of each pair."""


def _zero_rows(
    stage: _Stage, activity: NDArray[np.int64], values: NDArray[np.int64], channel: int
) -> NDArray[np.int64]:
    size = np.minimum(np.abs(values), 2)
    group = np.zeros(len(values), dtype=np.int64)
    if channel == 1:
        group = 1 + size[:, 0]
    elif channel == 2:
        group = 4 + 2 * size[:, 0] + np.minimum(size[:, 1], 1)
    heavy = np.searchsorted([WEIGHT_UNIT * 16 >> 4 - power for power in WEIGHTS], stage.weights, side="right")
    active = np.searchsorted(ACTIVITIES, activity[:, channel], side="right")
    rows: NDArray[np.int64] = (group * (len(ACTIVITIES) + 1) + active) * (len(WEIGHTS) + 1) + heavy
    return rows


def _value_rows(activity: NDArray[np.int64], values: NDArray[np.int64], channel: int) -> NDArray[np.int64]:
    active = np.searchsorted(ACTIVITIES, activity[:, channel], side="right")
    group = np.minimum(np.abs(values[:, 0]), 2) + 1 if channel else 0
    rows: NDArray[np.int64] = active + (len(ACTIVITIES) + 1) * group
    return rows


class _Writer:
    def __init__(self, encoder: SymbolEncoder, wanted: list[list[NDArray[np.float64]]]) -> None:
        self._encoder = encoder
        self._wanted = wanted
        self._tables = TransformTables()

    def numbers(self, stage: _Stage, predicted: NDArray[np.float64], activity: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = self._wanted[stage.position][_STAGES.index(stage.pairs)][stage.nodes, stage.columns] - predicted
        size = np.minimum(np.floor(np.abs(wanted) + DEAD_ZONE), LARGEST)
        values = (np.sign(wanted) * size).astype(np.int64)
        tables, encoder = self._tables, self._encoder
        for channel in range(values.shape[1]):
            column = values[:, channel]
            used = column != 0
            encoder.encode(used, tables.zero, _zero_rows(stage, activity, values, channel))
            encode_integers(encoder, column[used], tables.value, _value_rows(activity, values, channel)[used])
        return values


class _Reader:
    def __init__(self, decoder: SymbolDecoder) -> None:
        self._decoder = decoder
        self._tables = TransformTables()

    def numbers(self, stage: _Stage, predicted: NDArray[np.float64], activity: NDArray[np.int64]) -> NDArray[np.int64]:
        tables, decoder = self._tables, self._decoder
        channels = predicted.shape[1]
        values = np.zeros((len(predicted), channels), dtype=np.int64)
        for channel in range(channels):
            rows = _zero_rows(stage, activity, values, channel)
            used = decoder.decode(len(values), tables.zero, rows) == 1
            rows = _value_rows(activity, values, channel)[used]
            values[used, channel] = decode_integers(decoder, len(rows), tables.value, rows)
        return values


_STAGES = (1, 2, 4)


class Transform:
    """The transform of colours of cells.

    Parameters
    ----------
    hierarchy : of the cells.
    light : (N,) what is seen of each, in any unit; zero counts as next to nothing.
    scales : of Y, Co and Cg; larger ones are told more finely.

    Arithmetic is IEEE double precision, one operation after the other, and means are rounded to `FINENESS` at each
    level: the same on every machine.
    """

    def __init__(
        self, hierarchy: Hierarchy, light: NDArray[np.int64], scales: tuple[float, float, float] = COLOURS
    ) -> None:
        self._hierarchy = hierarchy
        self._scales = np.array(scales)
        mean = max(1, int(light.sum()) // len(light))
        self._weights = [np.clip(light.astype(np.int64) * WEIGHT_UNIT // mean, 1, WEIGHT_UNIT << 10)]
        for level in hierarchy.levels[:0:-1]:
            total = np.zeros(int(level.parents.max()) + 1, dtype=np.int64)
            np.add.at(total, level.parents, self._weights[0])
            self._weights.insert(0, total)

    def encode(self, encoder: SymbolEncoder, goals: NDArray[np.float64], step: int) -> NDArray[np.int64]:
        """Append (N, C) values in levels of 255; returns what `decode` returns."""
        means = [goals]
        for level, weights in zip(self._hierarchy.levels[:0:-1], self._weights[:0:-1], strict=True):
            size = int(level.parents.max()) + 1
            total = np.bincount(level.parents, weights, size)
            sums = [np.bincount(level.parents, weights * column, size) for column in means[0].T]
            means.insert(0, np.stack(sums, axis=1) / total[:, None])
        scale = self._scales / step_size(step)
        wanted: list[list[NDArray[np.float64]]] = [[]]
        for position in range(1, len(means)):
            members = _members(self._hierarchy, position)
            found = _differences(_gathered(means[position] * scale, members), self._member_weights(position, members))
            wanted.append(found[::-1])
        root = np.clip(np.rint(4 * means[0][0]), -_LIMIT, _LIMIT).astype(np.int64)
        encode_integers(encoder, root, IntegerTables([_ROOT_SCALE]))
        return self._walk(root, step, _Writer(encoder, wanted))

    def decode(self, decoder: SymbolDecoder, step: int) -> NDArray[np.int64]:
        """(N, C) values in parts of 1 / FINENESS of a level. Any bytes give some values, or FormatError."""
        root = decode_integers(decoder, len(self._scales), IntegerTables([_ROOT_SCALE]))
        return self._walk(np.clip(root, -_LIMIT, _LIMIT), step, _Reader(decoder))

    def _member_weights(self, position: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(members >= 0, self._weights[position][members], 0)

    def _walk(self, root: NDArray[np.int64], step: int, channel: _Channel) -> NDArray[np.int64]:
        levels = self._hierarchy.levels
        scale = self._scales / step_size(step)
        values = root[None] * (FINENESS // 4)
        near = np.zeros((1, len(scale)), dtype=np.int64)
        for position in range(1, len(levels)):
            level, coarse = levels[position], levels[position - 1]
            members = _members(self._hierarchy, position)
            weights = self._member_weights(position, members)
            expected = interpolated(level, coarse, values) / FINENESS
            foreseen = _differences(_gathered(expected * scale, members), weights)[::-1]
            around = np.concatenate([near, np.zeros((1, len(scale)), dtype=np.int64)])[coarse.neighbours[:, _FACES]]
            activity = 6 * near + around.sum(axis=1)
            sizes = np.zeros_like(near)
            means = (values / FINENESS)[:, None, :]
            for pairs, predicted in zip(_STAGES, foreseen, strict=True):
                halves = weights.reshape(len(weights), pairs, 2, -1).sum(axis=3)
                first, second = halves[:, :, 0], halves[:, :, 1]
                nodes, columns = np.nonzero((first > 0) & (second > 0))
                light = np.minimum(first, second)[nodes, columns]
                stage = _Stage(position, pairs, nodes, columns, light)
                told = FORESIGHT * predicted[nodes, columns]
                found = channel.numbers(stage, told, (activity + 6 * sizes)[nodes])
                np.add.at(sizes, nodes, np.minimum(np.abs(found), 255))
                means = _parted(means, first, second, nodes, columns, (found + told) / scale)
            near = sizes[level.parents]
            exact = means.reshape(-1, len(scale))[members.reshape(-1) >= 0]
            values = np.empty((level.count, len(scale)), dtype=np.int64)
            most = _LIMIT * FINENESS
            values[members[members >= 0]] = np.clip(np.rint(exact * FINENESS), -most, most).astype(np.int64)
        return values


_LIMIT = 1024
"""Levels that colours cannot leave, whatever a file says."""


def step_size(step: int) -> float:
    """Size of a step in levels of 255."""
    octave, part = divmod(step, len(_ROOTS))
    return 1.5 * _ROOTS[part] * 2.0**octave


def _members(hierarchy: Hierarchy, position: int) -> NDArray[np.int64]:
    """(N, 8) cells of a level in each node of the coarser one, by parity; -1 where there is none."""
    level = hierarchy.levels[position]
    members = np.full((hierarchy.levels[position - 1].count, PASSES), -1, dtype=np.int64)
    members[level.parents, level.parity] = np.arange(level.count)
    return members


def _gathered(values: NDArray[np.float64], members: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(members[..., None] >= 0, values[members], 0.0)


def _differences(values: NDArray[np.float64], weights: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Coefficients (N, 4, C) along z, (N, 2, C) along y, (N, 1, C) along x of (N, 8, C) values; 0 without a partner."""
    result = []
    for _ in _STAGES:
        values = values.reshape(len(values), -1, 2, values.shape[-1])
        weights = weights.reshape(len(weights), -1, 2)
        first, second = weights[:, :, 0].astype(np.float64), weights[:, :, 1].astype(np.float64)
        total = np.maximum(first + second, 1.0)
        result.append((values[:, :, 1] - values[:, :, 0]) * np.sqrt(first * second / total / WEIGHT_UNIT)[..., None])
        values = (values[:, :, 0] * first[..., None] + values[:, :, 1] * second[..., None]) / total[..., None]
        weights = weights[:, :, 0] + weights[:, :, 1]
    return result


def _parted(
    means: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    nodes: NDArray[np.intp],
    columns: NDArray[np.intp],
    coefficients: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N, 2 k, C) means of the halves from (N, k, C) means of both and (K, C) coefficients of some."""
    light, other = first[nodes, columns].astype(np.float64), second[nodes, columns].astype(np.float64)
    total = light + other
    difference = coefficients / np.sqrt(light * other / total / WEIGHT_UNIT)[:, None]
    parts = np.stack([means, means], axis=2)
    parts[nodes, columns, 0] -= difference * (other / total)[:, None]
    parts[nodes, columns, 1] += difference * (light / total)[:, None]
    return parts.reshape(len(means), -1, means.shape[2])
