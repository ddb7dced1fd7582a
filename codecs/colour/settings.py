"""How colours are coded: what the stream says, and what only the encoder needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAX_STEP = 64
MAX_SKIP = 7
MAX_ENTRIES = 16


class ColourMode(IntEnum):
    """What a colour is made of. The numbers are part of the format."""

    UNIFORM = 0
    """One colour for all cells."""
    PYRAMID = 1
    """A smooth field: each level of cells corrects what the coarser one predicts."""
    PALETTE = 2
    """One of a few colours for each cell."""
    SUM = 3
    """A palette entry and a smooth field added to it: hard borders between shaded areas."""

    @property
    def has_palette(self) -> bool:
        """Whether cells name palette entries."""
        return self in (ColourMode.PALETTE, ColourMode.SUM)

    @property
    def has_pyramid(self) -> bool:
        """Whether there is a smooth field."""
        return self in (ColourMode.PYRAMID, ColourMode.SUM)


@dataclass(frozen=True, slots=True)
class ColourSettings:
    """Settings of one coded set of colours."""

    mode: ColourMode = ColourMode.PYRAMID
    step: int = 16
    """Quantisation step of luma at the finest level, 1 to 64 (of 255). Larger is smaller and coarser."""
    skip: int = 0
    """How many of the finest levels are interpolated and take no room, 0 to 7. Each halves the resolution."""
    entries: int = 4
    """Palette entries, 2 to 16; fewer are written where fewer are used."""
    smoothness: float = 0.0
    """Encoder only: what a differing neighbour adds to the squared error of a label; larger merges specks."""
    strength: float = 0.15
    """Encoder only: how eagerly small residuals become zero; 0 rounds each to the nearest step."""

    def __post_init__(self) -> None:
        if not 1 <= self.step <= MAX_STEP or not 0 <= self.skip <= MAX_SKIP or not 2 <= self.entries <= MAX_ENTRIES:
            raise ValueError(f"colour settings are out of range: {self}")
