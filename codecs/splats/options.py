"""Options of `splats.quant`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.codecs.spec import option

MAX_BITS = 18
"""Finest grid of the format, as in `places.py`, which is too heavy to import here."""
DEFAULT_FINENESS = 18
"""Fineness where nobody names a size or a quality: about 1/12 of a splat's own size and colour range."""


@dataclass(frozen=True, slots=True)
class SplatsOptions:
    """Options of `splats.quant`."""

    splats: int = option(
        0,
        "splats to keep at most, merging the least visible ones; 0 is all, or as many as a size or a quality calls for",
        low=0,
        high=1 << 24,
    )
    fineness: int = option(
        0,
        "how fine all attributes are, 4 to 40, four numbers for each halving of the errors; "
        f"0 is {DEFAULT_FINENESS}, or what suits a size or a quality",
        low=0,
        high=40,
    )
    bits: int = option(0, f"bits per coordinate, 4 to {MAX_BITS}; 0 follows the fineness", low=0, high=MAX_BITS)
    degree: int = option(3, "highest degree of spherical harmonics to keep, 0 to 3", low=0, high=3)
