"""What the coder knows before the first bit: fitted by `fit_priors`, kept in `priors.bin`, part of the format."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import LIMIT, ONE, UNIT, Contexts
from squeeze3d.codecs.meshes.layout import CONTEXTS, INPUTS, MIXERS
from squeeze3d.codecs.meshes.prediction import CLASSES, FEATURES, parallelograms

FILE = "priors.bin"
LEVELS = 128
"""Chances are kept as one of so many, evenly spaced in the logarithm of the odds."""
SPACING = 7
"""Levels a unit of that logarithm."""
CONFIDENCES = (0, 2, 4, 8, 15, 30, 60, LIMIT)
"""How many bits a chance may be worth."""
_STEP = UNIT // 256


def _chances() -> NDArray[np.int64]:
    """(LEVELS,) chance that each level stands for."""
    levels = np.arange(LEVELS) - LEVELS // 2
    return np.array([round(ONE / (1 + math.exp(-x / SPACING))) for x in levels.tolist()], dtype=np.int64)


CHANCES = _chances()


@dataclass(frozen=True, eq=False)
class Priors:
    """Initial state of a stream, as coarse as it is kept."""

    levels: NDArray[np.uint8]
    """(CONTEXTS,) index into `CHANCES`."""
    confidences: NDArray[np.uint8]
    """(CONTEXTS,) index into `CONFIDENCES`."""
    weights: NDArray[np.int16]
    """(MIXERS, INPUTS) weights of mixers, of 256."""
    table: NDArray[np.int16]
    """(CLASSES, FEATURES) weights of predictions, with `FRACTION` bits."""

    @classmethod
    def even(cls) -> Priors:
        """Priors that know nothing."""
        return cls(
            np.full(CONTEXTS, LEVELS // 2, np.uint8),
            np.zeros(CONTEXTS, np.uint8),
            np.full((MIXERS, INPUTS), 256 * 6 // (5 * INPUTS), np.int16),
            parallelograms().astype(np.int16),
        )

    def contexts(self) -> Contexts:
        """A fresh state."""
        return Contexts(
            CHANCES[self.levels], np.array(CONFIDENCES)[self.confidences], self.weights.astype(np.int64) * _STEP
        )

    def pack(self) -> bytes:
        """The content of a priors file."""
        parts = (self.levels, self.confidences, self.weights.astype("<i2"), self.table.astype("<i2"))
        return zlib.compress(b"".join(part.tobytes() for part in parts), 9)

    @classmethod
    def unpack(cls, data: bytes) -> Priors:
        """Inverse of `pack`."""
        raw = zlib.decompress(data)
        levels = np.frombuffer(raw, np.uint8, CONTEXTS)
        confidences = np.frombuffer(raw, np.uint8, CONTEXTS, CONTEXTS)
        rest = np.frombuffer(raw, "<i2", offset=2 * CONTEXTS)
        assert len(rest) == MIXERS * INPUTS + CLASSES * FEATURES, "priors are of another layout: fit them anew"
        weights, table = rest[: MIXERS * INPUTS], rest[MIXERS * INPUTS :]
        return cls(levels, confidences, weights.reshape(MIXERS, INPUTS), table.reshape(CLASSES, FEATURES))


@cache
def shipped() -> Priors:
    """The priors of the format."""
    return Priors.unpack(files(__package__).joinpath(FILE).read_bytes())
