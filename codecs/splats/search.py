"""Number of splats and fineness for a target size or a quality.

```text
target ─► rung of the ladder of counts whose own fineness comes nearest ─► merge, refit ─► finest stream that fits
```

A rung has 2**(-k/2) of the splats. Its own fineness is where rounding takes `SHARE` of the error that merging makes:
the two then cost about the same for each decibel. Sizes between two rungs are reached by fineness, so that a search
for a quality, which asks for many sizes, refits few scenes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.size_search import SizeSearch, Trial
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.splats.build import SplatsBuilder, Stream
from squeeze3d.codecs.splats.gaussians import Gaussians
from squeeze3d.codecs.splats.options import DEFAULT_FINENESS, SplatsOptions

if TYPE_CHECKING:
    from squeeze3d.quality.goal import Goal

Found = tuple[Stream, Container]

LOWEST, HIGHEST = 4, 40
"""Finenesses that are tried."""
USUAL = 10
"""A rung's fineness where nothing is drawn."""
OWN = (7.0, 24.0)
"""Range of a rung's own fineness."""
SHARE = 0.25
"""Error of rounding that suits an error of merging: 11 % more splats take away as much as a step of fineness, and cost
the same."""
FITTED = 0.55
"""What refitting leaves of an error of merging, about."""
SLOPE = 0.11
"""Part of its bytes that a step of fineness adds to a stream, about."""
STEPS = (0, 0, 30, 45, 60, 100, 200, 400, 800)
"""Steps of refitting by effort; none of drawing at the lowest."""


@dataclass(frozen=True, slots=True)
class _Rung:
    count: int
    fineness: float
    """That suits the number of splats."""
    size: float
    """Bytes that it takes, about."""
    error: float
    """Mean squared error of views, about."""


