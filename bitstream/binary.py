"""Binary range coding with adaptive, mixed contexts, for compiled coders that walk over geometry.

```text
            contexts ─► probabilities ─► mixed in the logistic domain ─► range coder ─► bytes
               ▲                                                             │
               └───────────────────── adapt to the bit ◄─────────────────────┘
```

One function, `code_mixed`, encodes, decodes or measures, as the mode in its state says: a coder is written once as a
walk that calls it for every decision, and its decoder cannot drift from its encoder. Everything is integer arithmetic;
the tables below are part of the format, and so are the constants.

Probabilities have 22 bits and move towards each bit by 1 / (n + 1.5), where n counts the bits seen so far up to
`LIMIT`, so that few bits teach a lot (Howard & Vitter 1992). Mixing follows Mattern (2012) and the PAQ family: inputs
are ln(p / (1 - p)) in units of 1/256, their weighted sum is turned back into a probability, and each weight moves along
the gradient of the coding cost. The range coder is byte-oriented with carry propagation (Martin 1979).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.errors import FormatError

MEASURE, ENCODE, DECODE = 0, 1, 2
ONE = 1 << 22
"""A probability of 1."""
LIMIT = 126
"""Bits after which a context adapts no more slowly."""
LOGIT_LIMIT = 2047
UNIT = 1 << 16
"""A weight of 1."""
_LEARNING = 10
"""Speed of the mixer, in 1/16 of what the PAQ family uses at 12 bits."""

MODE, LOW, RANGE, CACHE, PENDING, PLACE, CODE, COST, OVERFLOW = range(9)
_STATE = 9


def _squash() -> NDArray[np.int32]:
    """(4095,) probabilities with 16 bits of the logits -2047 to 2047, in units of 1/256."""
    logits = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1)
    return np.array([round(65536 / (1 + math.exp(-x / 256))) for x in logits.tolist()], dtype=np.int32)


def _stretch() -> NDArray[np.int32]:
    """(4096,) logits of probabilities (i + 0.5) / 4096."""
    values = [round(256 * math.log((i + 0.5) / (4095.5 - i))) for i in range(4096)]
    return np.clip(np.array(values, dtype=np.int32), -LOGIT_LIMIT, LOGIT_LIMIT)


def _costs() -> NDArray[np.int64]:
    """(4097,) cost of an event of probability i / 4096, in 2**-16 bit."""
    return np.array([round(-65536 * math.log2(max(i, 0.5) / 4096)) for i in range(4097)], dtype=np.int64)


SQUASH, STRETCH = _squash(), _stretch()
_COSTS = _costs()
RATES = np.array([round(65536 / (n + 1.5)) for n in range(LIMIT + 1)], dtype=np.int64)


@compiled
def _shift(state, data):  # type: ignore[no-untyped-def]
    """Move the top byte of `low` out; a run of 255s waits for a carry."""
    low = state[LOW]
    if low < 0xFF000000 or low >= 1 << 32:
        carry = low >> 32
        value = state[CACHE]
        while state[PENDING] > 0:
            place = state[PLACE]
            if place >= 0:
                if place < len(data):
                    data[place] = (value + carry) & 0xFF
                else:
                    state[OVERFLOW] = 1
            state[PLACE] = place + 1
            value = 0xFF
            state[PENDING] -= 1
        state[CACHE] = (low >> 24) & 0xFF
    state[PENDING] += 1
    state[LOW] = (low & 0x00FFFFFF) << 8


@compiled
def _code(state, data, p, bit):  # type: ignore[no-untyped-def]
    """Code one bit whose probability of being 1 is p / 65536, 0 < p < 65536; returns it."""
    if state[MODE] == MEASURE:
        state[COST] += _COSTS[(p if bit else 65536 - p) >> 4]
        return bit
    bound = (state[RANGE] >> 16) * p
    if state[MODE] == ENCODE:
        if bit:
            state[RANGE] = bound
        else:
            state[LOW] += bound
            state[RANGE] -= bound
        while state[RANGE] < 1 << 24:
            state[RANGE] <<= 8
            _shift(state, data)
        return bit
    if state[CODE] < bound:
        bit = 1
        state[RANGE] = bound
    else:
        bit = 0
        state[CODE] -= bound
        state[RANGE] -= bound
    while state[RANGE] < 1 << 24:
        state[RANGE] <<= 8
        place = state[PLACE]
        state[CODE] = (state[CODE] << 8) | (data[place] if place < len(data) else 0)
        state[PLACE] = place + 1
    return bit


@compiled
def _adapt(chances, seen, context, bit):  # type: ignore[no-untyped-def]
    target = ONE if bit else 0
    count = seen[context]
    chances[context] += ((target - chances[context]) * RATES[count]) >> 16
    if count < LIMIT:
        seen[context] = count + 1


@compiled
def code_raw(state, data, bits, value):  # type: ignore[no-untyped-def]
    """Code an integer of `bits` bits without a model; returns it."""
    result = 0
    for place in range(bits - 1, -1, -1):
        result = (result << 1) | _code(state, data, 32768, (value >> place) & 1)
    return result


@compiled
def code_bit(state, data, chances, seen, context, bit):  # type: ignore[no-untyped-def]
    """Code one bit in one context; returns it. `bit` is ignored by a decoder."""
    p = min(max(chances[context] >> 6, 24), 65536 - 24)
    bit = _code(state, data, p, bit)
    _adapt(chances, seen, context, bit)
    return bit


@compiled
def code_mixed(state, data, chances, seen, weights, mixer, a, b, c, bit):  # type: ignore[no-untyped-def]
    """Code one bit with three contexts, mixed with row `mixer` of the (M, 3) weights; returns it."""
    x = STRETCH[chances[a] >> 10] if chances[a] < ONE else LOGIT_LIMIT
    y = STRETCH[chances[b] >> 10] if chances[b] < ONE else LOGIT_LIMIT
    z = STRETCH[chances[c] >> 10] if chances[c] < ONE else LOGIT_LIMIT
    dot = (weights[mixer, 0] * x + weights[mixer, 1] * y + weights[mixer, 2] * z) >> 16
    dot = min(max(dot, -LOGIT_LIMIT), LOGIT_LIMIT)
    p = np.int64(SQUASH[dot + LOGIT_LIMIT])
    bit = _code(state, data, p, bit)
    error = ((bit << 16) - p) * _LEARNING
    weights[mixer, 0] += (x * error + (1 << 19)) >> 20
    weights[mixer, 1] += (y * error + (1 << 19)) >> 20
    weights[mixer, 2] += (z * error + (1 << 19)) >> 20
    _adapt(chances, seen, a, bit)
    _adapt(chances, seen, b, bit)
    _adapt(chances, seen, c, bit)
    return bit


@compiled
def code_blended(state, data, chances, seen, weights, mixer, places, offset, bit):  # type: ignore[no-untyped-def]
    """Code one bit with as many contexts as (N,) `places` has, each `offset` further; returns it.

    Like `code_mixed` with row `mixer` of (M, N) weights.
    """
    dot = 0
    for k in range(len(places)):
        dot += weights[mixer, k] * STRETCH[min(chances[places[k] + offset] >> 10, 4095)]
    dot = min(max(dot >> 16, -LOGIT_LIMIT), LOGIT_LIMIT)
    p = np.int64(SQUASH[dot + LOGIT_LIMIT])
    bit = _code(state, data, p, bit)
    error = ((bit << 16) - p) * _LEARNING
    for k in range(len(places)):
        context = places[k] + offset
        x = STRETCH[min(chances[context] >> 10, 4095)]
        weights[mixer, k] += (x * error + (1 << 19)) >> 20
        _adapt(chances, seen, context, bit)
    return bit


UNARY = 14
"""Magnitudes up to this have a decision each."""
ESCAPE = 20
"""Decisions of the exponent of what is left of larger ones."""
INTEGER = 2 + UNARY + ESCAPE
"""Contexts that an integer takes."""


@compiled
def code_integer(state, data, chances, seen, weights, mixer, a, b, c, value):  # type: ignore[no-untyped-def]
    """Code a signed integer, |v| < 2**20; returns it.

    `a`, `b` and `c` are the first of `INTEGER` contexts each, `mixer` the first of `INTEGER` rows of weights.
    Decisions: is it zero, is it negative, is it larger than 1, 2, ...; from `UNARY` + 1 on, an Exp-Golomb code.
    """
    magnitude = abs(value)
    if code_mixed(state, data, chances, seen, weights, mixer, a, b, c, 1 if magnitude else 0) == 0:
        return 0
    negative = code_mixed(state, data, chances, seen, weights, mixer + 1, a + 1, b + 1, c + 1, 1 if value < 0 else 0)
    known = 1
    while known <= UNARY:
        at = 1 + known
        more = code_mixed(
            state, data, chances, seen, weights, mixer + at, a + at, b + at, c + at, 1 if magnitude > known else 0
        )
        if more == 0:
            return -known if negative else known
        known += 1
    rest = magnitude - known + 1
    exponent = 0
    while exponent < ESCAPE - 1:
        at = 2 + UNARY + exponent
        more = code_bit(state, data, chances, seen, a + at, 1 if rest >> (exponent + 1) else 0)
        if more == 0:
            break
        exponent += 1
    rest = (1 << exponent) + code_raw(state, data, exponent, rest - (1 << exponent) if state[MODE] != DECODE else 0)
    magnitude = rest + known - 1
    return -magnitude if negative else magnitude


class Contexts:
    """Adaptive contexts and mixing weights of one stream.

    Parameters
    ----------
    chances : (C,) prior probabilities of a 1, of `ONE`.
    seen : (C,) how many bits each prior is worth, 0 to `LIMIT`.
    weights : (M, 3) prior weights of mixers, of `UNIT`; (M, N) for `code_blended`.
    """

    def __init__(self, chances: NDArray[np.integer], seen: NDArray[np.integer], weights: NDArray[np.integer]) -> None:
        self.chances = np.array(chances, dtype=np.int64)
        self.seen = np.array(seen, dtype=np.int64)
        self.weights = np.array(weights, dtype=np.int64)

    @classmethod
    def even(cls, count: int, mixers: int, inputs: int = 3) -> Contexts:
        """Contexts that know nothing yet."""
        weights = np.full((mixers, inputs), UNIT * 6 // (5 * inputs))
        return cls(np.full(count, ONE // 2), np.zeros(count, np.int64), weights)

    def copy(self) -> Contexts:
        """The same state, to go on from twice."""
        return Contexts(self.chances, self.seen, self.weights)


class BinaryEncoder:
    """Holds the state that compiled coders write with; `finish` returns the bytes.

    ```python
    coder = BinaryEncoder(capacity=4096)
    walk(coder.state, coder.data, contexts.chances, contexts.seen, contexts.weights, ...)
    data = coder.finish()
    ```

    Parameters
    ----------
    capacity : bytes that the stream may take at most; `finish` raises OverflowError beyond.
    """

    def __init__(self, capacity: int) -> None:
        self.state = np.zeros(_STATE, dtype=np.int64)
        self.state[MODE], self.state[RANGE], self.state[PENDING], self.state[PLACE] = ENCODE, 0xFFFFFFFF, 1, -1
        self.data = np.zeros(capacity + 16, dtype=np.uint8)

    def finish(self) -> bytes:
        """Close the stream; the shortest bytes that decode to it, without zeros at the end."""
        low, size = int(self.state[LOW]), int(self.state[RANGE])
        for zeros in range(32, -1, -1):
            value = -(-low >> zeros) << zeros
            if value < low + size:
                break
        self.state[LOW] = value
        for _ in range(5):
            _shift(self.state, self.data)
        if self.state[OVERFLOW]:
            raise OverflowError("stream is larger than its buffer")
        return self.data[: int(self.state[PLACE])].tobytes().rstrip(b"\0")


class BinaryDecoder:
    """Holds the state that compiled coders read with.

    Any bytes decode to some bits, but for those that begin with four times 255: FormatError.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] == b"\xff\xff\xff\xff":
            raise FormatError("symbol stream begins as none does")
        self.state = np.zeros(_STATE, dtype=np.int64)
        self.state[MODE], self.state[RANGE], self.state[PLACE] = DECODE, 0xFFFFFFFF, 4
        self.data = np.frombuffer(data, dtype=np.uint8).copy()
        self.state[CODE] = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def finish(self) -> None:
        """Raise FormatError if the stream has bytes that were not read, other than zeros."""
        if self.data[int(self.state[PLACE]) :].any():
            raise FormatError("symbol stream goes on after its last symbol")


class BinaryMeter:
    """Holds the state of coders that only measure."""

    def __init__(self) -> None:
        self.state = np.zeros(_STATE, dtype=np.int64)
        self.data = np.zeros(0, dtype=np.uint8)

    @property
    def bits(self) -> float:
        """Cost of what was coded so far."""
        return float(self.state[COST]) / 65536
