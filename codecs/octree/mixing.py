"""Adaptive mixing of predictions of yes-or-no decisions, in integers.

```text
contexts ─► counts of 0 and 1 in each ─► log-odds ─► × weights, summed ─► table of the range coder ─► bit
               ▲                                        ▲                                              │
               └── + 1 each ────────────────────────────┴── downhill on the code length ◄──────────────┘
```

Logistic mixing as in the PAQ compressors (Mahoney, 2005), for whole arrays: decisions of a block are coded with what
was known before it, then the block is learnt at once. Blocks are short at first and grow with what was coded.

Log-odds are integers in steps of 1 / 128 of a bit. Logarithms and probabilities come from integer square roots, so
that every machine has the same tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder, Tables

ONE = 128
"""Steps of log-odds to a bit. Part of the format, like all constants here."""
FARTHEST = 12 * ONE - 1
"""Largest log-odds: a decision takes at least 1 / 2840 of a bit."""
INCREMENT = 32
"""What a decision adds to a count. The logarithm is that of the count plus one, so a fresh context is worth little."""
FIRST_COUNT = 12
MOST = INCREMENT * 1023
"""Sum of a context's counts from which they are halved when it is next seen."""
BLOCK, FIRST_BLOCK, GROWTH = 4096, 64, 3
"""Decisions of a block: an eighth, 2**-GROWTH, of those before it, from FIRST_BLOCK to BLOCK."""
CONFIDENCES = (24 + 4 * INCREMENT, 24 + 24 * INCREMENT, 24 + 120 * INCREMENT)
"""Bounds of a context's counts; each class has weights of its own."""
GAINS = (950, 1520, 1900, 2280)
"""Thousandths of a plain mean that the weights of each class begin with."""
WEIGHT_BITS = 16
LARGEST_WEIGHT = 1 << 20
RATE, PATIENCE = 9, 32
"""A weight moves by the mean slope of its decisions in a block, over 2**RATE; fewer than PATIENCE count as that many.
"""

_CLASSES = len(GAINS)
_ROOT_BITS = 30
_COUNT_BITS = 18
_TABLES = 2 * FARTHEST + 1


class Channel(Protocol):
    """Codes bits, or finds them."""

    def __call__(self, tables: NDArray[np.int32], part: slice) -> NDArray[np.uint8]:
        """Bits of a part of the decisions, with the tables they are coded with."""


class Writer:
    """Appends bits that are known to a stream."""

    def __init__(self, encoder: SymbolEncoder, bits: NDArray[np.uint8]) -> None:
        self._encoder, self._bits = encoder, bits

    def __call__(self, tables: NDArray[np.int32], part: slice) -> NDArray[np.uint8]:
        bits = self._bits[part]
        self._encoder.encode(bits, bit_tables(), tables)
        return bits


