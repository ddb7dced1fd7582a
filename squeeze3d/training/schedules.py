"""Learning-rate schedules, as factors on the rate at the start by the number of steps taken.

The published runs move their schedule once for each batch and once more for each epoch, which shortens it by one part
in the steps of an epoch. Here a step is a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from squeeze3d.errors import UsageError


@dataclass(frozen=True)
class LinearDecay:
    """From `start` along a line to `final` within `steps`, then flat: the published schedule."""

    start: float
    """Learning rate of the first step."""
    final: float
    """Learning rate from step `steps` on."""
    steps: int

    def __post_init__(self) -> None:
        if not (0 < self.start < float("inf") and 0 <= self.final < float("inf") and self.steps >= 1):
            raise UsageError(
                f"a rate cannot decay from {self.start:g} to {self.final:g} in {self.steps} steps",
                hint="rates are positive, and there is at least one step",
            )

    def __call__(self, step: int) -> float:
        """Factor on `start`."""
        return 1 + (self.final / self.start - 1) * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class Constant:
    """The rate of the start, always."""

    def __call__(self, step: int) -> float:
        """Factor: 1."""
        return 1.0


@dataclass(frozen=True)
class HalfCosine:
    """From the start to 0 within `steps`, slowly at both ends."""

    steps: int

    def __call__(self, step: int) -> float:
        """Factor: 1 to 0."""
        return 0.5 + 0.5 * math.cos(math.pi * (step / self.steps))


@dataclass(frozen=True)
class WarmupDecay:
    """Rises along a line, stays at the rate of the start, and falls along a line to 0 within `steps`."""

    steps: int
    warmup: int
    """Steps until it is at its height."""
    decay: float
    """Last share of the steps, in which it falls."""

    def __call__(self, step: int) -> float:
        """Factor: at most 1."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, (step + 1) / self.warmup, max(left, 0.0))
