"""Quantised coefficients and their integer tables: what a symbol costs, which symbol to send, how it is written.

```text
s ─► c = (s + half) >> shift ─► |c| <= m: table[row][c + m]     otherwise: ESCAPE, then exponent, sign, low bits
     └─ low `shift` bits, raw
```

A coefficient with a wide distribution has a `shift`: its low bits are as good as uniform, so they go raw, and a bank of
small tables serves standard deviations from a tenth of a step to millions of steps. Escapes reach every integer below
2**30, so a strange code costs bytes and is never clipped.

Everything that decides how bits are read is an integer (CODEC_SPEC.md, section "Codes"). Costs in bits are floats;
encoders and reports use them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import MAX_RAW_BITS, TOTAL, SymbolDecoder, SymbolEncoder, Tables, frequencies
from squeeze3d.errors import FormatError

MAX_SYMBOL = (1 << 30) - 1
"""Largest magnitude of a symbol. Part of the format."""
EXPONENT_BITS = 5
"""Raw bits of an escape's exponent. Part of the format."""
MAX_SHIFT = 24

SLOPE = math.log(2.0) / 6.0
"""Squared error, in steps, that a bit is worth at high rate.

With D = step**2 / 12 and R = h - log2(step) for each coefficient, -dD/dR = step**2 * ln(2) / 6.
"""


