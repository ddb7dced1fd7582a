"""Options of `field.blocks`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.codecs.spec import option

DEFAULT_STEP = 34
"""Step of the skin where nobody names a size or a quality; its errors are about 2 % of a channel's range."""


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """Options of `field.blocks`."""

    cells: int = option(
        0,
        "cells of the coded grid along the longest side; 0 is the field's own, or what suits a goal",
        low=0,
        high=4096,
    )
    step: int = option(
        0,
        "how coarse colours at the border of the solid are, 1 to 63, eight numbers for each doubling; "
        f"0 is {DEFAULT_STEP}, or what suits a goal",
        low=0,
        high=63,
    )
    depth: int = option(
        0,
        "step of the colours in front of and behind that border in 8-bit levels, 1 to 63; 0 copies them from it, "
        "or what suits a goal",
        low=0,
        high=63,
    )
    density: int = option(
        0,
        "how fine densities follow the field beyond its profile, 1 to 31, two numbers for each doubling; "
        "0 is the profile alone, or what suits a goal",
        low=0,
        high=31,
    )