class Reader:
    """Takes bits from a stream."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        self._decoder = decoder

    def __call__(self, tables: NDArray[np.int32], part: slice) -> NDArray[np.uint8]:
        return self._decoder.decode(len(tables), bit_tables(), tables).astype(np.uint8)


class Mixer:
    """The counts and weights of a stream.

    Parameters
    ----------
    sizes : of the K kinds of contexts.
    sets : sets of weights, one of which each decision names.
    """

    def __init__(self, sizes: Sequence[int], sets: int) -> None:
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        self._size = sum(sizes)
        self._counts = np.full(2 * self._size, FIRST_COUNT, dtype=np.int32)
        first = [(gain << WEIGHT_BITS) // (1000 * len(sizes)) for gain in GAINS]
        self._weights = np.tile(np.array(first, dtype=np.int32), (len(sizes), sets))
        self._seen = 0

    def code(self, contexts: NDArray[np.int32], sets: NDArray[np.int32], channel: Channel) -> NDArray[np.uint8]:
        """(N,) bits, from (K, N) contexts and (N,) sets of weights."""
        total = len(sets)
        bits = np.empty(total, dtype=np.uint8)
        start = 0
        while start < total:
            stop = min(total, start + min(BLOCK, max(FIRST_BLOCK, self._seen >> GROWTH)))
            part = slice(start, stop)
            rows = contexts[:, part] + self._starts[:, None]
            bits[part] = self._block(rows, sets[part], channel, part)
            self._seen += stop - start
            start = stop
        return bits

    def _block(
        self, rows: NDArray[np.intp], sets: NDArray[np.int32], channel: Channel, part: slice
    ) -> NDArray[np.uint8]:
        zeros, ones = self._counts.take(rows), self._counts.take(rows + self._size)
        odds = logarithms().take(ones) - logarithms().take(zeros)
        seen = zeros + ones
        classes = sets * _CLASSES + _confidence().take(seen)
        mixed = np.zeros(len(sets), dtype=np.int32)
        for weights, each, chosen in zip(self._weights, odds, classes, strict=True):
            mixed += (weights >> (WEIGHT_BITS - 12)).take(chosen) * each
        mixed = np.clip(mixed >> 12, -FARTHEST, FARTHEST) + FARTHEST
        bits = channel(mixed, part)
        errors = (bits.astype(np.int32) << 16) - probabilities().take(mixed)
        for weights, each, chosen in zip(self._weights, odds, classes, strict=True):
            # Sums of fewer than 2**12 products below 2**28: exact as doubles.
            slopes = np.bincount(chosen, errors * each, len(weights)).astype(np.int64)
            moves = (slopes >> RATE) // np.maximum(PATIENCE, np.bincount(chosen, minlength=len(weights)))
            weights[:] = np.clip(weights + moves, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        touched = (rows + self._size * bits.astype(np.intp)).reshape(-1)
        np.add.at(self._counts, touched, np.full(len(touched), INCREMENT, dtype=np.int32))
        full = np.unique(rows[seen > MOST])
        for half in (full, full + self._size):
            self._counts[half] = (self._counts[half] + 1) >> 1
        return bits


@cache
def _roots() -> NDArray[np.int64]:
    """(128,) floor of 2**(30 + i / 128)."""
    values = []
    for step in range(ONE):
        value = 1 << (step + _ROOT_BITS * ONE)
        for _ in range(7):
            value = math.isqrt(value)
        values.append(value)
    return np.array(values, dtype=np.int64)


@cache
def logarithms() -> NDArray[np.int32]:
    """(2**18,) floor of 128 log2 of numbers; of 0 as of 1."""
    values = np.arange(1, 1 << _COUNT_BITS, dtype=np.int64)
    exponents = np.zeros_like(values)
    for power in range(1, _COUNT_BITS):
        exponents[(1 << power) - 1 :] = power
    fractions = np.searchsorted(_roots(), values << _ROOT_BITS >> exponents, side="right") - 1
    return np.append(0, ONE * exponents + fractions).astype(np.int32)


@cache
def _confidence() -> NDArray[np.uint8]:
    return np.searchsorted(CONFIDENCES, np.arange(1 << _COUNT_BITS), side="right").astype(np.uint8)


@cache
def probabilities() -> NDArray[np.int32]:
    """(T,) 16-bit probability of a one for log-odds from -FARTHEST to FARTHEST steps."""
    odds = [int(_roots()[step % ONE]) << (step // ONE) for step in range(FARTHEST + 1)]
    likely = [(value << 16) // (value + (1 << _ROOT_BITS)) for value in odds]
    return np.array([*((1 << 16) - p for p in likely[:0:-1]), *likely], dtype=np.int32)


@cache
def bit_tables() -> Tables:
    """The same probabilities as tables of the range coder."""
    return Tables(np.stack([(1 << 16) - probabilities(), probabilities()], axis=1))


@cache
def code_lengths() -> NDArray[np.float64]:
    """(T, 2) bits that a zero and a one take with each table; for estimates alone."""
    ones = probabilities() / (1 << 16)
    return np.stack([-np.log2(1 - ones), -np.log2(ones)], axis=1)


class Estimator:
    """Adds up what bits that are known would take."""

    def __init__(self) -> None:
        self.bits = 0.0

    def channel(self, bits: NDArray[np.uint8]) -> Channel:
        """The channel of the next decisions."""

        def count(tables: NDArray[np.int32], part: slice) -> NDArray[np.uint8]:
            self.bits += float(code_lengths()[tables, bits[part]].sum())
            return bits[part]

        return count
