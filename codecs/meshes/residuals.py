"""Decisions, and one signed integer as several: zero, sign, magnitude bucket, offset in the bucket.

Buckets hold 1, 2, 3, 4, 5-6, 7-8, 9-12, 13-16, 17-24, ...: two an octave.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from squeeze3d.bitstream.binary import DECODE, MODE, code_bit, code_blended, code_raw
from squeeze3d.codecs.meshes.lattice import length_of
from squeeze3d.codecs.meshes.layout import FIRST, OFFSETS, SIGN, UNARY, ZERO
from squeeze3d.compiled import compiled

LAST_BUCKET = 36
"""Bucket of magnitudes that no coordinate of 18 bits leaves."""


class Stream(NamedTuple):
    """What decisions are coded with."""

    state: Any
    data: Any
    chances: Any
    seen: Any
    weights: Any
    places: Any
    """(INPUTS,) contexts of the decision at hand."""
    tally: Any
    """(CONTEXTS, 2) how often each context saw a 0 and a 1, to fit priors; usually empty."""


@compiled
def decide(stream, mixer, offset, bit):  # type: ignore[no-untyped-def]
    """Code one bit in the contexts `stream.places`, each `offset` further; returns it."""
    bit = code_blended(
        stream.state, stream.data, stream.chances, stream.seen, stream.weights, mixer, stream.places, offset, bit
    )
    if len(stream.tally):
        for place in stream.places:
            stream.tally[place + offset, bit] += 1
    return bit


@compiled
def decide_alone(stream, place, bit):  # type: ignore[no-untyped-def]
    """Code one bit in one context; returns it."""
    bit = code_bit(stream.state, stream.data, stream.chances, stream.seen, place, bit)
    if len(stream.tally):
        stream.tally[place, bit] += 1
    return bit


@compiled
def bucket_of(magnitude):  # type: ignore[no-untyped-def]
    """Bucket of an integer >= 1."""
    if magnitude <= 4:
        return magnitude - 1
    octave = length_of(magnitude - 1) - 2
    return 2 + 2 * octave + ((magnitude - 1) >> octave & 1)


@compiled
def code_residual(stream, mixer, value):  # type: ignore[no-untyped-def]
    """Code an integer, |v| < 2**19, in the contexts `stream.places`; returns it.

    `mixer` is the first of `SLOTS` rows of weights.
    """
    if decide(stream, mixer + ZERO, np.int64(ZERO), 1 if value else 0) == 0:
        return 0
    negative = decide(stream, mixer + SIGN, np.int64(SIGN), 1 if value < 0 else 0)
    magnitude = abs(value)
    wanted = bucket_of(magnitude) if stream.state[MODE] != DECODE else 0
    bucket = 0
    while bucket < LAST_BUCKET:
        at = FIRST + min(bucket, UNARY - 1)
        if decide(stream, mixer + at, at, 1 if wanted > bucket else 0) == 0:
            break
        bucket += 1
    if bucket < 4:
        magnitude = bucket + 1
    else:
        octave = (bucket - 2) >> 1
        base = (1 << (octave + 1)) + ((bucket & 1) << octave) + 1
        rest = magnitude - base
        top = decide_alone(stream, OFFSETS + min(bucket, 2 * UNARY - 1), rest >> (octave - 1) & 1)
        low = code_raw(stream.state, stream.data, octave - 1, rest & ((1 << (octave - 1)) - 1))
        magnitude = base + (top << (octave - 1)) + low
    return -magnitude if negative else magnitude
