"""Settings for a `mesh.lite` file of a given size.

```text
size ─► plans whose geometry fits ─► a glance at each, in rough colours ─► the best one for each share of the bytes
     ─► colours that fill the rest ─► a glance at each, coloured ─► the best one, with or without smoothing
```

A glance is a `Preview`: its views are not those that results are measured on.

Structure, scalars and colours compete for the same bytes, and which split is best differs between assets: several are
finished and looked at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.aims import Aims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.lookup import lookup
from squeeze3d.codecs.colour.model import encode_cells
from squeeze3d.codecs.colour.search import ColourSearch
from squeeze3d.codecs.colour.settings import ColourSettings
from squeeze3d.codecs.lite.build import COARSE, LiteBuilder, Plan
from squeeze3d.codecs.lite.cells import surface_flags
from squeeze3d.codecs.lite.model import SMOOTHING, Header, LiteModel, encode_geometry, to_container
from squeeze3d.codecs.lite.options import RESOLUTIONS, LiteOptions
from squeeze3d.codecs.lite.rebuild import FACTOR, to_mesh, vertex_normals
from squeeze3d.codecs.lite.steps import STEPS
from squeeze3d.codecs.spec import Job

LOOKING = 2
"""Effort at sizes that a search for a quality passes through."""
DEFAULT_SIZE = 1000
"""Bytes aimed at where nobody names a size."""
RAW = 10
"""Bytes of a stream that are neither geometry nor colours: raw fields, symbol hash, rounding."""
SHARES = (0.9, 0.75, 0.6, 0.45)
"""Shares of the room that geometry may take next to colours, the largest first."""
LEAST = 0.2
"""Plans below this share of the room are not worth a look where there are others."""
PLAIN_SHARE, PLAIN_LEAST = 0.985, 0.5
"""The same for assets of one colour, which costs next to nothing; the latter also where there is no time."""
FIRST_GRID = RESOLUTIONS.index(32)
HURRIED = {1: RESOLUTIONS.index(64), 2: RESOLUTIONS.index(80)}
"""Finest grids at low effort: finer ones take seconds, for what few assets need."""
GROWTH = 1.7
"""Bytes of a structure grow about with this power of the grid's resolution."""
TAUS = (1.0, 0.55, 1.5, 0.75)
"""Closing radii in cells, the most useful first. Smaller ones are kinder to gaps, larger ones cheaper."""
REFINE_FROM = 7
"""Effort from which scalars are refined."""
GENTLE = 1
"""Smoothing where there is no time to look at others: it hardly ever does harm."""
SEALING = 2.0
"""Closing radius for what leaks: cracks that let the flood into a hollow object."""
LEAK = 0.8
"""A structure leaks where sealing leaves less than this part of its surface cells."""
COLOUR_SIDE = 64
"""Colour grids beyond this many cells a side are only tried where there are bytes to fill them."""


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of the surface cells, and how they are coded."""

    full: Hierarchy
    aims: Aims
    settings: ColourSettings


@dataclass(frozen=True, eq=False)
class Found:
    """A finished stream."""

    plan: Plan
    paint: Paint
    model: LiteModel
    symbols: bytes
    look: Callable[[], float]

    @cached_property
    def score(self) -> float:
        """See `Preview.score`. Takes a picture, so only where there is something to compare."""
        return self.look()


class Search:
    """One search for a builder."""

    def __init__(self, builder: LiteBuilder, options: LiteOptions, job: Job) -> None:
        self.builder = builder
        self.options = options
        self.job = job
        # Where the size is only a place to look at, others will follow.
        self.effort = job.effort if job.exact else min(job.effort, LOOKING)
        empty = to_container(builder.pose, b"", 0, 0)
        # The length of the file and of its one chunk take a byte more than in an empty file.
        self.fixed = len(empty.to_bytes()) + 3

    def best(self) -> Found | None:
        """Best stream for the job's target size; None if nothing fits."""
        job = self.job
        # Where the size is only a place to look at, nobody minds a few bytes more.
        room = (job.target_size or DEFAULT_SIZE) * (1.0 if job.exact else 1.1) - self.fixed
        if room <= RAW:
            return None
        finalists = self._finalists(room)
        if self.effort < 3 and len(finalists) == 1:
            return self._coloured(finalists[0], room, FACTOR)
        found = []
        for index, plan in enumerate(finalists):
            job.progress("colours", 0.5 + 0.4 * index / len(finalists))
            result = self._coloured(plan, room, COARSE)
            if result is not None:
                found.append(result)
        if not found:
            return None
        found.sort(key=lambda f: -f.score)
        best = found[0]
        if not job.exact and job.judge is not None and self.builder.usual_share is None:
            # A quality is more than decibels: what it asks for is only seen by whoever asks. Once is enough.
            judge = job.judge
            best = max(found[:2], key=lambda f: judge(to_mesh(f.model, Limits())))
            used = self.builder.geometry(best.plan).bits / 8 / room
            self.builder.usual_share = (
                PLAIN_SHARE if self.builder.is_plain else min(SHARES, key=lambda s: abs(s - used))
            )
        return self._refined(best, room)

    def _refined(self, found: Found, room: float) -> Found:
        """The winner, made as it is decoded: with all sub-cells, and colours chosen with more care."""
        if self.effort < 3:
            return self._coloured(found.plan, room, FACTOR) or found
        plans = [found.plan]
        if self.effort >= REFINE_FROM and found.plan.step:
            plans.append(dataclasses.replace(found.plan, refined=True))
        made = [self._coloured(plan, room, FACTOR, thorough=True) for plan in plans]
        return max((self._smoothed(each) for each in made if each is not None), key=lambda f: f.score, default=found)

    def _finalists(self, room: float) -> list[Plan]:
        """The best plan for each of some shares of the room, the largest share first."""
        known = None if self.job.exact else self.builder.usual_share
        shares = (known,) if known is not None else self._shares
        looked = self._looked(shares[0] * room, list(self._first(shares[0] * room)))
        best = [plan for share in shares if (plan := self._best(looked, share * room)) is not None]
        for tau in self._taus[1:]:
            others = [dataclasses.replace(plan, tau=tau) for plan in dict.fromkeys(best) if plan.tau != SEALING]
            looked += self._looked(
                shares[0] * room, [plan for plan in others if self.builder.is_possible(plan.grid, plan.tau)]
            )
        best = [plan for share in shares if (plan := self._best(looked, share * room)) is not None]
        if self.builder.is_plain and known is None:
            # Nothing but the shape decides: the full field has the last word.
            best = sorted(looked, key=lambda plan: -self.builder.shape(plan).score)[: 1 + self.effort // 2]
        return list(dict.fromkeys(best))

    @property
    def _shares(self) -> tuple[float, ...]:
        if self.builder.is_plain:
            return (PLAIN_SHARE,)
        if self.effort == 1:
            return SHARES[1:2]
        return SHARES[: 2 if self.effort < 3 else None]

    @property
    def _taus(self) -> tuple[float, ...]:
        if self.options.tau:
            return (self.options.tau,)
        return TAUS[: 1 + (self.effort >= 3) + 2 * (self.effort >= 7)]

    def _looked(self, most: float, plans: list[Plan]) -> list[Plan]:
        """Plans that fit, after a look at each."""
        fitting: list[Plan] = []
        levels: dict[int, int] = {}
        level = 1
        for index, plan in enumerate(plans):
            self.job.progress("shape", 0.05 + 0.45 * index / len(plans))
            if self.builder.geometry(plan).bits / 8 <= most:
                # What suits one plan suits others of the same precision; in a hurry, all others.
                known = plan.step in levels or (self.effort < 3 and bool(levels))
                shape = self.builder.shape(plan, levels.get(plan.step, level), climb=not known)
                if np.isfinite(shape.score):
                    levels[plan.step] = level = shape.level
                    fitting.append(plan)
        return fitting

    def _best(self, plans: list[Plan], most: float) -> Plan | None:
        fitting = [plan for plan in plans if self.builder.geometry(plan).bits / 8 <= most]
        return max(fitting, key=lambda plan: self.builder.shape(plan).score, default=None)

    def _first(self, most: float) -> list[Plan]:
        """Plans that are worth a look at first, fine grids before coarse ones."""
        tau = self._taus[0]
        grids = self._grids(tau, most)
        # A crack of a cell lets the flood in at fine grids: a hollow object then pays for its inside.
        if self.effort > 1 and not self.options.tau and grids and self._leaks(grids[0], tau):
            tau = SEALING
            grids = self._grids(tau, most)
        return self._fair(tau, grids, most)[: 3 + 2 * self.effort]

    def _leaks(self, grid: int, tau: float) -> bool:
        sealed, usual = (np.count_nonzero(surface_flags(self.builder.centres(grid, t) < 0.5)) for t in (SEALING, tau))
        return bool(sealed < LEAK * usual)

    def _fair(self, tau: float, grids: list[int], most: float) -> list[Plan]:
        """Plans of one closing radius that take a fair share of the bytes."""
        steps = (self.options.step,) if self.options.step >= 0 else range(len(STEPS))
        plans = []
        for grid in grids:
            for step in steps:
                plan = Plan(grid, tau, step)
                if self.builder.geometry(plan).bits / 8 > most:
                    break
                plans.append(plan)
        least = (PLAIN_LEAST if self.builder.is_plain or self.effort < 3 else LEAST) * most
        # Where everything is small, the finest there is.
        fair = [plan for plan in plans if self.builder.geometry(plan).bits / 8 >= least] or plans[:3]
        # Where a thin wall is lost with scalars, it may be there without.
        return fair if self.effort > 1 else list(dict.fromkeys(fair[:3] + plans[:1]))

    def _grids(self, tau: float, most: float) -> list[int]:
        """Grids whose structure fits and takes a fair share, finest first."""
        if self.options.grid:
            wanted = RESOLUTIONS.index(self.options.grid)
            return [wanted] if self.builder.is_possible(wanted, tau) else []
        finest = self._finest(tau, most)
        result: list[int] = []
        for grid in range(finest, -1, -1):
            if not self.builder.is_possible(grid, tau):
                break
            if result and self._structure(grid, tau) < 0.5 * LEAST * most:
                break
            result.append(grid)
            if len(result) == 2 + self.effort // 2:
                break
        return result

    def _finest(self, tau: float, most: float) -> int:
        """The finest grid whose structure fits, -1 if none does. Few are tried: sizes follow a power of the sides."""
        fits, fails = -1, HURRIED.get(self.effort, len(RESOLUTIONS) - 1) + 1
        sizes: dict[int, float] = {}
        guess = FIRST_GRID
        while fails - fits > 1:
            sizes[guess] = size = self._structure(guess, tau)
            if size <= most:
                fits = guess
            else:
                fails = guess
            predicted = self._predicted(sizes, most)
            if self.effort < 3 and predicted <= fits:
                # A lattice of distances to see that the next grid does not fit is a luxury.
                break
            guess = min(max(predicted, fits + 1), fails - 1)
        return fits

    def _predicted(self, sizes: dict[int, float], most: float) -> int:
        """The finest grid that should fit, from the sizes of others."""
        known = sorted(grid for grid in sizes if sizes[grid] > 0)
        if not known:
            return len(RESOLUTIONS)
        near = min(known, key=lambda grid: abs(math.log(sizes[grid] / most)))
        power = GROWTH
        if len(known) > 1:
            low, high = known[-2:]
            ratio = RESOLUTIONS[high] / RESOLUTIONS[low]
            power = min(max(math.log(sizes[high] / sizes[low]) / math.log(ratio), 1.0), 3.0)
        side = RESOLUTIONS[near] * (most / sizes[near]) ** (1 / power)
        return max((grid for grid, cells in enumerate(RESOLUTIONS) if cells <= side), default=0)

    def _structure(self, grid: int, tau: float) -> float:
        """Bytes of a structure; 0 where the grid does not hold anything."""
        if not self.builder.is_possible(grid, tau):
            return 0.0
        return self.builder.geometry(Plan(grid, tau, 0)).bits / 8

    def _coloured(self, plan: Plan, room: float, factor: int, *, thorough: bool = False) -> Found | None:
        """A plan with the colours that fit beside it, on a field of `factor` sub-cells."""
        builder = self.builder
        made = builder.geometry(plan)
        if factor == COARSE:
            level, smoothing = builder.shape(plan).level, 0
        else:
            level = builder.fine_level(plan, climb=self.effort > 1)
            smoothing = 0 if thorough else GENTLE
        header = dataclasses.replace(builder.header(plan), level=level, smoothing=smoothing)
        full, aims = builder.cell_colours(plan, header, factor)
        left = room - RAW - made.bits / 8
        resolution = RESOLUTIONS[plan.grid]
        skips = [skip for skip in range(5) if 6 <= resolution >> skip <= max(COLOUR_SIDE, left / 10)][:3] or [0]
        for candidate in ColourSearch(full, aims).fill(left, skips, quick=not thorough):
            found = self._finished(plan, header, Paint(full, aims, candidate.settings), factor)
            if len(found.symbols) <= room:
                return found
        return None

    def _smoothed(self, found: Found) -> Found:
        """The same file with the smoothing that looks best; it takes no room."""
        for smoothing in range(1, len(SMOOTHING)):
            header = dataclasses.replace(found.model.header, smoothing=smoothing)
            smoother = self._finished(found.plan, header, found.paint, FACTOR)
            if smoother.score <= found.score:
                break
            found = smoother
        return found

    def _finished(self, plan: Plan, header: Header, paint: Paint, factor: int) -> Found:
        builder = self.builder
        made = builder.geometry(plan)
        encoder = encode_geometry(header, made.occupied, made.scalars)
        colours = encode_cells(encoder, paint.full, paint.aims, paint.settings)
        model = LiteModel(builder.pose, header, made.occupied, made.scalars, colours)

        def score() -> float:
            positions, triangles = builder.decoded(plan, header, factor)
            world = header.frame(builder.pose).to_world(positions)
            normals = vertex_normals(world, triangles)
            return builder.preview.score(world, triangles, normals, lookup(colours, positions))

        return Found(plan, paint, model, encoder.finish(), score)
