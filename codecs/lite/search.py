"""Settings for a `mesh.lite` file of a given size.

```text
size ─► plans whose geometry leaves room for colours ─► decode, distance to the original ─► the best few
     ─► colours that fill the rest ─► the judge, where there is one
```

Structure, scalars and colours compete for the same bytes, and which split is best differs between assets: several are
decoded and looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.model import encode_colours
from squeeze3d.codecs.colour.search import Candidate as ColourCandidate
from squeeze3d.codecs.colour.search import choose
from squeeze3d.codecs.lite.build import LiteBuilder, Plan, grids
from squeeze3d.codecs.lite.field import LEVELS
from squeeze3d.codecs.lite.model import LiteModel, encode_geometry, to_container
from squeeze3d.codecs.lite.options import RESOLUTIONS, LiteOptions
from squeeze3d.codecs.lite.rebuild import to_mesh
from squeeze3d.codecs.lite.steps import STEPS
from squeeze3d.codecs.spec import Job

DEFAULT_SIZE = 1000
"""Bytes aimed at where nobody names a size."""
RAW = 10
"""Bytes of a stream that are neither geometry nor colours: raw fields, symbol hash, rounding."""
LEAST, MOST = 0.25, 0.88
"""Shares of the room that geometry may take."""
TAUS = (1.0, 0.55)
"""Closing radii in cells; the smaller one is kinder to gaps, the larger one cheaper."""
DISTANCE_WEIGHT = 20.0
"""What a root mean square distance of the whole box counts against a squared colour error of 1."""
COLOUR_SIDE = 64
"""Colour grids beyond this many cells a side are only tried where there are bytes to fill them."""


@dataclass(frozen=True)
class Found:
    """A finished stream."""

    model: LiteModel
    symbols: bytes
    error: float
    """Render-free: geometry and colour."""


class Search:
    """One search for a builder."""

    def __init__(self, builder: LiteBuilder, options: LiteOptions, job: Job) -> None:
        self.builder = builder
        self.options = options
        self.job = job
        empty = to_container(builder.pose, b"", 0, 0)
        # The length of the file and of its one chunk take a byte more than in an empty file.
        self.fixed = len(empty.to_bytes()) + 3

    def best(self) -> Found | None:
        """Best stream for the job's target size; None if nothing fits."""
        job = self.job
        # Where the size is only a place to look at, nobody minds a few bytes more.
        room = (job.target_size or DEFAULT_SIZE) * (1.0 if job.exact else 1.1) - self.fixed
        plans = self._plans(room)
        finalists = 1 + (job.effort >= 3) + (job.effort >= 5) + (job.effort >= 8)
        ranked: list[tuple[float, Plan, int]] = []
        for index, plan in enumerate(plans):
            job.progress("decode", 0.1 + 0.5 * index / len(plans))
            level = min(range(len(LEVELS)), key=lambda level: self.builder.error(plan, level))
            ranked.append((self.builder.error(plan, level), plan, level))
        ranked.sort(key=lambda entry: entry[0])
        found = []
        for index, (_, plan, level) in enumerate(ranked[:finalists]):
            job.progress("colours", 0.6 + 0.3 * index / finalists)
            result = self._coloured(plan, level, room)
            if result is not None:
                found.append(result)
        judge = job.judge
        if not found:
            return None
        if judge is None or len(found) == 1:
            return min(found, key=lambda f: f.error)
        return max(found, key=lambda f: judge(to_mesh(f.model, Limits())))

    def _plans(self, room: float) -> list[Plan]:
        """Plans whose geometry takes a fair share of the room, at most a dozen."""
        plans = list(self._affordable(room))
        fair = [p for p in plans if self.builder.geometry(p).bits / 8 >= LEAST * room]
        # Where everything is small, the finest there is.
        chosen = fair or plans[-3:]
        most = 2 + 2 * self.job.effort
        if len(chosen) > most:
            chosen.sort(key=lambda p: -self.builder.geometry(p).bits)
            chosen = chosen[:: max(1, len(chosen) // most)][:most]
        return chosen

    def _affordable(self, room: float) -> Iterator[Plan]:
        options, builder = self.options, self.builder
        wanted = [RESOLUTIONS.index(options.grid)] if options.grid else list(grids())
        taus = (options.tau,) if options.tau else TAUS if self.job.effort >= 4 else TAUS[:1]
        steps = (options.step,) if options.step >= 0 else range(len(STEPS))
        for grid in wanted:
            too_large = True
            for tau in taus:
                if not builder.is_possible(grid, tau):
                    too_large = False
                    continue
                for step in steps:
                    plan = Plan(grid, tau, step)
                    if builder.geometry(plan).bits / 8 > MOST * room:
                        break
                    too_large = False
                    yield plan
            if too_large:
                return

    def _coloured(self, plan: Plan, level: int, room: float) -> Found | None:
        """A plan with the colours that fit beside it."""
        builder = self.builder
        made = builder.geometry(plan)
        header = dataclasses.replace(made.header, level=level)
        flags, rgb, weights = builder.cell_colours(plan, header)
        left = room - RAW - made.bits / 8
        resolution = RESOLUTIONS[plan.grid]
        skips = [skip for skip in range(5) if 6 <= resolution >> skip <= max(COLOUR_SIDE, left / 10)][:3] or [0]
        candidates = choose(flags, rgb, weights, left, skips=skips)
        for candidate in reversed(candidates):
            found = self._finished(plan, level, candidate, flags, rgb, weights)
            if len(found.symbols) <= room:
                return found
        return None

    def _finished(
        self,
        plan: Plan,
        level: int,
        candidate: ColourCandidate,
        flags: NDArray[np.bool_],
        rgb: NDArray[np.uint8],
        weights: NDArray[np.float64],
    ) -> Found:
        builder = self.builder
        made = builder.geometry(plan)
        header = dataclasses.replace(made.header, level=level)
        encoder = encode_geometry(header, made.occupied, made.scalars)
        colours = encode_colours(encoder, flags, rgb, weights, candidate.settings)
        model = LiteModel(builder.pose, header, made.occupied, made.scalars, colours)
        return Found(model, encoder.finish(), DISTANCE_WEIGHT * builder.error(plan, level) + candidate.error / 255**2)
