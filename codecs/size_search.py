"""Search for the smallest file that reaches a goal, by trying sizes.

```text
size ─► encode, decode, measure ─► decibels above the goal ─┐
  ▲                                                         │
  └── interpolate between the largest miss and the smallest hit, on a logarithmic scale of sizes
```

Quality over the logarithm of the size is close to a line for every codec here, so a few measurements find the place.
The search knows nothing about codecs: it is told what came of the size it named, and names the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SMALLEST = 200
"""Bytes below which no codec has anything to save."""
SLOPE = 3.0
"""Decibels a doubling of the size is worth, until measurements say more."""
SLOPES = (0.7, 8.0)
NEAR = 1.06
"""Ratio of a hit to a miss from which there is nothing left to find between them."""
PATIENCE = 10_000_000
"""Bytes up to which a goal not reached yet is worth more than an attempt saved."""


@dataclass(frozen=True)
class Trial:
    """A file that was made and measured."""

    size: int
    margin: float
    """Decibels above the goal; infinite for a perfect result."""


class SizeSearch:
    """State of one search.

    Parameters
    ----------
    start : size to try first.
    ceiling : sizes above are not tried.
    limit : size that must not be exceeded, tried as it is when the search comes near it; None for no limit.
    tolerance : decibels above the goal that are good enough to stop at.
    attempts : how many sizes may be tried; a few more while the goal has not been reached at all.

    Use: while `size` is not None, encode at `size` (`exact` says whether it is the limit itself), then call `record`
    with what came out, `too_small` if the codec could not do it, or `too_large` if the file exceeds the limit.
    """

    def __init__(self, start: float, *, ceiling: float, limit: int | None, tolerance: float, attempts: int) -> None:
        self.ceiling = ceiling
        self.limit = limit
        self.tolerance = tolerance
        self.attempts = attempts
        self.hit: Trial | None = None
        """Smallest file that reaches the goal."""
        self.miss: Trial | None = None
        """Largest file that does not."""
        self._seen: set[int] = set()
        self._slope = SLOPE
        self._misses = 0
        self._streak = 0
        self._last_hit: bool | None = None
        self._size: float | None = start
        self._go(start)

    @property
    def size(self) -> int | None:
        """Bytes to try next; None when the search is over."""
        if self._size is None:
            return None
        return self.limit if self.exact else round(self._size)

    @property
    def exact(self) -> bool:
        """Whether the next size is the limit."""
        return self._size is not None and self.limit is not None and self._size >= 0.98 * self.limit

    def too_small(self) -> None:
        """The codec cannot describe the asset in so few bytes."""
        assert self._size is not None
        if self.exact or self.hit is not None:
            self._size = None
        else:
            self._go(2 * self._size)

    def too_large(self) -> None:
        """The file exceeds the limit, as files made for sizes near it may."""
        assert self.limit is not None
        self._go(self.limit)

    def record(self, trial: Trial) -> None:
        """Take note of a file."""
        assert self._size is not None
        if trial.size in self._seen:
            self._repeated()
            return
        self._seen.add(trial.size)
        hit, capped, asked = trial.margin >= 0, self.exact, self._size
        # A codec at its own end makes the same file of every size.
        stuck = self.miss is not None and asked > 1.5 * self.miss.size and trial.size < 1.05 * self.miss.size
        self._learn_slope(trial, hit)
        self._streak = self._streak + 1 if hit == self._last_hit else 1
        self._last_hit = hit
        if hit:
            if self.hit is None or trial.size < self.hit.size:
                self.hit = trial
            if trial.margin <= self.tolerance or max(asked, self.hit.size) <= 1.1 * SMALLEST:
                self._size = None
                return
        else:
            if self.miss is None or trial.size > self.miss.size:
                self.miss = trial
            if capped or stuck:
                self._size = None
                return
        if self.hit is not None and self.miss is not None and self.hit.size < NEAR * self.miss.size:
            self._size = None
            return
        proposal = self._proposal()
        if self.hit is None:
            # Misses in a row: the curve is flatter than it looked.
            self._misses += 1
            proposal = max(proposal, trial.size * (1.0 + 0.2 * self._misses))
        self._go(proposal)

    def _go(self, size: float) -> None:
        """Try this size next, if there are attempts left and it is allowed."""
        if self.limit is not None:
            size = min(size, self.limit)
        eager = self.hit is None and self.miss is not None and size < PATIENCE
        if (self.attempts <= 0 and not eager) or size > self.ceiling:
            self._size = None
            return
        self.attempts -= 1
        self._size = size

    def _repeated(self) -> None:
        """The codec's steps are coarser than the one asked for: try further up, or the middle of what is left, once."""
        assert self._size is not None
        if self.hit is None:
            if self.exact or self._size >= self.ceiling / 2:
                self._size = None
            else:
                self._go(2 * self._size)
            return
        middle = math.sqrt(self.miss.size * self.hit.size) if self.miss is not None else 0.0
        if middle == 0 or self.hit.size < 1.1 * middle or abs(self._size / middle - 1) < 0.02:
            self._size = None
        else:
            self._go(middle)

    def _learn_slope(self, trial: Trial, hit: bool) -> None:
        other = (self.miss if hit else self.hit) or (self.hit if hit else self.miss)
        if other is None or not (math.isfinite(trial.margin) and math.isfinite(other.margin)):
            return
        octaves = math.log2(trial.size / other.size)
        if abs(octaves) >= 0.1:
            self._slope = min(max((trial.margin - other.margin) / octaves, SLOPES[0]), SLOPES[1])

    def _proposal(self) -> float:
        """Where the goal, plus half the tolerance, should be met."""
        wanted = self.tolerance / 2
        hit, miss = self.hit, self.miss
        if hit is not None and miss is not None:
            # A curve that bends lets interpolation creep up from one side; halving ends that.
            halve = self._streak >= 2 or not (math.isfinite(hit.margin) and math.isfinite(miss.margin))
            part = 0.5 if halve else (wanted - miss.margin) / max(hit.margin - miss.margin, 1e-6)
            low, high = math.log2(miss.size), math.log2(hit.size)
            return float(2 ** (low + min(max(part, 0.1), 0.9) * (high - low)))
        known = hit or miss
        assert known is not None
        octaves = (wanted - known.margin) / self._slope if math.isfinite(known.margin) else -2.0
        return float(max(SMALLEST, known.size * 2 ** min(max(octaves, -2.5), 2.5)))
