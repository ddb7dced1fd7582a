"""The part of the second decoder that reads binary streams, from `CODEC_SPEC.md` alone (section 7, binary coder)."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from pathlib import Path

from reference_decoder import clamp, require

ROOT = Path(__file__).parents[2]
ONE = 2**22
SQUASH = [round(2**16 / (1 + math.exp(-x / 256))) for x in range(-2047, 2048)]
STRETCH = [clamp(round(256 * math.log((i + 0.5) / (4095.5 - i))), -2047, 2047) for i in range(4096)]
RATE = [round(2**16 / (n + 1.5)) for n in range(127)]
LEVELS = [round(ONE / (1 + math.exp(-(level - 64) / 7))) for level in range(128)]
CONFIDENCES = (0, 2, 4, 8, 15, 30, 60, 126)


class BinaryDecoder:
    """Binary coder: bits of given probabilities."""

    def __init__(self, data: bytes) -> None:
        require(data[:4] != b"\xff\xff\xff\xff", "a stream begins as none does")
        self.data = data
        self.at = 4
        self.range = 2**32 - 1
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def decision(self, p: int) -> int:
        bound = (self.range >> 16) * p
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 2**24:
            self.range <<= 8
            self.code = self.code << 8 | (self.data[self.at] if self.at < len(self.data) else 0)
            self.at += 1
        return bit

    def raw(self, n: int) -> int:
        value = 0
        for _ in range(n):
            value = value << 1 | self.decision(2**15)
        return value

    def finish(self) -> None:
        require(not any(self.data[self.at :]), "the stream goes on after its end")


class Contexts:
    """Contexts and mixers: what a part of a stream has learnt so far."""

    def __init__(self, coder: BinaryDecoder, chances: list[int], seen: list[int], weights: list[list[int]]) -> None:
        self.coder = coder
        self.chances = list(chances)
        self.seen = list(seen)
        self.weights = [list(row) for row in weights]

    def adapt(self, context: int, bit: int) -> None:
        chance, seen = self.chances[context], self.seen[context]
        self.chances[context] = chance + (((bit * ONE - chance) * RATE[seen]) >> 16)
        self.seen[context] = min(seen + 1, 126)

    def bit(self, context: int) -> int:
        bit = self.coder.decision(clamp(self.chances[context] >> 6, 24, 65512))
        self.adapt(context, bit)
        return bit

    def mixed(self, row: int, contexts: list[int]) -> int:
        weights = self.weights[row]
        x = [STRETCH[min(self.chances[context] >> 10, 4095)] for context in contexts]
        total = sum(w * y for w, y in zip(weights, x, strict=True))
        p = SQUASH[clamp(total >> 16, -2047, 2047) + 2047]
        bit = self.coder.decision(p)
        e = (bit * 2**16 - p) * 10
        for k, context in enumerate(contexts):
            weights[k] += (x[k] * e + 2**19) >> 20
            self.adapt(context, bit)
        return bit

    def integer(self, row: int, *contexts: int) -> int:
        """Integers in contexts."""

        def step(j: int) -> int:
            return self.mixed(row + j, [context + j for context in contexts])

        if not step(0):
            return 0
        negative = step(1)
        magnitude = 1
        while magnitude <= 14 and step(1 + magnitude):
            magnitude += 1
        if magnitude == 15:
            e = 0
            while e < 19 and self.bit(contexts[0] + 16 + e):
                e += 1
            magnitude = 14 + 2**e + self.coder.raw(e)
        return -magnitude if negative else magnitude


@functools.cache
def read_priors(name: str, count: int, rows: int, inputs: int) -> tuple[list[int], list[int], list[list[int]], bytes]:
    """Priors files: chances, what they are worth, weights, and what the codec adds."""
    data = zlib.decompress((ROOT / name).read_bytes())
    chances = [LEVELS[level] for level in data[:count]]
    seen = [CONFIDENCES[confidence] for confidence in data[count : 2 * count]]
    end = 2 * (count + rows * inputs)
    numbers = [256 * number for number in struct.unpack(f"<{rows * inputs}h", data[2 * count : end])]
    return chances, seen, [numbers[k : k + inputs] for k in range(0, len(numbers), inputs)], data[end:]


def shipped(coder: BinaryDecoder, name: str, count: int, rows: int, inputs: int) -> Contexts:
    """Contexts as a priors file has them."""
    return Contexts(coder, *read_priors(name, count, rows, inputs)[:3])
