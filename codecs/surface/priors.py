"""What the coders of colours and cuts know before the first bit: fitted by `fit_priors`, part of the format."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from squeeze3d.bitstream.priors import Priors

COLOURS, CUTS = "colours.bin", "cuts.bin"


@cache
def shipped(name: str, contexts: int, mixers: int) -> Priors:
    """The priors of the format."""
    return Priors.unpack(files(__package__).joinpath(name).read_bytes(), contexts, mixers, 3)[0]
