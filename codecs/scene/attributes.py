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
    BinaryMeter,
    Contexts,
    code_bit,
    code_integer,
)
from squeeze3d.codecs.scene.adjacency import Integers, Plan
from squeeze3d.compiled import compiled

PLAIN, SUM, QUATERNION, MAPPING = 0, 1, 2, 3
"""Kinds of values. SUM: the last component is what the others leave of a total. QUATERNION: its square is. MAPPING:
texture coordinates, in which triangles are taken to have the shape that they have in space."""
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

Coder = BinaryEncoder | BinaryDecoder | BinaryMeter


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
    cells: Integers | None = None,
) -> None:
    """Code (N, K) values, K <= 4, in place: read by an encoder, written by a decoder.

    Parameters
    ----------
    total : what values of kind SUM add up to, or the length of quaternions.
    given : (N, K) predictions that replace the plan's.
    cells : (N, 3) positions, for values of kind MAPPING.
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
        np.zeros((0, 3), np.int64) if cells is None else cells,
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
def _side(values, a, b, c):  # type: ignore[no-untyped-def]
    """Side of the line from a to b on which c is in texture coordinates: 1, -1, or 0 on it."""
    u, v = values[b, 0] - values[a, 0], values[b, 1] - values[a, 1]
    s, t = values[c, 0] - values[a, 0], values[c, 1] - values[a, 1]
    area = u * t - v * s
    return 1 if area > 0 else (-1 if area < 0 else 0)


@compiled
def _mapped(cells, values, i, a, b, side):  # type: ignore[no-untyped-def]
    """Texture coordinates of vertex i if triangle (i, a, b) has the same angles in them as in space."""
    ex, ey, ez = cells[b, 0] - cells[a, 0], cells[b, 1] - cells[a, 1], cells[b, 2] - cells[a, 2]
    fx, fy, fz = cells[i, 0] - cells[a, 0], cells[i, 1] - cells[a, 1], cells[i, 2] - cells[a, 2]
    longest = max(max(abs(ex), abs(ey), abs(ez)), max(abs(fx), abs(fy), abs(fz)))
    while longest >= 1 << 11:  # Squares of products have to stay within 50 bits.
        ex, ey, ez, fx, fy, fz = ex >> 1, ey >> 1, ez >> 1, fx >> 1, fy >> 1, fz >> 1
        longest >>= 1
    square = ex * ex + ey * ey + ez * ez
    u, v = values[b, 0] - values[a, 0], values[b, 1] - values[a, 1]
    if square == 0:
        return values[a, 0] + u // 2, values[a, 1] + v // 2
    along = ex * fx + ey * fy + ez * fz
    across = side * square_root(square * (fx * fx + fy * fy + fz * fz) - along * along)
    return (
        values[a, 0] + (2 * (along * u - across * v) + square) // (2 * square),
        values[a, 1] + (2 * (along * v + across * u) + square) // (2 * square),
    )


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
    cells,
    low,
    high,
    kind,
    total,
):
    width = values.shape[1]
    residuals = np.zeros((len(values), width), dtype=np.int32)
    last = np.zeros(width, dtype=np.int64)
    guesses = np.zeros(width, dtype=np.int64)
    was_same = 1
    turn = 1
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
        for k in range(width):
            if len(given) > 0:
                guesses[k] = given[i, k]
            elif count > 0:
                guesses[k] = 0
                if kind != MAPPING:
                    for j in range(count):
                        a, b, c = parents[i, j, 0], parents[i, j, 1], parents[i, j, 2]
                        guesses[k] += values[a, k] + values[b, k] - values[c, k]
            elif neighbour >= 0:
                guesses[k] = values[neighbour, k]
            else:
                guesses[k] = 0
        if count > 0 and len(given) == 0:
            if kind == MAPPING:
                for j in range(count):
                    a, b, c = parents[i, j, 0], parents[i, j, 1], parents[i, j, 2]
                    side = turn
                    if c >= 0:
                        beyond = _side(values, a, b, c)
                        if beyond != 0:
                            side = -beyond
                    u, v = _mapped(cells, values, i, a, b, side)
                    guesses[0] += u
                    guesses[1] += v
            for k in range(width):
                guesses[k] = (2 * guesses[k] + count) // (2 * count)
        before = 0
        for k in range(width):
            guess = guesses[k]
            if kind in (SUM, QUATERNION) and k == width - 1:
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
        if kind == MAPPING and count > 0:
            side = _side(values, parents[i, 0, 0], parents[i, 0, 1], i)
            if side != 0:
                turn = side
        previous = i
