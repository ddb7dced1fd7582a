"""Quality goals: what `--quality` takes, and when a measurement reaches it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from squeeze3d.errors import UsageError
from squeeze3d.quality.figures import Measurement


@dataclass(frozen=True, slots=True)
class Goal:
    """Lower limits for a measurement."""

    name: str
    psnr: float
    """Albedo PSNR in dB over all pixels of the measuring rig."""
    ms_ssim: float
    """Albedo MS-SSIM."""
    shaded_drop: float = 2.0
    """By how many dB the shaded PSNR may fall below `psnr`: shape must keep up with colour."""

    def margin(self, measured: Measurement) -> float:
        """How far a measurement is above the goal, in dB, by its weakest part; negative below.

        MS-SSIM counts as -10 log10(1 - MS-SSIM), which grows about as PSNR does.
        """
        return min(
            _difference(measured.psnr, self.psnr),
            _difference(_decibels(measured.ms_ssim), _decibels(self.ms_ssim)),
            _difference(measured.shaded_psnr, self.psnr - self.shaded_drop),
        )

    def reached(self, measured: Measurement) -> bool:
        """Whether every limit is met."""
        return self.margin(measured) >= 0


LEVELS = {
    goal.name: goal
    for goal in (
        Goal("draft", 24.0, 0.93),
        Goal("paper", 27.5, 0.97),
        Goal("good", 31.0, 0.985),
        Goal("high", 36.0, 0.995),
    )
}
"""Named levels. `paper` is what the Squeeze3D paper reports for meshes, and the default."""
DEFAULT = "paper"


def parse_goal(text: str) -> Goal:
    """A level's name, or a PSNR in dB such as `30` or `30dB` (MS-SSIM follows from it).

    Raises UsageError for anything else.
    """
    if text in LEVELS:
        return LEVELS[text]
    try:
        value = float(text.lower().removesuffix("db").strip())
    except ValueError:
        value = math.nan
    if not 5 <= value <= 80:
        raise UsageError(
            f"`{text}` is no quality level", hint=f"use {', '.join(LEVELS)}, or a PSNR between 5 and 80 dB"
        )
    # The named levels lie on a line: MS-SSIM in decibels is about 0.97 times PSNR, less 11.5.
    return Goal(f"{value:g} dB", value, 1 - 10 ** (-max(0.0, 0.97 * value - 11.5) / 10))


def _decibels(similarity: float) -> float:
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


def _difference(value: float, limit: float) -> float:
    return math.inf if value == math.inf else value - limit
