"""Settings for a `mesh.surface` file: the user's, or the best found for a target size.

Bytes go to triangles and to colours. A `Plan` says how they are shared, how fine the grid is, how densely colours stand
and whether the mesh is cut where they jump, or whether they are a picture. `Search` fills plans up to the target, two
at a time, looks at the results (`SurfaceBuilder.error`), and walks from the best plan to its neighbours, then from the
next best, until it has tried enough. What it finds depends on no clock and no number of cores.

```text
plan ─► most triangles within their share ─► fitted, rounded ─► finest colours within the rest ─► error on views
  ▲                                                                                                   │
  └─────────────────────────────── neighbours of the best plan so far ◄───────────────────────────────┘
```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from squeeze3d.bitstream.binary import BinaryMeter
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.surface.build import SurfaceBuilder
from squeeze3d.codecs.surface.guesses import BYTES_PER_FACE, Hints, finest
from squeeze3d.codecs.surface.model import MAX_BITS, MIN_BITS, Details, SurfaceModel, write_colours
from squeeze3d.codecs.surface.options import (
    DEFAULT_DETAIL,
    DEFAULT_FACES,
    DEFAULT_STEP,
    PICTURE_DETAIL,
    Colour,
    SurfaceOptions,
)
from squeeze3d.codecs.surface.paint import Goal
from squeeze3d.codecs.surface.picture import Picture
from squeeze3d.codecs.surface.plans import CUTS, DENSITIES, SHARES, TEXELS_PER_BYTE, Plan, first_share
from squeeze3d.codecs.surface.portrait import FINEST_PICTURE, Sitting
from squeeze3d.codecs.surface.shapes import Care, Shape
from squeeze3d.errors import UsageError
from squeeze3d.threads import THREADS, side_by_side

MOST_TEXELS = 250_000
"""Of a picture: what takes a second or two to paint."""
NEAR = 2.0
"""Ratio of target sizes within which a search begins with the plan that won before."""
STRIDE = 3
"""How far from the first share others are tried before its neighbours are."""
HEADER = 7
"""Bytes of a stream's parameters and hash."""
COARSEST_STEP = 63
STEPS_PER_OCTAVE = 9
QUALITIES_PER_OCTAVE = 10
"""Of pictures."""
FAST = 8
"""Speed of the coder of pictures while searching."""
SPEEDS = (7, 7, 6, 6, 4, 4, 3, 2, 1)
"""And at the end, by effort."""
SAVED = {1: 1.25, 2: 1.24, 3: 1.22, 4: 1.2, 6: 1.1, 7: 1.03}
"""How much larger pictures of equal quality are while searching, by speed at the end."""
SAVED_DETAILS = 1.05
"""The same for details."""
HASTY, HASTY_ROOM = 1, 4000
"""Effort up to which shapes of more bytes are not fitted to views: most gain nothing, and it takes half a second."""
THOROUGH = 4
"""Effort from which pictures are painted from `FINAL_SAMPLES` samples of a texel in each direction at the end."""
FINAL_SAMPLES = 2
FULL_PICTURE = 0.97
"""Part of the room for a picture from which no finer one is tried, at the end."""
FULL = 0.96
"""Part of the room for colours from which no finer ones are tried."""
ALL = 0.98
"""Part of the triangles worth keeping from which bits that are left go into finer coordinates."""
MOST_BITS, MOST_PLAIN_BITS = 14, 17
"""Bits of a coordinate up to which that is done, and where there are no colours to spend bytes on."""
AIM = 0.985
"""Part of the room that guesses of a number of triangles aim for."""


@dataclass(frozen=True)
class Effort:
    """How long to look."""

    care: Care
    """For the shapes of all attempts but the last."""
    attempts: int


