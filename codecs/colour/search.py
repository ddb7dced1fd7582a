"""Which settings make the most of a number of bytes: sizes are estimated, errors measured.

```text
two palettes at each resolution ─► the best resolution ─► other palettes, sums, a pyramid ─► best first
       each kind has a knob (smoothness or step) that is turned until the bytes are used up
```

Smooth labels with many entries beat exact labels with few: a palette of 16 with large smoothness wins where it fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from squeeze3d.codecs.colour.aims import Aims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.codecs.colour.model import encode_cells
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings

STEPS = (60, 40, 27, 18, 12, 8, 5)
SMOOTHNESS = (12_000.0, 6000.0, 3000.0, 1500.0, 800.0, 400.0, 150.0, 0.0)
FIRST_ENTRIES = (8, 2)
"""Palettes tried at every resolution."""
OTHER_ENTRIES = (16, 4)
SUM_ENTRIES = (8, 4)
SUM_STEPS = (56, 32, 18, 10)
SUM_SMOOTHNESS = 800.0
POLISH = 2
"""Times the smoothness of the winner is moved closer to the bytes there are."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting and what it gives."""

    bytes: float
    """Estimated size."""
    error: float
    """Mean squared error of a channel in sRGB of [0, 255]."""
    settings: ColourSettings


class ColourSearch:
    """A search for one set of colours.

    Parameters
    ----------
    full : hierarchy of the occupied cells.
    aims : the colours wanted.
    """

    def __init__(self, full: Hierarchy, aims: Aims) -> None:
        self._full = full
        self._aims = aims
        self._tried: dict[ColourSettings, Candidate] = {}

    def fill(self, budget: float, skips: Sequence[int] = (0, 1), *, quick: bool = False) -> list[Candidate]:
        """Settings of at most `budget` bytes, best first; the smallest there is if none fits.

        Parameters
        ----------
        skips : how many levels to leave out, alternatives.
        quick : these palettes alone.
        """
        self._tried.clear()
        uniform = self.candidate(ColourSettings(ColourMode.UNIFORM))
        if uniform.error > 0:
            palettes = [
                self._turned(_palettes(skip, entries), budget)
                for skip in dict.fromkeys(min(skip, len(self._full.levels) - 1) for skip in skips)
                for entries in FIRST_ENTRIES
            ]
            fitting = [palette for palette in palettes if palette is not None]
            if fitting and not quick:
                skip = min(fitting, key=lambda c: c.error).settings.skip
                self._explore(skip, budget)
        found = sorted(self._tried.values(), key=lambda c: (c.error, c.bytes))
        return [c for c in found if c.bytes <= budget] or [min(found, key=lambda c: c.bytes)]

    def _explore(self, skip: int, budget: float) -> None:
        """Everything else at one resolution."""
        for entries in OTHER_ENTRIES:
            self._turned(_palettes(skip, entries), budget)
        for entries in SUM_ENTRIES:
            both = ColourSettings(ColourMode.SUM, skip=skip, entries=entries, smoothness=SUM_SMOOTHNESS)
            self._turned([replace(both, step=step) for step in SUM_STEPS], budget)
        pyramid = ColourSettings(ColourMode.PYRAMID, skip=skip)
        self._turned([replace(pyramid, step=step) for step in STEPS], budget)
        best = min((c for c in self._tried.values() if c.bytes <= budget), key=lambda c: c.error)
        if best.settings.mode is not ColourMode.PALETTE or best.settings.smoothness == 0:
            return
        high = best.settings.smoothness
        low = next(s for s in SMOOTHNESS if s < high)
        for _ in range(POLISH):
            middle = round((high * max(low, 50.0)) ** 0.5)
            fits = self.candidate(replace(best.settings, smoothness=float(middle))).bytes <= budget
            low, high = (low, middle) if fits else (middle, high)

    def candidate(self, settings: ColourSettings) -> Candidate:
        """Size and error of one setting."""
        if settings not in self._tried:
            counter = CodeLength()
            decoded = encode_cells(counter, self._full, self._aims, settings)
            self._tried[settings] = Candidate(counter.bits / 8, self._aims.error(decoded), settings)
        return self._tried[settings]

    def _turned(self, family: Sequence[ColourSettings], budget: float) -> Candidate | None:
        """The last setting of a family that fits, found by halving; each takes more bytes than the one before."""
        best = None
        low, high = 0, len(family)
        while low < high:
            middle = (low + high) // 2
            candidate = self.candidate(family[middle])
            if candidate.bytes <= budget:
                best, low = candidate, middle + 1
            else:
                high = middle
        return best


def _palettes(skip: int, entries: int) -> list[ColourSettings]:
    palette = ColourSettings(ColourMode.PALETTE, skip=skip, entries=entries)
    return [replace(palette, smoothness=smoothness) for smoothness in SMOOTHNESS]
