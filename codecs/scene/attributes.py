"""Integer values at vertices or keys, predicted from those coded before: one compiled walk encodes and decodes.

```text
values (N, K) ─► in the order of the plan: same as a sibling? │ residual against the prediction ─► binary coder
```

A *sibling* is another vertex at the same place: a seam of one attribute is seldom one of all. Predictions come from
parallelograms where the plan has some, else from a neighbour, else from the value before.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import (
    INTEGER,
    BinaryDecoder,
    BinaryEncoder,
    Contexts,
    code_bit,
    code_integer,
)
from squeeze3d.codecs.scene.adjacency import Integers, Plan
from squeeze3d.compiled import compiled

PLAIN, SUM, QUATERNION = 0, 1, 2
"""Kinds of values. SUM: the last component is what the others leave of a total. QUATERNION: its square is."""
CLASSES = 4
"""Previous value, neighbour, one parallelogram or a prediction that was given, several parallelograms."""
BUCKETS = 12
COMPONENTS = 4
_A = CLASSES * BUCKETS
_B = BUCKETS * BUCKETS
_C = CLASSES * BUCKETS
_ROWS = _A + _B + _C
_SAME = COMPONENTS * _ROWS * INTEGER
"""First of the contexts that tell whether a value is its sibling's."""
CONTEXTS = _SAME + 4
MIXERS = COMPONENTS * CLASSES * INTEGER
MAX_RANGE = (1 << 20) - 1
"""Largest difference of two values of a component."""

Coder = BinaryEncoder | BinaryDecoder


@dataclass(frozen=True)
class Range:
    """Where the values of an array lie."""

    low: NDArray[np.int64]
    """(K,) least value of each component."""
    high: NDArray[np.int64]

    @classmethod
    def of(cls, values: Integers) -> Range:
        """Range of (N, K) values, N > 0."""
        return cls(values.min(axis=0).astype(np.int64), values.max(axis=0).astype(np.int64))

    def is_codable(self) -> bool:
        """Whether residuals are small enough for the coder."""
        return bool((self.high - self.low <= MAX_RANGE).all())


class Models:
    """Adaptive contexts by role; arrays of one role learn from each other."""

    def __init__(self) -> None:
        self._contexts: dict[int, Contexts] = {}
        self.checksum = 0
        """CRC-32 of all integers that were coded."""

    def add(self, values: Integers) -> None:
        """Take integers into the checksum."""
        self.checksum = zlib.crc32(values.astype("<i4").tobytes(), self.checksum)

    def of(self, role: int) -> Contexts:
        """Contexts of a role, new at its first use."""
        if role not in self._contexts:
            self._contexts[role] = Contexts.even(CONTEXTS, MIXERS)
        return self._contexts[role]


def code_values(
    coder: Coder,
    models: Models,
    role: int,
    values: Integers,
    plan: Plan,
    limits: Range,
    *,
    kind: int = PLAIN,
    total: int = 0,
    given: Integers | None = None,
) -> None:
    """Code (N, K) values, K <= 4, in place: read by an encoder, written by a decoder.

    Parameters
    ----------
    total : what values of kind SUM add up to, or the length of quaternions.
    given : (N, K) predictions that replace the plan's.
    """
    contexts = models.of(role)
    _walk(
        coder.state,
        coder.data,
        contexts.chances,
        contexts.seen,
        contexts.weights,
        values,
        plan.order,
        plan.parents,
        plan.counts,
        plan.neighbours,
        plan.siblings,
        np.zeros((0, values.shape[1]), np.int64) if given is None else given,
        limits.low,
        limits.high,
        kind,
        total,
    )
    models.add(values)


@compiled
def _bucket(magnitude):  # type: ignore[no-untyped-def]
    bucket = 0
    while magnitude > 0 and bucket < BUCKETS - 1:
        magnitude >>= 1
        bucket += 1
    return bucket


@compiled
def square_root(value):  # type: ignore[no-untyped-def]
    """Largest integer whose square is at most an integer, 0 <= value < 2**50."""
    root = np.int64(np.sqrt(np.float64(value)))
    while root * root > value:
        root -= 1
    while (root + 1) * (root + 1) <= value:
        root += 1
    return root


@compiled
def _walk(  # type: ignore[no-untyped-def]
    state,
    data,
    chances,
    seen,
    weights,
    values,
    order,
    parents,
    counts,
    neighbours,
    siblings,
    given,
    low,
    high,
    kind,
    total,
):
    width = values.shape[1]
    residuals = np.zeros((len(values), width), dtype=np.int32)
    last = np.zeros(width, dtype=np.int64)
    was_same = 1
    previous = -1
    for place in range(len(order)):
        i = order[place]
        sibling = siblings[i]
        if sibling >= 0:
            same = 1
            for k in range(width):
                if values[sibling, k] != values[i, k]:
                    same = 0
            same = code_bit(state, data, chances, seen, _SAME + was_same, same)
            was_same = same
            if same:
                for k in range(width):
                    values[i, k] = values[sibling, k]
                previous = i
                continue
        count = counts[i]
        neighbour = neighbours[i]
        if len(given) > 0:
            sort = 2
        elif count > 0:
            sort = 2 if count == 1 else 3
        elif neighbour >= 0:
            sort = 1
        else:
            sort = 0
            neighbour = previous
        before = 0
        for k in range(width):
            if len(given) > 0:
                guess = given[i, k]
            elif count > 0:
                guess = np.int64(0)
                for j in range(count):
                    guess += values[parents[i, j, 0], k] + values[parents[i, j, 1], k] - values[parents[i, j, 2], k]
                guess = (2 * guess + count) // (2 * count)
            elif neighbour >= 0:
                guess = values[neighbour, k]
            else:
                guess = min(max(np.int64(0), low[k]), high[k])
            if kind != PLAIN and k == width - 1:
                if kind == SUM:
                    guess = np.int64(total)
                    for j in range(width - 1):
                        guess -= values[i, j]
                else:
                    square = np.int64(total) * total
                    for j in range(width - 1):
                        square -= values[i, j] * values[i, j]
                    root = square_root(max(square, np.int64(0)))
                    guess = -root if guess < 0 else root
            guess = min(max(guess, low[k]), high[k])
            around = 0
            if count > 0:
                around = max(abs(residuals[parents[i, 0, 0], k]), abs(residuals[parents[i, 0, 1], k]))
            elif neighbour >= 0:
                around = abs(residuals[neighbour, k])
            base = k * _ROWS
            a = (base + sort * BUCKETS + _bucket(last[k])) * INTEGER
            b = (base + _A + _bucket(around) * BUCKETS + _bucket(before)) * INTEGER
            c = (base + _A + _B + sort * BUCKETS + _bucket(before)) * INTEGER
            mixer = (k * CLASSES + sort) * INTEGER
            found = code_integer(state, data, chances, seen, weights, mixer, a, b, c, values[i, k] - guess)
            values[i, k] = min(max(guess + found, low[k]), high[k])
            residuals[i, k] = found
            last[k] = abs(found)
            before += abs(found)
        previous = i
