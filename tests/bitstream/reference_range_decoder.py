"""A slow, obvious range decoder, written from `CODEC_SPEC.md` with integers only.

It shares no code with `squeeze3d.bitstream`; the tests compare the two.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

TOTAL = 2**24
WRAP = 2**64
CLASSES = 49


class Refused(Exception):
    """The bytes are not a range code."""


def frequencies(counts: Sequence[int]) -> list[int]:
    """Frequencies >= 1 with the sum 2**24."""
    size = len(counts)
    if sum(counts) == 0:
        counts = [1] * size
    total = sum(counts)
    result = [1 + count * (TOTAL - size) // total for count in counts]
    result[counts.index(max(counts))] += TOTAL - sum(result)
    return result


class Adaptive:
    """Counts that learn, and the frequencies in force."""

    def __init__(self, prior: Sequence[Sequence[int]]) -> None:
        self.counts = [list(row) for row in prior]
        self.seen = 0
        self.next = 1
        self._refresh()

    def _refresh(self) -> None:
        self.tables = [frequencies(row) for row in self.counts]

    def observe(self, row: int, symbol: int) -> None:
        self.counts[row][symbol] += 256
        self.seen += 1
        if self.seen == self.next:
            self.next = self.seen + max(1, self.seen // 16)
            for each in self.counts:
                while sum(each) > 2**22:
                    each[:] = [(count + 1) // 2 for count in each]
            self._refresh()


class Decoder:
    """Symbols of one stream."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.lower = 0
        self.range = WRAP - 1
        self.point = self._word() << 32 | self._word()
        self.hash = 0

    def _word(self) -> int:
        word = self.data[self.position : self.position + 4].ljust(4, b"\0")
        self.position += 4
        return int.from_bytes(word, "big")

    def symbol(self, table: Sequence[int]) -> int:
        """Next symbol, coded with frequencies that sum to 2**24."""
        if len(table) == 1:
            return self._hashed(0)
        return self._hashed(self._step(table))

    def raw(self, bits: int) -> int:
        """Next value of `bits` raw bits."""
        if bits == 0:
            return self._hashed(0)
        return self._hashed(self._step([TOTAL >> bits] * (1 << bits)))

    def adaptive(self, tables: Adaptive, row: int = 0) -> int:
        """Next symbol, coded with and learnt by a row of adaptive tables."""
        symbol = self.symbol(tables.tables[row])
        tables.observe(row, symbol)
        return symbol

    def hash_is_right(self) -> bool:
        """Whether the 16 bits behind the last symbol are the hash of all symbols."""
        expected = self.hash & 0xFFFF
        return self._step([TOTAL >> 16] * (1 << 16)) == expected

    def _hashed(self, symbol: int) -> int:
        self.hash = zlib.crc32(symbol.to_bytes(4, "little"), self.hash)
        return symbol

    def _step(self, table: Sequence[int]) -> int:
        scale = self.range >> 24
        quantile = ((self.point - self.lower) % WRAP) // scale
        if quantile >= TOTAL:
            raise Refused
        symbol, start = 0, 0
        while quantile >= start + table[symbol]:
            start += table[symbol]
            symbol += 1
        self.lower = (self.lower + scale * start) % WRAP
        self.range = scale * table[symbol]
        if self.range < 2**32:
            self.range <<= 32
            self.lower = (self.lower << 32) % WRAP
            self.point = (self.point << 32) % WRAP | self._word()
        return symbol


def prior(scale: int) -> list[int]:
    """Initial counts of the value classes."""
    spread = 2 ** (scale // 2) * (362 if scale % 2 else 256) * 16
    ratio = spread * 2**16 // (2**16 + spread)
    weights = [2**60]
    for _ in range(8):
        weights.append(weights[-1] * ratio // 2**16)
    classes = [weights[abs(value)] for value in range(-7, 8)]
    weight = weights[8]
    power = ratio
    for _ in range(3):
        power = power * power // 2**16
    for _ in range(3, 20):
        share = weight * (2**16 - power) // (2**16 - ratio)
        classes += [share, share]
        weight = weight * power // 2**16
        power = power * power // 2**16
    return [1 + share * 24 * 256 // sum(classes) for share in classes]


def integers(decoder: Decoder, tables: Adaptive, contexts: Sequence[int]) -> list[int]:
    """Signed integers, one for each context."""
    classes = [decoder.adaptive(tables, row) for row in contexts]
    values = [each - 7 for each in classes]
    for exponent in range(3, 20):
        members = [i for i, each in enumerate(classes) if each >= 15 and (each - 15) // 2 + 3 == exponent]
        low = [decoder.raw(min(16, exponent)) for _ in members]
        if exponent > 16:
            low = [value | decoder.raw(exponent - 16) << 16 for value in low]
        for i, value in zip(members, low, strict=True):
            values[i] = -(2**exponent + value) if (classes[i] - 15) % 2 else 2**exponent + value
    return values
