"""What metrics return: a score per view and over all views, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A metric that cannot be computed on this machine.

    It takes the place of the score, so that a report can show the reason; nothing else is measured in its stead. It
    is false in a condition, while scores are always true.
    """

    reason: str
    """What is missing, one line."""
    hint: str
    """How to get it, one line."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"unavailable: {self.reason}"


@dataclass(frozen=True, slots=True)
class ViewScores:
    """An image metric over several views."""

    value: float
    """Over all views. The metric's own text says whether that is a mean of `views` or pools their pixels."""
    views: tuple[float, ...]
    """One score per view, in input order."""


@dataclass(frozen=True, slots=True)
class SsimScores(ViewScores):
    """Structural similarity, over one or several scales."""

    scales: int
    """Scales used. Scores over different numbers of scales are not comparable."""