ATTEMPTS = (3, 6, 8, 11, 15, 20, 24, 40, 80)
"""Plans that are tried, by effort, where they take long."""
LONG, MOST_TIMES = 30_000, 2.0
"""Bytes from which on that is so. Of fewer bytes there are more attempts, up to so many times as many."""
FINALISTS = 3
"""Plans that are coded slowly and fitted to views at most, where that is quick: the order changes then."""
CAREFUL = 7
"""Effort from which all of them are fitted to views, and not the best alone."""
SMALL_ROOM, SMALL_TIMES = 2500, 1.5
"""Bytes below which that is so from `THOROUGH` on, and there are so many times as many attempts: all is quick there."""


@dataclass(frozen=True)
class Outcome:
    """What trying a plan led to. Models are large: that of the best is kept, those of others are not."""

    plan: Plan
    care: Care
    hints: Hints
    error: float


@dataclass(frozen=True)
class Candidate(Outcome):
    """A model that fits."""

    model: SurfaceModel
    size: float

    def outcome(self) -> Outcome:
        """The same without the model."""
        return Outcome(self.plan, self.care, self.hints, self.error)


class Search:
    """One search over plans for a builder.

    Parameters
    ----------
    measure : size in bytes of the whole file of a model.
    overhead : bytes of a file beside the stream.
    """

    def __init__(
        self,
        builder: SurfaceBuilder,
        options: SurfaceOptions,
        job: Job,
        measure: Callable[[SurfaceModel], int],
        overhead: int,
    ) -> None:
        self.builder, self.options, self.job = builder, options, job
        self.measure = measure
        self.overhead = overhead + HEADER
        colour = options.colour
        self._hints = Hints(builder.sizes)
        opaque = builder.components == 3
        if colour is Colour.PICTURE and not opaque:
            raise UsageError("a picture has no transparency", hint="use `-O colour=smooth` or `-O colour=auto`")
        self.choose = opaque and colour is Colour.AUTO
        self.speed = SPEEDS[min(max(job.effort, 1), len(SPEEDS)) - 1]
        self.plain = colour is Colour.CONSTANT or (colour is Colour.AUTO and builder.is_uniform)

    def best(self) -> Candidate | None:
        """Best model for the job's target size, or with the options alone; None if nothing fits."""
        target = self.job.target_size
        self.builder.shapes.begin(views=target is None or self.job.effort > HASTY)
        if target is None:
            return self._as_asked()
        room = target - self.overhead
        level = min(max(self.job.effort, 1), len(ATTEMPTS))
        small = level >= THOROUGH and room < SMALL_ROOM and self.job.exact
        times = 1.0 if level <= HASTY else float(np.clip(np.sqrt(LONG / max(room, 1)), 1.0, MOST_TIMES))
        times *= SMALL_TIMES if small else 1.0
        careful = small or level >= CAREFUL
        effort = Effort(Care.VIEWS if careful else Care.POINTS, round(ATTEMPTS[level - 1] * times))
        start, before = self.job.memo.get("plan", (None, 0))
        if start is None or not before / NEAR <= target <= before * NEAR:
            start = Plan(share=first_share(room))
        if self.options.colour is Colour.PICTURE and not start.picture:
            start = start.other_mode()
        ranked, best = self._climb(start, room, effort)
        if best is None and not self.plain and self.options.colour is Colour.AUTO:
            self.plain = True  # Colours of their own take too much: one must do.
            ranked, best = self._climb(start, room, effort)
        if best is None:
            return None
        self.job.memo["plan"] = best.plan, target
        count = int(np.clip(LONG / FINALISTS / max(room, 1), 1, FINALISTS)) if level > HASTY and self.job.exact else 1
        finals = [final for one in ranked[:count] if (final := self._final(one, room)) is not None]
        return self._fitting(min(finals, key=lambda one: one.error, default=best), target)

    def _final(self, searched: Outcome, room: float) -> Candidate | None:
        """A plan coded as well as effort allows, and fitted to views if that helps."""
        plan, care = searched.plan, searched.care
        # Slow coders need no more bytes for the same quality than were allowed for fast ones.
        hints = searched.hints
        if not self.job.exact or (self.job.effort <= HASTY and room > HASTY_ROOM):
            return self._filled(plan, care, room, hints, final=True)
        other = Care.POINTS if care is Care.VIEWS else Care.VIEWS
        best, tried = side_by_side(
            lambda one: self._filled(plan, one, room, hints.copy(), final=one is care), (care, other)
        )
        if tried is not None and tried.error < searched.error:
            tried = self._filled(plan, other, room, tried.hints, final=True)
            if tried is not None and (best is None or tried.error < best.error):
                return tried
        return best

    def _climb(self, start: Plan, room: float, effort: Effort) -> tuple[list[Outcome], Candidate | None]:
        """The start, its neighbours, the neighbours of the best of those, and so on; best first, and the best model."""
        known: dict[Plan, Outcome | None] = {}
        best: Candidate | None = None

        def attempt(*plans: Plan) -> None:
            """Fill plans that have not been, side by side."""
            nonlocal best
            self.job.progress("search", 0.15 + 0.8 * len(known) / effort.attempts)
            fresh = [plan for plan in dict.fromkeys(plans) if plan not in known][: effort.attempts - len(known)]
            found = self._filled_all(fresh, effort.care, room)
            known.update((plan, one and one.outcome()) for plan, one in zip(fresh, found, strict=True))
            best = min((one for one in (best, *found) if one is not None), key=lambda one: one.error, default=None)

        def ranked() -> list[Outcome]:
            return sorted((found for found in known.values() if found is not None), key=lambda one: one.error)

        if self.plain:
            attempt(start)
            attempt(replace(start, finer=-1), replace(start, finer=1))
            return ranked(), best
        modes = [start]
        if self.choose:
            # Each kind of colours leads to other shares: the best one is known before they are looked for.
            smooth = start.other_mode() if start.picture else start
            modes += [start.other_mode(), replace(smooth, cut=1 - smooth.cut)]
        attempt(*modes)
        # Far shares, of the best plan with either kind of colours: each kind leads to other ones.
        kinds: dict[bool, Outcome] = {}
        for found in ranked():
            kinds.setdefault(found.plan.picture, found)
        if best is not None:
            start = best.plan
        shares = [min(max(start.share + far, 0), len(SHARES) - 1) for far in (STRIDE, -STRIDE)]
        far = [replace(found.plan, share=share) for found in kinds.values() for share in shares]
        attempt(*(far or (replace(start, share=share) for share in shares)))
        for share in range(start.share - 1, -1, -1):
            if best is not None:
                break
            known.clear()  # Nothing fits so far: that is no reason to stop.
            attempt(replace(start, share=share))
        left: set[Plan] = set()
        while len(known) < effort.attempts:
            # Those that differ in one thing, two at a time; on from the first that is better. At the end, from the
            # second best plan and so on.
            rest = [found for found in ranked() if found.plan not in left]
            if not rest:
                break
            before, centre = best, rest[0]
            fresh = [plan for plan in centre.plan.neighbours() if plan not in known]
            for k in range(0, len(fresh), THREADS):
                attempt(*fresh[k : k + THREADS])
                if best is not before:
                    break
            if best is before:
                left.add(centre.plan)
        return ranked(), best

    def _filled_all(self, plans: list[Plan], care: Care, room: float) -> list[Candidate | None]:
        """`_filled` for each of the plans, side by side. None learns from the others what it might not know in time."""
        before = self._hints.copy()
        hints = [before.copy() for _ in plans]
        found = side_by_side(lambda k: self._filled(plans[k], care, room, hints[k]), range(len(plans)))
        for own in hints:
            self._hints.learn(own, before)
        return found

    def _as_asked(self) -> Candidate:
        """With the options, and defaults for the rest."""
        builder, options = self.builder, self.options
        faces = options.faces or DEFAULT_FACES
        shape = builder.shapes.shape(faces, options.bits or builder.shapes.auto_bits(faces), Care.VIEWS)
        if self.plain:
            model = builder.constant(shape)
        elif options.colour is Colour.PICTURE:
            return self._picture_as_asked(shape)
        else:
            painter = builder.painter(shape)
            detail = options.detail or DEFAULT_DETAIL
            goal = painter.goal(painter.spacing(detail * len(shape.triangles) / 2), CUTS[0])
            model = builder.detailed(shape, goal.details(_step_number(options.step or DEFAULT_STEP), careful=True))
        return Candidate(Plan(0), Care.VIEWS, self._hints, builder.error(model), model, self.measure(model))

    def _picture_as_asked(self, shape: Shape) -> Candidate:
        portraitist = self.builder.portraitist(shape)
        texels = (self.options.detail or PICTURE_DETAIL) * len(shape.triangles)
        sitting = portraitist.sitting(portraitist.texel(texels), FINAL_SAMPLES)
        if sitting is None:
            raise UsageError(
                "a picture of so many colours is too large", hint="give fewer: `-O detail=N`, `-O faces=N`"
            )
        quality = _quality(self.options.step or DEFAULT_STEP)
        model = self.builder.pictured(shape, sitting.picture(quality, subsampled=False, speed=self.speed))
        error = self.builder.error(model)
        return Candidate(Plan(0, picture=True), Care.VIEWS, self._hints, error, model, self.measure(model))

    def _fitting(self, found: Candidate, target: int) -> Candidate | None:
        """The candidate, or one with coarser colours or fewer triangles if its file is larger than the target."""
        for _ in range(12):
            size = self.measure(found.model)
            if size <= target or not self.job.exact:
                return replace(found, size=size)
            room = target - self.overhead - (size - target) - 1
            self.overhead += size - target + 1
            other = self._filled(found.plan, found.care, max(room, 1), self._hints, final=True)
            if other is None:
                return None
            found = other
        return None

    def _filled(self, plan: Plan, care: Care, room: float, hints: Hints, *, final: bool = False) -> Candidate | None:
        """The model of a plan that takes about `room` bytes, no more than a few too many.

        While searching, colours are coded fast, in as many bytes more as that takes.
        """
        share = 0.0 if self.plain else SHARES[plan.share]
        shape = self._most_faces(plan, room * (1 - share), care, hints)
        if shape is None:
            return None
        if self.plain:
            model = self.builder.constant(shape)
            return Candidate(plan, care, hints, self.builder.error(model), model, shape.size + 3)
        left = room - shape.size
        painter = self.builder.painter(shape)
        if plan.picture:
            return self._pictured(plan, shape, left, care, hints, final=final)
        spacing = (
            painter.spacing(self.options.detail * len(shape.triangles) / 2)
            if self.options.detail
            else painter.spacing(DENSITIES[plan.density] * left)
        )
        goal = painter.goal(spacing, CUTS[plan.cut])
        if plan.cut and goal.canvas.flags is None:
            return None
        found = self._finest_details(goal, left * (1.0 if final else SAVED_DETAILS), hints, careful=final)
        if found is None:
            return None
        details, size = found
        model = self.builder.detailed(shape, details)
        return Candidate(plan, care, hints, self.builder.error(model), model, shape.size + size)

    def _pictured(
        self, plan: Plan, shape: Shape, room: float, care: Care, hints: Hints, *, final: bool
    ) -> Candidate | None:
        """A shape with the finest picture within `room` bytes."""
        portraitist = self.builder.portraitist(shape)
        wanted = min(TEXELS_PER_BYTE[plan.density] * room, MOST_TEXELS)
        texel = portraitist.texel(wanted)
        sitting = portraitist.sitting(texel, FINAL_SAMPLES if final and self.job.effort >= THOROUGH else 1)
        room *= 1.0 if final else SAVED[self.speed]
        picture = None if sitting is None else self._finest_picture(sitting, room, hints, final=final)
        if picture is None:
            return None
        model = self.builder.pictured(shape, picture)
        size = shape.size + len(picture.data) + 1
        return Candidate(plan, care, hints, self.builder.error(model), model, size)

    def _finest_details(self, goal: Goal, room: float, hints: Hints, *, careful: bool) -> tuple[Details, float] | None:
        """The finest colours within `room` bytes, nearly."""
        if self.options.step:
            step = _step_number(self.options.step)
            details = goal.details(step, careful=careful)
            size = self._colour_bytes(details)
            return (details, size) if size <= room else None

        def coded(step: int) -> tuple[Details, float]:
            details = goal.details(step, careful=careful)
            return details, self._colour_bytes(details)

        found = finest(coded, hints.step, COARSEST_STEP, room, STEPS_PER_OCTAVE, FULL, pairs=careful)
        if found is None:
            return None
        hints.step, details, size = found
        return details, size

    def _finest_picture(self, sitting: Sitting, room: float, hints: Hints, *, final: bool) -> Picture | None:
        """The finest picture within `room` bytes, nearly."""
        speed, full = (self.speed, FULL_PICTURE) if final else (FAST, FULL)

        def coded(step: int) -> tuple[Picture, float]:
            picture = sitting.picture(FINEST_PICTURE - step, subsampled=False, speed=speed)
            return picture, len(picture.data) + 1

        guess = FINEST_PICTURE - hints.quality
        found = finest(coded, guess, FINEST_PICTURE, room, QUALITIES_PER_OCTAVE, full, pairs=final)
        if found is None:
            return None
        hints.quality = FINEST_PICTURE - found[0]
        return found[1]

    def _colour_bytes(self, details: Details) -> float:
        meter = BinaryMeter()
        write_colours(meter, self.builder.look_of_colours, (), details)
        return meter.bits / 8

    def _most_faces(self, plan: Plan, budget: float, care: Care, hints: Hints) -> Shape | None:
        """Shape with the most triangles within the budget, to about 4 %.

        The grid is that which suits a first guess. A few more guesses find the number, on shapes without care.
        """
        if budget <= 0:
            return None
        shapes = self.builder.shapes
        limit = min(self.options.faces or 1 << 22, shapes.most_faces)
        bits = self._bits(int(min(budget / BYTES_PER_FACE, limit)), plan)
        known = hints.sizes.setdefault(bits, {})
        for _ in range(8):
            below = max((faces for faces, size in known.items() if size <= budget and faces <= limit), default=0)
            above = min((faces for faces, size in known.items() if size > budget and faces > below), default=limit + 1)
            if below == limit or above - below <= 1 or (below and known[below] > FULL * budget):
                break
            guess = max(below + 1, min(hints.faces(AIM * budget, bits, below, above), above - 1))
            known[guess] = shapes.shape(guess, bits, Care.NONE).size
        found = max((faces for faces, size in known.items() if size <= budget and faces <= limit), default=0)
        if not found:
            return None
        if found >= ALL * shapes.most_faces and not self.options.bits:
            most = MOST_PLAIN_BITS if self.plain else MOST_BITS
            while bits < most and shapes.shape(found, bits + 1, Care.NONE).size <= budget:
                bits += 1
        shape = shapes.shape(found, bits, care)
        while shape.size > budget * 1.02 + 2 and found > 4:
            found = max(4, int(found * budget / shape.size))
            shape = shapes.shape(found, bits, care)
        return shape if shape.size <= budget * 1.02 + 2 else None

    def _bits(self, faces: int, plan: Plan) -> int:
        if self.options.bits:
            return self.options.bits
        return int(np.clip(self.builder.shapes.auto_bits(faces) + plan.finer, MIN_BITS, MAX_BITS))


def _step_number(levels: float) -> int:
    """Number of a step in byte levels."""
    return int(np.clip(round(8 * np.log2(max(levels, 1.0))), 0, COARSEST_STEP))


def _quality(levels: float) -> int:
    """Quality of a picture whose errors are about those of a step in byte levels."""
    return int(np.clip(round(FINEST_PICTURE - QUALITIES_PER_OCTAVE * np.log2(max(levels, 1.0))), 0, FINEST_PICTURE))
