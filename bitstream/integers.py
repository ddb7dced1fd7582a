"""Signed integers of unknown range on top of the symbol coder.

A value v is split into a class, coded with an adaptive table, and raw bits:

- |v| <= 7: the class is v itself (15 classes), no raw bits;
- otherwise e = floor(log2 |v|), the class is 15 + 2 (e - 3) + (v < 0), and the low e bits follow raw.

That is a small alphabet that learns fast, at a cost of less than 0.1 bit a value for the uniform low bits.
Values span (-2**20, 2**20).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.bitstream.entropy import INCREMENT, MAX_RAW_BITS, AdaptiveTables, SymbolDecoder, SymbolEncoder

DIRECT = 7
MAX_EXPONENT = 19
CLASSES = 2 * DIRECT + 1 + 2 * (MAX_EXPONENT - 2)
SCALES = 32
"""Number of prior widths; see `prior`."""
STRENGTH = 24
"""How many symbols a prior is worth. Part of the format."""


def prior(scale: int) -> NDArray[np.int64]:
    """(CLASSES,) initial counts for values whose mean magnitude is about a = 2 ** (scale / 2 - 4).

    Two-sided geometric: the weight of magnitude m is proportional to r ** m with r = a / (1 + a). (For small
    a the mean is 2 a.) Computed in integers: part of the format.

    Parameters
    ----------
    scale : 0 (nearly always zero) to SCALES - 1.
    """
    if not 0 <= scale < SCALES:
        raise ValueError(f"scale must lie in [0, {SCALES})")
    spread = (1 << (scale >> 1)) * (362 if scale & 1 else 256) << 4
    ratio = (spread << 16) // ((1 << 16) + spread)
    weight = 1 << 60
    direct = []
    for _ in range(DIRECT + 1):
        direct.append(weight)
        weight = weight * ratio >> 16
    # Class e covers magnitudes 2^e to 2^(e+1) - 1, whose weights sum to w (1 - r^(2^e)) / (1 - r).
    power = ratio
    for _ in range(3):
        power = power * power >> 16
    classes = [direct[abs(v)] for v in range(-DIRECT, DIRECT + 1)]
    for _ in range(3, MAX_EXPONENT + 1):
        classes += [weight * ((1 << 16) - power) // ((1 << 16) - ratio)] * 2
        weight = weight * power >> 16
        power = power * power >> 16
    total = sum(classes)
    return np.array([1 + w * STRENGTH * INCREMENT // total for w in classes], dtype=np.int64)


class IntegerTables(AdaptiveTables):
    """Adaptive tables over value classes, one row per context.

    Parameters
    ----------
    scales : one prior scale per context, see `prior`; choose with `best_scale` and store it in the file.
    """

    def __init__(self, scales: ArrayLike) -> None:
        super().__init__(np.stack([prior(int(s)) for s in np.atleast_1d(np.asarray(scales))]))


def best_scale(values: NDArray[np.integer]) -> int:
    """Prior scale with the shortest code for the values, if coded without adaptation."""
    if len(values) == 0:
        return 0
    histogram = np.bincount(_classes(np.asarray(values, dtype=np.int64))[0], minlength=CLASSES)
    costs = []
    for scale in range(SCALES):
        counts = prior(scale)
        costs.append(float(-(histogram * np.log2(counts / counts.sum())).sum()))
    # Only the encoder runs this; the choice is written in the file.
    return int(np.argmin(costs))


def encode_integers(encoder: SymbolEncoder, values: ArrayLike, tables: IntegerTables, context: ArrayLike = 0) -> None:
    """Append (N,) signed integers with |v| < 2**20, each in its (N,) or scalar context."""
    array = np.asarray(values).reshape(-1)
    if len(array) and array.dtype.kind not in "ui":
        raise TypeError(f"values must be integers, not {array.dtype}")
    end = 1 << (MAX_EXPONENT + 1)
    # Not by magnitude: the smallest 64-bit integer has none.
    if len(array) and not -end < array.min() <= array.max() < end:
        raise ValueError("values must lie in (-2**20, 2**20)")
    classes, exponents, low = _classes(array.astype(np.int64))
    encoder.encode(classes, tables, context)
    for exponent in np.unique(exponents[exponents > 0]):
        part = low[exponents == exponent]
        for shift in range(0, int(exponent), MAX_RAW_BITS):
            bits = min(MAX_RAW_BITS, int(exponent) - shift)
            encoder.encode_raw((part >> shift) & ((1 << bits) - 1), bits)


def decode_integers(
    decoder: SymbolDecoder, count: int, tables: IntegerTables, context: ArrayLike = 0
) -> NDArray[np.int64]:
    """Next `count` integers; inverse of `encode_integers`."""
    classes = decoder.decode(count, tables, context).astype(np.int64)
    values = classes - DIRECT
    coded = classes - (2 * DIRECT + 1)
    exponents = np.where(coded >= 0, (coded >> 1) + 3, 0)
    for exponent in np.unique(exponents[exponents > 0]):
        chosen = exponents == exponent
        low = np.zeros(int(chosen.sum()), dtype=np.int64)
        for shift in range(0, int(exponent), MAX_RAW_BITS):
            bits = min(MAX_RAW_BITS, int(exponent) - shift)
            low |= decoder.decode_raw(len(low), bits).astype(np.int64) << shift
        magnitude = (1 << int(exponent)) | low
        values[chosen] = np.where(coded[chosen] & 1, -magnitude, magnitude)
    return values


def _classes(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Class, exponent (0 for direct values) and low bits of each value."""
    magnitudes = np.abs(values)
    exponents = np.zeros_like(magnitudes)
    for exponent in range(3, MAX_EXPONENT + 1):
        exponents[magnitudes >= 1 << exponent] = exponent
    classes = np.where(exponents > 0, 2 * DIRECT + 1 + 2 * (exponents - 3) + (values < 0), values + DIRECT)
    low = np.where(exponents > 0, magnitudes - (np.int64(1) << exponents), 0)
    return classes, exponents, low
