"""What the coder knows before the first bit: fitted by `fit_priors`, kept in `priors.bin`, part of the format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream import priors
from squeeze3d.bitstream.binary import Contexts
from squeeze3d.codecs.meshes.layout import CONTEXTS, INPUTS, MIXERS
from squeeze3d.codecs.meshes.prediction import CLASSES, FEATURES, parallelograms

FILE = "priors.bin"


@dataclass(frozen=True, eq=False)
class Priors:
    """Initial state of a stream, as coarse as it is kept."""

    binary: priors.Priors
    table: NDArray[np.int16]
    """(CLASSES, FEATURES) weights of predictions, with `FRACTION` bits."""

    @classmethod
    def even(cls) -> Priors:
        """Priors that know nothing."""
        return cls(priors.Priors.even(CONTEXTS, MIXERS, INPUTS), parallelograms().astype(np.int16))

    def contexts(self) -> Contexts:
        """A fresh state."""
        return self.binary.contexts()

    def pack(self) -> bytes:
        """The content of a priors file."""
        return self.binary.pack(self.table.astype("<i2").tobytes())

    @classmethod
    def unpack(cls, data: bytes) -> Priors:
        """Inverse of `pack`."""
        binary, rest = priors.Priors.unpack(data, CONTEXTS, MIXERS, INPUTS, 2 * CLASSES * FEATURES)
        return cls(binary, np.frombuffer(rest, "<i2").reshape(CLASSES, FEATURES))


@cache
def shipped() -> Priors:
    """The priors of the format."""
    return Priors.unpack(files(__package__).joinpath(FILE).read_bytes())
