"""Range coding of integer symbols with integer tables.

```text
symbols, table indices ─► SymbolEncoder ─► bytes ─► SymbolDecoder ─► the same symbols
                              ▲                          ▲
                              └── Tables / AdaptiveTables ┘   (integers; both sides hold the same)
```

The coder itself is constriction's queue range coder with 64-bit state, 32-bit words and 24-bit tables.
constriction takes floating-point probabilities; here every table is an integer frequency table that sums to
2**24, and is handed over as `frequency - 1`, for which constriction's own rounding is the identity: all
numbers are integers below 2**24, exact even as float32. So no floating-point rounding takes part, and a
decoder in any language can use the integers (CODEC_SPEC.md, section "Range coder").

Behind the last symbol stand 16 bits of a hash over all symbols. A decoder with another table (other weights,
a bug) notices with a probability of 99.998 % instead of returning a wrong asset.
"""

from __future__ import annotations

import operator
import zlib
from typing import Any

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.errors import ChecksumError, FormatError

PRECISION = 24
"""log2 of the sum of every frequency table. Part of the format."""
TOTAL = 1 << PRECISION

MAX_ALPHABET = 1 << 12
MAX_RAW_BITS = 16

_BLOCK = 1 << 22
"""Table entries handed to constriction in one call: bounds memory at 16 MiB, changes no output."""

INCREMENT = 256
"""What one occurrence adds to an adaptive count. Part of the format."""
COUNT_LIMIT = 1 << 22
"""Adaptive counts of a row are halved when their sum exceeds this. Part of the format."""

_CATEGORICAL = constriction.stream.model.Categorical
_FAMILY = _CATEGORICAL(perfect=False)