def costs_of(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """(T, K) bits of each symbol of each table, from the frequencies the range coder really uses."""
    return np.log2(TOTAL) - np.log2(frequencies(counts))


def limit_of(alphabet: int) -> int:
    """Largest coarse magnitude m with a symbol of its own; the alphabet is -m ... m and ESCAPE."""
    return alphabet // 2 - 1


def split(symbols: NDArray[np.int64], shifts: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Coarse values and raw low bits, such that `symbols = (coarse << shifts) + low - half`."""
    moved = symbols + _half(shifts)
    coarse = moved >> shifts
    return coarse, moved - (coarse << shifts)


def indices(coarse: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Column of a table for each coarse value; ESCAPE is the last."""
    return np.where(np.abs(coarse) <= limit, coarse + limit, 2 * limit + 1)


def price(
    costs: NDArray[np.float64], symbols: NDArray[np.int64], rows: NDArray[np.integer], shifts: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(..., k) bits of (..., k) symbols, whose coefficient j uses table `rows[j]` and `shifts[j]` raw bits."""
    limit = limit_of(costs.shape[1])
    shifts = np.asarray(shifts, dtype=np.int64)
    coarse = split(symbols, shifts)[0]
    bits = costs[rows, indices(coarse, limit)] + shifts
    beyond = np.abs(coarse) - limit
    return np.where(beyond > 0, bits + EXPONENT_BITS + 1 + _exponents(np.maximum(beyond, 1)), bits)


def choose(
    costs: NDArray[np.float64],
    values: NDArray[np.float64],
    rows: NDArray[np.integer],
    shifts: NDArray[np.integer],
    weight: float,
) -> NDArray[np.int64]:
    """Symbols for (..., k) coefficients in units of their steps, best in J = (value - symbol)**2 + lambda * bits.

    lambda = `weight` * `SLOPE`. The candidates are the nearest integer, its neighbour on the other side of the value,
    the integer next to the nearest one towards zero, and zero; the nearest one wins ties. Each symbol is chosen on its
    own, which is optimal because tables do not adapt. `weight` 0 is plain rounding.
    """
    nearest = np.rint(values)
    best = nearest.astype(np.int64)
    if weight == 0:
        return best
    scale = weight * SLOPE
    lowest = (values - nearest) ** 2 + scale * price(costs, best, rows, shifts)
    for other in (nearest + np.sign(values - nearest), nearest - np.sign(nearest), np.zeros_like(nearest)):
        symbols = other.astype(np.int64)
        total = (values - other) ** 2 + scale * price(costs, symbols, rows, shifts)
        best = np.where(total < lowest, symbols, best)
        lowest = np.minimum(total, lowest)
    return best


def encode_symbols(
    encoder: SymbolEncoder,
    symbols: NDArray[np.int64],
    tables: Tables,
    rows: NDArray[np.integer],
    shifts: NDArray[np.integer],
) -> None:
    """Append (k,) symbols, each with the table its row names."""
    limit = limit_of(tables.alphabet)
    shifts = np.asarray(shifts, dtype=np.int64)
    coarse, low = split(symbols, shifts)
    encoder.encode(indices(coarse, limit), tables, rows)
    escaped = coarse[np.abs(coarse) > limit]
    beyond = np.abs(escaped) - limit
    exponents = _exponents(beyond)
    encoder.encode_raw(exponents, EXPONENT_BITS)
    encoder.encode_raw((escaped < 0).astype(np.int64), 1)
    for exponent in np.unique(exponents):
        part = beyond[exponents == exponent]
        _encode_wide(encoder, part - (np.int64(1) << exponent), int(exponent))
    for shift in np.unique(shifts[shifts > 0]):
        _encode_wide(encoder, low[shifts == shift], int(shift))


def decode_symbols(
    decoder: SymbolDecoder, tables: Tables, rows: NDArray[np.integer], shifts: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Next (k,) symbols; inverse of `encode_symbols`.

    Hostile streams give symbols with magnitudes up to `MAX_SYMBOL`, or raise FormatError. Work and memory depend on k
    and the tables alone.
    """
    limit = limit_of(tables.alphabet)
    shifts = np.asarray(shifts, dtype=np.int64)
    coarse = decoder.decode(len(rows), tables, rows).astype(np.int64) - limit
    escaped = np.flatnonzero(coarse > limit)
    exponents = decoder.decode_raw(len(escaped), EXPONENT_BITS).astype(np.int64)
    negative = decoder.decode_raw(len(escaped), 1).astype(bool)
    if len(exponents) and exponents.max() >= MAX_SYMBOL.bit_length():
        raise FormatError("a number of the code is out of range", hint="the file is damaged")
    beyond = np.int64(1) << exponents
    for exponent in np.unique(exponents):
        chosen = exponents == exponent
        beyond[chosen] += _decode_wide(decoder, int(chosen.sum()), int(exponent))
    coarse[escaped] = np.where(negative, -(limit + beyond), limit + beyond)
    symbols = (coarse << shifts) - _half(shifts)
    for shift in np.unique(shifts[shifts > 0]):
        chosen = shifts == shift
        symbols[chosen] += _decode_wide(decoder, int(chosen.sum()), int(shift))
    if len(symbols) and np.abs(symbols).max() > MAX_SYMBOL:
        raise FormatError("a number of the code is out of range", hint="the file is damaged")
    return symbols


def _half(shifts: NDArray[np.integer]) -> NDArray[np.int64]:
    """What centres the coarse value 0 on the symbol 0."""
    return (np.int64(1) << np.asarray(shifts, dtype=np.int64)) >> 1


def _exponents(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(log2 v) of positive integers below 2**53."""
    # frexp reads the exponent of the float: exact, unlike a logarithm.
    return np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1


def _encode_wide(encoder: SymbolEncoder, values: NDArray[np.int64], bits: int) -> None:
    for start in range(0, bits, MAX_RAW_BITS):
        count = min(MAX_RAW_BITS, bits - start)
        encoder.encode_raw((values >> start) & ((1 << count) - 1), count)


def _decode_wide(decoder: SymbolDecoder, count: int, bits: int) -> NDArray[np.int64]:
    values = np.zeros(count, dtype=np.int64)
    for start in range(0, bits, MAX_RAW_BITS):
        values |= decoder.decode_raw(count, min(MAX_RAW_BITS, bits - start)).astype(np.int64) << start
    return values
