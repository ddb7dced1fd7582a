"""Quality goals: what `--quality` takes, and when a measurement reaches it.

Every kind of asset has the same named levels, each with limits of its own: rendered views for what is looked at as a
surface or a volume, distances and colours from point to point for clouds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import UsageError
from squeeze3d.quality.figures import Measurement

RANGE = (5.0, 120.0)
"""Decibels that may be asked for."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Lower limits for a measurement; None where a figure does not matter. Named like the figures of `Measurement`."""

    name: str
    psnr: float | None = None
    """Albedo PSNR in dB over all pixels of the measuring rig."""
    ms_ssim: float | None = None
    """Albedo MS-SSIM."""
    shaded_psnr: float | None = None
    """PSNR in dB under a headlight: shape must keep up with colour."""
    d1_psnr: float | None = None
    """Point-to-point PSNR in dB relative to the box diagonal."""
    colour_psnr: float | None = None
    """PSNR in dB of the colours of nearest points."""

    def margin(self, measured: Measurement) -> float:
        """How far a measurement is above the goal, in dB, by its weakest part; negative below.

        MS-SSIM counts as -10 log10(1 - MS-SSIM), which grows about as PSNR does. Figures that were not measured, such
        as colours of a cloud without any, do not count.
        """
        return min((_difference(name, getattr(measured, name), limit) for name, limit in self._limits()), default=0.0)

    def reached(self, measured: Measurement) -> bool:
        """Whether every limit is met."""
        return self.margin(measured) >= 0

    def _limits(self) -> list[tuple[str, float]]:
        named = ((field.name, getattr(self, field.name)) for field in fields(self) if field.name != "name")
        return [(name, limit) for name, limit in named if limit is not None]


def _mesh(name: str, psnr: float, ms_ssim: float) -> Goal:
    return Goal(name, psnr, ms_ssim, shaded_psnr=psnr - 2.0)


def _points(name: str, d1_psnr: float) -> Goal:
    # 60 dB with 30, and two decibels of colour for three of distance: colours are noisier than places.
    return Goal(name, d1_psnr=d1_psnr, colour_psnr=max(5.0, 30.0 + (d1_psnr - 60.0) * 2 / 3))


LEVELS: Mapping[Kind, Mapping[str, Goal]] = {
    kind: {goal.name: goal for goal in goals}
    for kind, goals in (
        (
            Kind.MESH,
            (
                _mesh("draft", 24.0, 0.93),
                _mesh("paper", 27.5, 0.97),
                _mesh("good", 31.0, 0.985),
                _mesh("high", 36.0, 0.995),
            ),
        ),
        (
            Kind.POINTS,
            (_points("draft", 54.0), _points("paper", 60.0), _points("good", 66.0), _points("high", 72.0)),
        ),
        (Kind.FIELD, (Goal("draft", 24.0), Goal("paper", 27.0), Goal("good", 31.0), Goal("high", 36.0))),
        (
            Kind.SPLATS,
            (
                Goal("draft", 24.0, 0.93),
                Goal("paper", 27.5, 0.97),
                Goal("good", 31.0, 0.985),
                Goal("high", 36.0, 0.995),
            ),
        ),
    )
}
"""Named levels of each kind, from the lowest to the highest. `paper` is the default: for meshes what the Squeeze3D
paper reports, for other kinds what looks about as good."""
DEFAULT = "paper"


def parse_goal(text: str, kind: Kind) -> Goal:
    """A level's name, or a number of dB such as `30` or `30dB`.

    The number is the PSNR of views (MS-SSIM follows from it where it counts), or of points the D1 PSNR (that of colours
    follows from it).

    Raises UsageError for anything else.
    """
    if text in LEVELS[kind]:
        return LEVELS[kind][text]
    value = _decibels_of(text)
    name = f"{value:g} dB"
    if kind is Kind.POINTS:
        return _points(name, value)
    if kind is Kind.FIELD:
        return Goal(name, value)
    # The named levels lie on a line: MS-SSIM in decibels is about 0.97 times PSNR, less 11.5.
    similarity = 1 - 10 ** (-max(0.0, 0.97 * value - 11.5) / 10)
    return _mesh(name, value, similarity) if kind is Kind.MESH else Goal(name, value, similarity)


def check_quality(text: str) -> None:
    """Raise UsageError for what is no quality of any kind."""
    for kind in Kind:
        parse_goal(text, kind)


def _decibels_of(text: str) -> float:
    try:
        value = float(text.lower().removesuffix("db").strip())
    except ValueError:
        value = math.nan
    if not RANGE[0] <= value <= RANGE[1]:
        names = ", ".join(LEVELS[Kind.MESH])
        raise UsageError(
            f"`{text}` is no quality level", hint=f"use {names}, or a PSNR between {RANGE[0]:g} and {RANGE[1]:g} dB"
        )
    return value


def _decibels(similarity: float) -> float:
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


def _difference(name: str, value: float | None, limit: float) -> float:
    if value is None or value == math.inf:
        return math.inf
    return _decibels(value) - _decibels(limit) if name == "ms_ssim" else value - limit
