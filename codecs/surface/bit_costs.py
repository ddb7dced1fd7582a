"""What an integer would cost next in its contexts, and which one near a wanted number is worth it. Encoders only."""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.binary import LOGIT_LIMIT, SQUASH, STRETCH, UNARY
from squeeze3d.compiled import compiled


@compiled
def _bits(chances, weights, mixer, a, b, c, bit):  # type: ignore[no-untyped-def]
    """Of one decision, as `code_mixed` would code it."""
    dot = 0
    for place, context in enumerate((a, b, c)):
        dot += weights[mixer, place] * STRETCH[min(chances[context] >> 10, 4095)]
    p = np.int64(SQUASH[min(max(dot >> 16, -LOGIT_LIMIT), LOGIT_LIMIT) + LOGIT_LIMIT])
    return 16 - np.log2(p if bit else 65536 - p)


@compiled
def cheapest(chances, weights, mixer, a, b, c, wanted, price):  # type: ignore[no-untyped-def]
    """The integer v with the least (v - wanted)**2 + price * bits: of 0, and of the nearest one and two towards 0.

    Contexts are those of `code_integer`. Integers beyond `UNARY` are rounded: they are few.
    """
    size = abs(wanted)
    nearest = int(np.floor(size + 0.5))
    sign = -1 if wanted < 0 else 1
    if nearest == 0 or nearest > UNARY:
        return sign * nearest
    best = 0
    least = size * size + price * _bits(chances, weights, mixer, a, b, c, 0)
    # Of being other than 0, of the sign, and of being larger than everything before `value`.
    bits = _bits(chances, weights, mixer, a, b, c, 1)
    bits += _bits(chances, weights, mixer + 1, a + 1, b + 1, c + 1, 1 if wanted < 0 else 0)
    for value in range(1, nearest + 1):
        at = 1 + value
        if value >= nearest - 2:
            last = bits + _bits(chances, weights, mixer + at, a + at, b + at, c + at, 0)
            total = (value - size) ** 2 + price * last
            if total < least:
                best, least = value, total
        bits += _bits(chances, weights, mixer + at, a + at, b + at, c + at, 1)
    return sign * best