def frequencies(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Turn (R, K) non-negative counts that sum to less than 2**38 into frequencies >= 1 that sum to 2**24.

    `f = 1 + floor(count * (2**24 - K) / sum)`, and what is left goes to the first largest count. A row of
    zeros is read as uniform.
    """
    counts = np.asarray(counts, dtype=np.int64)
    size = counts.shape[1]
    totals = counts.sum(axis=1, keepdims=True)
    counts = np.where(totals == 0, 1, counts)
    totals = np.where(totals == 0, size, totals)
    result = 1 + counts * (TOTAL - size) // totals
    result[np.arange(len(result)), counts.argmax(axis=1)] += TOTAL - result.sum(axis=1)
    return result


class Tables:
    """Fixed frequency tables, chosen per symbol by an index.

    A table of one symbol takes no room in the stream.

    Parameters
    ----------
    counts : (R, K) or (K,) non-negative integers, R tables over K symbols; each row sums to less than 2**38.
    """

    def __init__(self, counts: ArrayLike) -> None:
        raw = np.asarray(counts)
        if raw.dtype.kind not in "ui":
            raise TypeError("tables must be integers: floats must never decide how bits are read")
        self.counts = np.atleast_2d(raw).astype(np.int64)
        if self.counts.ndim != 2 or not 1 <= self.alphabet <= MAX_ALPHABET or len(self.counts) == 0:
            raise ValueError(f"tables need 1 to {MAX_ALPHABET} symbols")
        # Single counts first: a sum of larger ones could wrap around.
        if not 0 <= self.counts.min() <= self.counts.max() < 1 << 38 or self.counts.sum(axis=1).max() >= 1 << 38:
            raise ValueError("counts must be non-negative and sum to less than 2**38")
        self._refresh()

    @property
    def alphabet(self) -> int:
        """Number of symbols K."""
        return self.counts.shape[1]

    def _refresh(self) -> None:
        # constriction adds 1 to every entry and scales by (2**24 - K) / sum, which is exactly 1 here.
        self._probabilities = (frequencies(self.counts) - 1).astype(np.float32)
        self._models: list[Any] = [None] * len(self.counts)

    def _model(self, index: int) -> Any:
        model = self._models[index]
        if model is None:
            model = self._models[index] = _CATEGORICAL(self._probabilities[index], perfect=False)
        return model

    def _room(self) -> int:
        """How many symbols may be coded in one call."""
        return max(1, _BLOCK // self.alphabet)

    def _observe(self, symbols: NDArray[np.int32], index: NDArray[np.intp]) -> None:
        """Take note of coded symbols."""

    def _observe_one(self, symbol: int, index: int) -> None:
        """Take note of one coded symbol."""


class AdaptiveTables(Tables):
    """Tables that learn the counts of the symbols coded with them.

    Each symbol adds `INCREMENT` to its count at once; the *tables* are recomputed after every max(1, n / 16)
    symbols, where n counts the symbols coded so far with any row. Early symbols are learnt one by one, later
    ones in blocks that NumPy codes in one call, and the result does not depend on how callers split their
    arrays.

    Parameters
    ----------
    prior : (R, K) initial counts. Their sum says how slowly a row forgets them: `INCREMENT * m` is worth m
    symbols.
    """

    def __init__(self, prior: ArrayLike) -> None:
        super().__init__(prior)
        if (self.counts.sum(axis=1) > COUNT_LIMIT).any():
            raise ValueError(f"prior counts of a row must not exceed {COUNT_LIMIT}")
        self._seen = 0
        self._next = 1

    def _room(self) -> int:
        return min(self._next - self._seen, super()._room())

    def _observe(self, symbols: NDArray[np.int32], index: NDArray[np.intp]) -> None:
        np.add.at(self.counts, (index, symbols), INCREMENT)
        self._advance(len(symbols))

    def _observe_one(self, symbol: int, index: int) -> None:
        self.counts[index, symbol] += INCREMENT
        self._advance(1)

    def _advance(self, count: int) -> None:
        self._seen += count
        if self._seen == self._next:
            self._next = self._seen + max(1, self._seen >> 4)
            while (over := self.counts.sum(axis=1) > COUNT_LIMIT).any():
                self.counts[over] = (self.counts[over] + 1) >> 1
            self._refresh()


class SymbolEncoder:
    """Writes symbols; `finish` returns the bytes."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._hash = 0

    def encode(self, symbols: ArrayLike, tables: Tables, index: ArrayLike = 0) -> None:
        """Append (N,) symbols, each coded with the table its (N,) or scalar `index` names."""
        values = _as_integers(symbols, tables.alphabet)
        rows = _as_rows(index, tables, len(values))
        self._hash = zlib.crc32(values.astype("<i4").tobytes(), self._hash)
        start = 0
        while start < len(values):
            stop = min(len(values), start + tables._room())
            part, row = values[start:stop], rows[start:stop]
            if tables.alphabet > 1:
                self._coder.encode(part, _FAMILY, tables._probabilities[row])
            tables._observe(part, row)
            start = stop

    def encode_one(self, symbol: int, tables: Tables, index: int = 0) -> None:
        """Append one symbol; same result as `encode` with arrays of length 1, faster."""
        symbol = operator.index(symbol)
        if not 0 <= symbol < tables.alphabet:
            raise ValueError(f"symbol {symbol} must lie in [0, {tables.alphabet})")
        self._hash = zlib.crc32(symbol.to_bytes(4, "little"), self._hash)
        if tables.alphabet > 1:
            self._coder.encode(symbol, tables._model(index))
        tables._observe_one(symbol, index)

    def encode_raw(self, values: ArrayLike, bits: int) -> None:
        """Append (N,) integers in [0, 2**bits) without modelling, `bits` from 0 to 16."""
        array = _as_integers(values, 1 << _raw_bits(bits))
        self._hash = zlib.crc32(array.astype("<i4").tobytes(), self._hash)
        self._raw(array, bits)

    def _raw(self, array: NDArray[np.int32], bits: int) -> None:
        if len(array) and bits:
            self._coder.encode(array, constriction.stream.model.Uniform(1 << bits))

    def finish(self) -> bytes:
        """Close the stream with the symbol hash and return the shortest bytes that decode to it."""
        self._raw(np.array([self._hash & 0xFFFF], dtype=np.int32), 16)
        return _shortest(self._coder)


class SymbolDecoder:
    """Reads what `SymbolEncoder` wrote, with the same calls in the same order.

    Any bytes decode to some symbols, all of them inside their alphabets; `finish` tells whether they are the
    right ones. Callers bound the number of symbols they ask for before they ask.
    """

    def __init__(self, data: bytes) -> None:
        # Zeros behind the end are part of the format; the coder supplies them except for its first two words.
        padded = data + bytes(8 + -len(data) % 4)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._hash = 0

    def decode(self, count: int, tables: Tables, index: ArrayLike = 0) -> NDArray[np.int32]:
        """Next `count` symbols, coded with the tables that (count,) or scalar `index` names."""
        result = np.empty(count, dtype=np.int32)
        rows = _as_rows(index, tables, count)
        start = 0
        while start < count:
            stop = min(count, start + tables._room())
            row = rows[start:stop]
            part = result[start:stop]
            part[:] = self._call(_FAMILY, tables._probabilities[row]) if tables.alphabet > 1 else 0
            tables._observe(part, row)
            start = stop
        self._hash = zlib.crc32(result.astype("<i4").tobytes(), self._hash)
        return result

    def decode_one(self, tables: Tables, index: int = 0) -> int:
        """Next symbol; same result as `decode` with count 1, faster."""
        symbol = int(self._call(tables._model(index))) if tables.alphabet > 1 else 0
        self._hash = zlib.crc32(symbol.to_bytes(4, "little"), self._hash)
        tables._observe_one(symbol, index)
        return symbol

    def decode_raw(self, count: int, bits: int) -> NDArray[np.int32]:
        """Next `count` unmodelled integers in [0, 2**bits), `bits` from 0 to 16."""
        values = self._raw(count, _raw_bits(bits))
        self._hash = zlib.crc32(values.astype("<i4").tobytes(), self._hash)
        return values

    def _raw(self, count: int, bits: int) -> NDArray[np.int32]:
        if count == 0 or bits == 0:
            return np.zeros(count, dtype=np.int32)
        values: NDArray[np.int32] = self._call(constriction.stream.model.Uniform(1 << bits), count)
        return values

    def _call(self, *arguments: Any) -> Any:
        try:
            return self._coder.decode(*arguments)
        except AssertionError:
            raise FormatError("symbol stream is not a valid range code") from None

    def finish(self) -> None:
        """Check the symbol hash.

        Raises ChecksumError if the symbols are not the ones that were encoded.
        """
        expected = self._hash & 0xFFFF
        if int(self._raw(1, 16)[0]) != expected:
            raise ChecksumError(
                "decoded symbols do not match their hash: the decoder's tables differ from the encoder's",
                hint="use the squeeze3d version and model weights the file was made with",
            )


def _as_integers(values: ArrayLike, end: int) -> NDArray[np.int32]:
    """Flat array of integers in [0, end), checked before anything is rounded or wrapped."""
    array = np.asarray(values).reshape(-1)
    if len(array) == 0:
        return np.empty(0, dtype=np.int32)
    if array.dtype.kind not in "uib":
        raise TypeError(f"symbols must be integers, not {array.dtype}")
    if array.min() < 0 or array.max() >= end:
        raise ValueError(f"symbols must lie in [0, {end})")
    return np.ascontiguousarray(array, dtype=np.int32)


def _as_rows(index: ArrayLike, tables: Tables, count: int) -> NDArray[np.intp]:
    """(count,) table numbers; negative ones would silently count from the end."""
    rows = np.asarray(index)
    if rows.size and (rows.dtype.kind not in "uib" or rows.min() < 0 or rows.max() >= len(tables.counts)):
        raise IndexError(f"table numbers must be integers in [0, {len(tables.counts)})")
    return np.broadcast_to(rows.astype(np.intp), (count,))


def _raw_bits(bits: int) -> int:
    if not 0 <= bits <= MAX_RAW_BITS:
        raise ValueError(f"raw values have 0 to {MAX_RAW_BITS} bits, not {bits}")
    return bits


def _shortest(coder: Any) -> bytes:
    """Shortest big-endian byte string whose zero-padded value lies in the coder's final interval.

    constriction closes its interval with whole 32-bit words. Its state tells the interval itself, and a
    multiple of a larger power of 256 usually lies in it: about 3 bytes less, which counts in a file of 500.
    """
    words = [int(word) for word in coder.get_compressed()]
    count, (lower, width) = coder.pos()
    sealed = b"".join(word.to_bytes(4, "big") for word in words)
    prefix = int.from_bytes(sealed[: 4 * count], "big")
    if lower + (1 << 32) - 1 >= 1 << 64:
        # Sealing carried into the words already written; undo it to get back to the lower end.
        prefix -= 1
    low = (prefix << 64) + lower
    high = low + width
    size = 4 * (count + 2)
    value = int.from_bytes(sealed.ljust(size, b"\0"), "big")
    assert low <= value < high, "constriction's state does not describe its output"
    # Shorter than the words already final is only possible by trailing zeros, which padding makes redundant.
    for length in range(4 * count, size + 1):
        shift = 8 * (size - length)
        candidate = -(-low >> shift) << shift
        if candidate < high:
            return (candidate >> shift).to_bytes(length, "big").rstrip(b"\0")
    raise AssertionError("unreachable: length = size always fits")