class Search:
    """One search.

    Parameters
    ----------
    container_of : wraps a stream.
    """

    def __init__(
        self, builder: SplatsBuilder, options: SplatsOptions, job: Job, container_of: Callable[[Stream], Container]
    ) -> None:
        self._builder = builder
        self._options = options
        self._job = job
        self._container_of = container_of
        self._most = min(options.splats or builder.count, builder.count)

    def best(self) -> Found | None:
        """The best stream for the job's target or goal, or one with the options' own settings; None if nothing fits."""
        if self._job.goal is not None:
            return self._aimed(self._job.goal)
        if self._job.target_size is None:
            return self._coded(self._scene(self._most), self._options.fineness or DEFAULT_FINENESS)
        return self._at(self._job.target_size, self._job.exact)

    def _aimed(self, goal: Goal) -> Found | None:
        """The smallest stream found that reaches a goal, or the one that comes nearest."""
        tried: list[tuple[float, int, Found]] = []
        effort = self._job.effort
        search = SizeSearch(
            self._expected(goal), ceiling=math.inf, limit=None, tolerance=2 / effort, attempts=1 + effort // 2
        )
        while (size := search.size) is not None:
            found = self._at(size, exact=False)
            if found is None:
                search.too_small()
                continue
            if self._job.judge is None:
                return found
            self._job.progress("measure", 0.8)
            bytes_now = len(found[1].to_bytes())
            margin = self._job.judge(self._builder.splats_of(found[0].scene))
            tried.append((margin, bytes_now, found))
            search.record(Trial(bytes_now, margin))
        hits = [(size, found) for margin, size, found in tried if margin >= 0]
        if hits:
            return min(hits, key=lambda hit: hit[0])[1]
        return max(tried, key=lambda each: each[0])[2] if tried else None

    def _expected(self, goal: Goal) -> float:
        """Bytes at which a goal should be reached, by the errors of merging alone."""
        wanted = 10 ** (-(goal.psnr or _USUAL_GOAL) / 10)
        here = self._rung(0)
        for rung in range(1, math.ceil(2 * math.log2(self._most)) + 1 if self._job.effort > 1 else 0):
            finer, here = here, self._rung(rung)
            if here.error >= wanted:
                # Sizes over errors are close to a line in logarithms.
                part = math.log(here.error / wanted) / math.log(here.error / max(finer.error, 1e-12))
                return here.size * (finer.size / here.size) ** min(part, 1.0)
        return here.size

    def _at(self, target: int, exact: bool) -> Found | None:
        """The best stream of about a target's size, or of no more than that; None if nothing fits."""
        rung = 0 if self._options.splats else self._nearest(target)
        while True:
            count = self._count(rung)
            self._job.progress("fit", 0.3)
            scene = self._scene(count)
            found = self._finest(scene, self._rung(rung), target, exact)
            if found is not None:
                return self._settled(scene, found, target if exact else None)
            if count == 1:
                return None
            rung += 1

    def _settled(self, scene: Gaussians, found: Found, limit: int | None) -> Found:
        """The stream again, with its rounding made up for, if that fits."""
        steps = STEPS[self._job.effort - 1] // 4
        whole = scene.count == self._builder.count
        if not steps or (whole and self._job.effort < PATIENT):
            return found
        self._job.progress("settle", 0.6)
        head = found[0].head
        stream = self._builder.coded(self._builder.settled(scene, head, steps), head)
        container = self._container_of(stream)
        fits = limit is None or len(container.to_bytes()) <= limit
        return (stream, container) if fits else found

    def _count(self, rung: int) -> int:
        return max(1, round(self._most * 2 ** (-rung / 2)))

    def _rung(self, rung: int) -> _Rung:
        count = self._count(rung)
        rungs: dict[int, _Rung] = self._job.memo.setdefault("rungs", {})
        if count not in rungs:
            rungs[count] = self._measured(count)
        return rungs[count]

    def _measured(self, count: int) -> _Rung:
        """A rung as it looks before it is refitted."""
        builder = self._builder
        draws = self._job.effort > 1
        scene = builder.merged(count, by_sight=draws)
        stream, container = self._coded(scene, USUAL)
        fineness, lost = float(USUAL), 0.0
        if draws:
            lost = builder.preview.error(scene) * (FITTED if count < builder.count else 1.0)
            rounded = builder.preview.difference(scene, stream.scene)
            ratio = rounded / max(SHARE * lost, 1e-12)
            fineness += min(max(2 * math.log2(max(ratio, 1e-12)), OWN[0] - USUAL), OWN[1] - USUAL)
        return _Rung(count, fineness, len(container.to_bytes()) * (1 + SLOPE * (fineness - USUAL)), (1 + SHARE) * lost)

    def _nearest(self, target: int) -> int:
        """The rung whose own size is nearest to a target."""
        last = math.ceil(2 * math.log2(self._most))
        rung = min(max(0, round(2 * math.log2(self._most * _USUAL_BYTES / target))), last)
        # Sizes fall from rung to rung: go on until the target lies between two.
        step = 1 if self._rung(rung).size > target else -1
        while 0 <= rung + step <= last and (self._rung(rung).size > target) == (step > 0):
            rung += step
        near = [k for k in (rung, rung - step) if 0 <= k <= last]
        return min(near, key=lambda k: abs(math.log(self._rung(k).size / target)))

    def _scene(self, count: int) -> Gaussians:
        steps = STEPS[self._job.effort - 1]
        return (
            self._builder.fitted(count, steps) if steps else self._builder.merged(count, by_sight=self._job.effort > 1)
        )

    def _finest(self, scene: Gaussians, rung: _Rung, target: int, exact: bool) -> Found | None:
        """The finest stream of a scene within a target; without need to be exact, the first one near it."""
        fixed = self._options.fineness
        if fixed:
            found = self._coded(scene, fixed)
            return found if len(found[1].to_bytes()) <= target or not exact else None
        low, high = LOWEST, HIGHEST
        if exact and STEPS[self._job.effort - 1]:
            target = round(target * ROOM)
        guess = rung.fineness + (target / rung.size - 1) / SLOPE
        best = None
        while low <= high:
            fineness = min(max(round(guess), low), high)
            found = self._coded(scene, fineness)
            size = len(found[1].to_bytes())
            if not exact and abs(math.log(size / target)) < NEAR:
                return found
            if size <= target:
                best, low = found, fineness + 1
            else:
                high = fineness - 1
            guess = fineness + (target / size - 1) / SLOPE
        return best

    def _coded(self, scene: Gaussians, fineness: int) -> Found:
        stream = self._builder.stream(scene, fineness, self._options.bits)
        return stream, self._container_of(stream)


ROOM = 0.985
"""Part of a limit that a stream may take before its rounding is made up for, which adds a percent."""
PATIENT = 7
"""Effort from which rounding is made up for where all splats are kept, too."""
NEAR = 0.06
"""Difference of the logarithm of a size to that of a target that is near enough: half a step of fineness."""
_USUAL_GOAL = 30.0
"""PSNR that a goal without one is taken for."""
_USUAL_BYTES = 3.8
"""Bytes of a splat where nothing is known yet."""
