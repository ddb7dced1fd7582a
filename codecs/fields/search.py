"""Which coded grid, and how fine colours: the smallest file for a quality, or the best one for a size.

```text
quality ─► coarsest grids whose shape is good enough ─► colours for the error that is left ─► smallest ─► look, adjust
size    ─► grids whose structure leaves room         ─► colours for the bytes that are left ─► least error
           finest grid not good enough: a finer skin, colours behind it corrected, densities corrected
```

Sizes are estimated from counts of symbols, errors of colours from cells; views are rendered for each grid, and for what
has been chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from squeeze3d.assets.field import RadianceField
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.codecs.fields.build import FieldBuilder, Geometry, Skin
from squeeze3d.codecs.fields.model import Cells, Steps
from squeeze3d.codecs.fields.options import DEFAULT_STEP, FieldOptions
from squeeze3d.codecs.fields.preview import Preview
from squeeze3d.codecs.fields.rebuild import to_field
from squeeze3d.codecs.fields.skin_plans import SkinPlans
from squeeze3d.codecs.fields.transform import MAX_STEP, step_size
from squeeze3d.codecs.spec import Job

LADDER = 2 ** (1 / 4)
"""Ratio of the sides of coded grids that are looked at."""
FEWEST = 4
"""Cells along the longest side, at least."""
SHAPE_SHARE = 0.85
"""Part of the error that a goal allows which the grid alone may make."""
FINER = 2
"""Finer grids that are tried beside the coarsest one that will do."""
STRUCTURE_SHARE = 0.35
"""Part of a size that a structure takes where a search for grids begins."""
BUSY = 30_000
"""Cells of the skin from which on fewer palettes are tried."""
DEPTH_SHARE = 0.8
"""Step of corrections behind the skin, relative to the step of the skin."""
RICH = ColourSettings(ColourMode.PALETTE, entries=16, smoothness=800.0)
"""Palette of skins behind which colours are corrected."""
ROUNDS = 4
"""Looks at results that come closer and closer to what is wanted."""
CLOSE = 0.08
"""Decibels above a goal that are good enough."""
DENSITIES = (4, 8, 12, 16, 20, 24)
"""Steps of corrections of opacity that are tried."""
DENSITY_SHARE = 0.4
"""Part of the error that opacities may make where they are corrected."""
OVERHEAD = 14
"""Bytes of a stream that are neither structure nor colours, about."""
WARY = 0.3
"""Decibels above a goal that are aimed at where nobody measures."""
UNKNOWN_GOAL = 27.0


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that makes a stream."""

    geometry: Geometry
    skin: Skin
    colours: ColourSettings
    steps: Steps
    bytes: float
    """Estimated size of the stream."""
    error: float
    """Estimated mean squared error of views, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Found:
    """A finished stream."""

    plan: Plan
    symbols: bytes
    cells: Cells


class Search:
    """One search.

    Parameters
    ----------
    overhead : bytes of a file that are not in its stream.
    """

    def __init__(self, builder: FieldBuilder, preview: Preview, options: FieldOptions, job: Job, overhead: int) -> None:
        self.builder, self.preview, self.options, self.job = builder, preview, options, job
        self.overhead = overhead
        self._plans: dict[tuple[int, int, bool], SkinPlans] = job.memo.setdefault("plans", {})
        self._errors: dict[tuple[int, int], float] = job.memo.setdefault("errors", {})
        self._made: dict[tuple[object, ...], Found] = {}

    def best(self) -> Found | None:
        """The stream for the job's goal or size, or of the options alone; None if nothing fits."""
        if self.job.goal is not None:
            return self._for_goal(self.job.goal.psnr or UNKNOWN_GOAL)
        if self.job.target_size is not None:
            return self._for_size(self.job.target_size - self.overhead)
        return self._fixed()

    # What there is

    def _sizes(self) -> list[int]:
        """Sides of coded grids, the finest first."""
        if self.options.cells:
            return [min(self.options.cells, self.builder.longest)]
        sizes, side = [self.builder.longest], self.builder.longest / LADDER
        while side >= FEWEST:
            if round(side) < sizes[-1]:
                sizes.append(round(side))
            side /= LADDER
        return sizes

    def _geometry(self, longest: int, density: int = 0) -> Geometry | None:
        return self.builder.geometry(longest, density or self.options.density)

    def _shape_error(self, geometry: Geometry) -> float:
        """Error of views with colours that are not coded."""
        key = (geometry.head.longest, geometry.density)
        if key not in self._errors:
            self.job.progress(f"grid of {geometry.head.longest}", 0.3)
            self._errors[key] = self.preview.error(self.builder.shown(geometry, self.builder.skin(geometry)))
        return self._errors[key]

    def _skin_plans(self, geometry: Geometry) -> SkinPlans:
        key = (geometry.head.longest, geometry.density, self.job.effort < 3)
        if key not in self._plans:
            skin = self.builder.skin(geometry)
            quick = self.job.effort < 3 or len(skin.rgb) > BUSY
            self._plans[key] = SkinPlans(geometry, skin, step=self.options.step, quick=quick)
        return self._plans[key]

    def _made_of(self, plan: Plan) -> Found:
        key = (plan.geometry.head.longest, plan.geometry.density, plan.colours, plan.steps)
        if key not in self._made:
            encoder = SymbolEncoder()
            cells = self.builder.encode(encoder, plan.geometry, plan.skin, plan.colours, plan.steps)
            self._made[key] = Found(plan, encoder.finish(), cells)
        return self._made[key]

    def _field(self, found: Found) -> RadianceField:
        return to_field(found.cells, self.builder.content.box, Limits())

    def _looked_at(self, found: Found) -> float:
        return self.preview.error(self._field(found))

    # Plans

    def _flat(self, geometry: Geometry, *, error: float = 0.0, size: float | None = None) -> Plan | None:
        """The plan that copies the colours of the skin: the smallest for an error of views, or the best for a size."""
        shape = self._shape_error(geometry)
        share = self.preview.covered / 255**2
        fixed = geometry.bits / 8 + OVERHEAD
        if size is not None:
            skin = self._skin_plans(geometry).for_bytes(size - fixed)
        else:
            skin = self._skin_plans(geometry).for_error((error - shape) / max(share, 1e-9))
        if skin is None:
            return None
        steps = Steps(geometry.density, skin.step)
        colours = self.builder.skin(geometry)
        return Plan(geometry, colours, skin.colours, steps, fixed + skin.bytes, shape + share * skin.error)

    def _deep(self, geometry: Geometry, step: int) -> Plan:
        """A plan that corrects colours behind the skin; its size and error are not estimated."""
        depth = self.options.depth or min(max(round(DEPTH_SHARE * step_size(step - 1)), 1), 63)
        skin = self.builder.own_skin(geometry)
        return Plan(geometry, skin, RICH, Steps(geometry.density, step, depth), math.inf, math.inf)

    def _deepest(self, geometry: Geometry, fits: Callable[[Found], bool], *, coarse: bool) -> Found | None:
        """The coarsest, or the finest, deep plan that fits."""
        low, high, best = 1, MAX_STEP + 1, None
        if self.options.step:
            low = high = self.options.step
        while low <= high:
            middle = (low + high) // 2
            found = self._made_of(self._deep(geometry, middle))
            good = fits(found)
            if good:
                best = found
            if good == coarse:
                low = middle + 1
            else:
                high = middle - 1
        return best

    # Goals

    def _fixed(self) -> Found | None:
        options = self.options
        geometry = self._geometry(min(options.cells or self.builder.longest, self.builder.longest))
        if geometry is None:
            return None
        step = options.step or DEFAULT_STEP
        skin = self.builder.own_skin(geometry) if options.depth else self.builder.skin(geometry)
        uniform = ColourSettings(ColourMode.UNIFORM)
        plain = SkinPlans(geometry, skin).plan(uniform, 0).error < 0.05
        steps = Steps(geometry.density, 0 if plain else step, options.depth)
        return self._made_of(Plan(geometry, skin, uniform if plain else RICH, steps, 0.0, 0.0))

    def _for_goal(self, decibels: float) -> Found | None:
        """Aim at the preview; where somebody measures, move the aim by what the measurement says."""
        judge = self.job.judge
        aim = decibels + (0.0 if judge is not None else WARY)
        best: tuple[Found, float] | None = None
        for _ in range(1 if judge is None else 2 + self.job.effort // 3):
            found = self._for_error(10 ** (-aim / 10))
            if found is None or judge is None:
                return found
            self.job.progress("measure", 0.8)
            margin = judge(self._field(found))
            if best is None or _serves_better((found, margin), best):
                best = found, margin
            if 0 <= margin <= 2 * CLOSE or not math.isfinite(margin):
                break
            aim -= margin - CLOSE / 2
        return None if best is None else best[0]

    def _for_error(self, error: float) -> Found | None:
        """The smallest stream whose preview has at most this error; the best there is if none does."""
        best: tuple[float, Found] | None = None
        wanted = error
        for _ in range(ROUNDS):
            plan = self._flat_for(wanted)
            if plan is None:
                break
            found = self._made_of(plan)
            seen = self._looked_at(found)
            better = best is None or (seen <= error, -len(found.symbols)) > (best[0] <= error, -len(best[1].symbols))
            if better:
                best = seen, found
            above = 10 * math.log10(error / max(seen, 1e-30))
            if 0 <= above <= CLOSE or plan.error <= 0:
                break
            wanted *= 10 ** (min(max(above - CLOSE / 3, -1.5), 1.5) / 10)
        if best is None or best[0] > error:
            deep = self._deep_for(error)
            if deep is not None:
                return deep
        return None if best is None else best[1]

    def _flat_for(self, error: float) -> Plan | None:
        """Of the coarsest grids that will do, the one with the smallest plan; None if none will."""
        if self.options.depth:
            return None
        sizes = self._sizes()
        # Errors fall with the grid: find the last of the sizes that is good enough.
        low, high, last = 0, len(sizes) - 1, None
        while low <= high:
            middle = (low + high) // 2
            geometry = self._geometry(sizes[middle])
            if geometry is not None and self._shape_error(geometry) <= SHAPE_SHARE * error:
                last, low = middle, middle + 1
            else:
                high = middle - 1
        plans: list[Plan] = []
        if last is not None:
            for size in reversed(sizes[max(0, last - FINER) : last + 1]):
                geometry = self._geometry(size)
                if geometry is None or (plans and geometry.bits / 8 > min(plan.bytes for plan in plans)):
                    continue
                plan = self._flat(geometry, error=error)
                if plan is not None:
                    plans.append(plan)
        elif not self.options.density:
            found = (self._flat(geometry, error=error) for geometry in self._dense(sizes, error))
            plans = [plan for plan in found if plan is not None]
        return min(plans, key=lambda plan: plan.bytes, default=None)

    def _dense(self, sizes: Sequence[int], error: float) -> Iterator[Geometry]:
        """Grids with corrected opacities that are good enough, one for every other size."""
        for size in sizes[:7:2]:
            for density in DENSITIES:
                geometry = self._geometry(size, density)
                if geometry is not None and self._shape_error(geometry) <= SHAPE_SHARE * error:
                    yield geometry
                    break

    def _deep_for(self, error: float) -> Found | None:
        """The coarsest deep plan on the finest grid with at most this error; the finest one if none is good enough."""
        geometry = self._geometry(self._sizes()[0])
        if geometry is None:
            return None
        for density in DENSITIES:
            if self.options.density or self._opacity_error(geometry) <= DENSITY_SHARE * error:
                break
            geometry = self._geometry(self._sizes()[0], density) or geometry
        found = self._deepest(geometry, lambda made: self._looked_at(made) <= error, coarse=True)
        return found or self._made_of(self._deep(geometry, self.options.step or 1))

    def _opacity_error(self, geometry: Geometry) -> float:
        """Error of views in the colours of the original."""
        return self.preview.error(self.builder.in_own_colours(geometry))

    def _for_size(self, size: float) -> Found | None:
        """The best stream of at most so many bytes; None if none fits."""
        room = size
        while True:
            plan = self._flat_within(room)
            if plan is None:
                return None
            found = self._made_of(plan)
            excess = len(found.symbols) - size
            if excess <= 0 or not self.job.exact:
                break
            # Estimates are a few bytes off: the next plan has to be smaller by what this one is too large.
            room = min(room, plan.bytes) - excess - 1
        if not self.options.depth and (
            plan.geometry.head.is_coarse or plan.error > 4 * self._shape_error(plan.geometry)
        ):
            return found
        deep = self._deep_within(size)
        if deep is None or (not self.options.depth and self._looked_at(deep) > self._looked_at(found)):
            return found
        return deep

    def _flat_within(self, room: float) -> Plan | None:
        sizes = self._sizes()
        fitting = [i for i, side in enumerate(sizes) if self._structure_bytes(side) <= STRUCTURE_SHARE * room]
        start = fitting[0] if fitting else len(sizes) - 1
        tried: dict[int, Plan | None] = {}

        def error(i: int) -> float:
            if i not in tried:
                geometry = self._geometry(sizes[i])
                tried[i] = None if geometry is None else self._flat(geometry, size=room)
            plan = tried[i]
            return math.inf if plan is None else plan.error

        at = start
        for way in (-1, 1):
            while 0 <= at + way < len(sizes) and error(at + way) < error(at):
                at += way
        if not math.isfinite(error(at)):
            # The usual share does not fit: whatever does, the finest first.
            at = next(
                (i for i in range(len(sizes)) if self._structure_bytes(sizes[i]) < room and error(i) < math.inf), at
            )
        return tried[at]

    def _structure_bytes(self, side: int) -> float:
        geometry = self._geometry(side)
        return math.inf if geometry is None else geometry.bits / 8

    def _deep_within(self, size: float) -> Found | None:
        geometry = self._geometry(self._sizes()[0])
        if geometry is None:
            return None
        return self._deepest(geometry, lambda made: len(made.symbols) <= size, coarse=False)


def _serves_better(one: tuple[Found, float], other: tuple[Found, float]) -> bool:
    """Whether one result, with its margin over a goal, is preferable."""
    if (one[1] >= 0) != (other[1] >= 0):
        return one[1] >= 0
    return len(one[0].symbols) < len(other[0].symbols) if one[1] >= 0 else one[1] > other[1]
