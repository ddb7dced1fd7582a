"""A slow, obvious decoder of codes, written from `CODEC_SPEC.md`; it shares no code with `squeeze3d.mapping`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_range_decoder import Decoder, Refused, frequencies


def low_bits(decoder: Decoder, count: int, bits: int) -> list[int]:
    """Raw values of any width: all low halves, then all upper ones."""
    values = [decoder.raw(min(bits, 16)) for _ in range(count)]
    if bits > 16:
        values = [value + (decoder.raw(bits - 16) << 16) for value in values]
    return values


def code_symbols(decoder: Decoder, model: Any, rate: int) -> list[int]:
    """Symbols of one code, the gain's last."""
    m = len(model.counts[0]) // 2 - 1
    tables = [frequencies([int(count) for count in row]) for row in model.counts]
    rows = [int(row) for row in model.rows[rate]]
    live = [j for j, row in enumerate(rows) if row >= 0]
    shifts = {j: int(model.shifts[rate][j]) for j in live}
    q = {j: decoder.symbol(tables[rows[j]]) - m for j in live}
    escaped = [j for j in live if q[j] == m + 1]
    exponents = {j: decoder.raw(5) for j in escaped}
    signs = {j: decoder.raw(1) for j in escaped}
    if any(e > 29 for e in exponents.values()):
        raise Refused
    for e in range(30):
        members = [j for j in escaped if exponents[j] == e]
        extra: Sequence[int] = [0] * len(members) if e == 0 else low_bits(decoder, len(members), e)
        for j, v in zip(members, extra, strict=True):
            q[j] = (m + 2**e + v) * (-1 if signs[j] else 1)
    symbols = [0] * len(rows)
    for t in range(25):
        members = [j for j in live if shifts[j] == t]
        extra = [0] * len(members) if t == 0 else low_bits(decoder, len(members), t)
        for j, w in zip(members, extra, strict=True):
            symbols[j] = q[j] * 2**t + w - 2**t // 2
    if model.gain:
        symbols.append(decoder.raw(8) - 128)
    if any(abs(s) >= 2**30 for s in symbols):
        raise Refused
    return symbols
