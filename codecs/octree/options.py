"""Options of `points.octree`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.codecs.spec import option

DEFAULT_DEPTH = 8.0
DEFAULT_STEP = 28
"""What is used where nobody names a size or a quality: about 61 dB (D1) and 40 dB (colours)."""


@dataclass(frozen=True, slots=True)
class OctreeOptions:
    """Options of `points.octree`."""

    depth: float = option(
        0.0,
        "levels of the octree: 2**depth cells along the longest side, in each of which points become one; may be a "
        f"fraction; 0 is {DEFAULT_DEPTH:g}, or what suits a goal",
        low=0.0,
        high=20.0,
    )
    colour_step: int = option(
        0,
        "how coarse colours are, 1 to 63, eight numbers for each doubling of errors; "
        f"0 is {DEFAULT_STEP}, or what suits a goal",
        low=0,
        high=63,
    )
