"""`Plan`: one way to spend the bytes of a file on triangles and on colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

SHARES = (0.02, 0.04, 0.07, 0.11, 0.16, 0.23, 0.32, 0.43, 0.55, 0.68, 0.8)
"""Parts of the bytes that colours may have."""
DENSITIES = (0.6, 1.2, 2.5, 5.0, 10.0, 20.0)
"""Vertices of a canvas for each byte of colours."""
TEXELS_PER_BYTE = (6.0, 9.0, 14.0, 21.0, 32.0, 48.0)
"""The same where colours are a picture, by the same index."""
SMOOTH_START, PICTURE_START = 2, 3
"""Indices that searches begin with."""
CUTS = (float("inf"), 40.0)
"""Jumps of colour, in byte levels, above which edges are cut."""


@dataclass(frozen=True)
class Plan:
    """One way to spend the bytes."""

    share: int
    """Index of `SHARES`."""
    finer: int = 0
    """Bits a coordinate has beyond what suits the number of triangles."""
    density: int = SMOOTH_START
    """Index of `DENSITIES`."""
    cut: int = 0
    """Index of `CUTS`."""
    picture: bool = False
    """Whether colours are a picture."""

    def neighbours(self) -> Iterator[Plan]:
        """Plans that differ in one thing, those that often pay first."""
        if not self.picture:
            yield replace(self, cut=1 - self.cut)
        for share in (self.share + 1, self.share - 1):
            if 0 <= share < len(SHARES):
                yield replace(self, share=share)
        for density in (self.density + 1, self.density - 1):
            if 0 <= density < len(DENSITIES):
                yield replace(self, density=density)
        for finer in (self.finer - 1, self.finer + 1):
            yield replace(self, finer=finer)

    def other_mode(self) -> Plan:
        """The same with the other kind of colours."""
        return replace(self, picture=not self.picture, cut=0, density=SMOOTH_START if self.picture else PICTURE_START)


def first_share(room: float) -> int:
    """Where to begin: colours deserve more of more."""
    return int(np.clip(round(2 + 1.1 * np.log2(max(room, 1) / 1000)), 1, 8))
