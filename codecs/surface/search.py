"""Settings for a `mesh.surface` file: the user's, or the best found for a target size.

Bytes go to three things: triangles, texture coordinates, colours. For a target, one plan per colour mode and split
between them is filled up to the target, and the plan with the lowest score (see `SurfaceBuilder.score`) wins.

Tried and dropped: spending a quarter or half of the triangles on splitting edges where vertex colours err most. At
10 kB the score of five objects changed by -3 % to +88 %: what the colours gain, the shape loses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.surface.build import Shape, SurfaceBuilder, encode_webp
from squeeze3d.codecs.surface.model import SurfaceModel
from squeeze3d.codecs.surface.options import (
    DEFAULT_FACES,
    DEFAULT_QUALITY,
    DEFAULT_TEXTURE,
    Colour,
    SurfaceOptions,
)
from squeeze3d.codecs.surface.rebuild import to_mesh
from squeeze3d.texture.atlas import MAX_FACES as MAX_ATLAS_FACES
from squeeze3d.texture.atlas import Atlas

TEXTURE_SHARES = (0.3, 0.5)
"""Shares of the target that geometry and texture coordinates may take in TEXTURE mode."""
TEXTURE_SIDES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
QUALITIES = (5, 95)
MAX_FINER = 4
CLOSE = 3.0
"""Ratio of scores within which rendering decides: the score agrees with it only roughly."""
LESS = 1 / 3
"""Part of the target at which the plan that won is tried once more: on cluttered meshes more triangles can look worse
(`--target-size 30kB` used to lose 0.25 dB against 10 kB on a ship with rigging)."""
NEAR = 2.0
"""Ratio of target sizes within which the kind of plan that won is taken to win again."""


Measure = Callable[[SurfaceModel], int]
"""Size in bytes of the whole file of a model."""


@dataclass(frozen=True)
class Candidate:
    """A model that fits."""

    model: SurfaceModel
    size: int
    score: float


class Search:
    """One search over plans for a builder."""

    def __init__(self, builder: SurfaceBuilder, options: SurfaceOptions, job: Job, measure: Measure) -> None:
        self.builder = builder
        self.options = options
        self.job = job
        self.measure = measure

    def best(self) -> Candidate | None:
        """Best model for the job's target size, or with the options alone; None if nothing fits."""
        job = self.job
        plans, complete = self._plans(job.target_size)
        found = self._filled(plans, job.target_size)
        if not found:
            return None
        winner = self._judged(found)
        if complete:
            job.memo["winner"] = winner.plan.kind, job.target_size
        if job.judge is not None and job.exact and job.target_size is not None:
            alike = [p for p in self._all_plans(job.target_size) if p.name == winner.plan.name]
            smaller = self._filled(alike, round(job.target_size * LESS))
            winner = max([winner, *smaller], key=self._value)
        return winner.candidate

    def _filled(self, plans: Sequence[_Plan], target: int | None) -> list[_Found]:
        """What the plans make of a target, best score first."""
        found = []
        for index, plan in enumerate(plans):
            self.job.progress(plan.name, 0.2 + 0.7 * index / len(plans))
            model = plan.fill(target, self.job.exact)
            if model is None:
                continue
            size = self.measure(model)
            if self.job.exact and target is not None and size > target:
                continue
            found.append(_Found(Candidate(model, size, self.builder.score(model)), plan))
        return sorted(found, key=lambda f: f.candidate.score)

    def _judged(self, found: list[_Found]) -> _Found:
        """The best by the score; where others are close by it, the judge decides."""
        close = [f for f in found if f.candidate.score <= CLOSE * found[0].candidate.score + 1e-6]
        return close[0] if self.job.judge is None or len(close) == 1 else max(close, key=self._value)

    def _value(self, found: _Found) -> float:
        """What the judge says."""
        assert self.job.judge is not None
        if found.value is None:
            found.value = self.job.judge(to_mesh(found.candidate.model, Limits()))
        return found.value

    def _plans(self, target: int | None) -> tuple[list[_Plan], bool]:
        """Plans worth filling, and whether these are all: near the target of an earlier request that tried all of
        them, only the kind that won there is.
        """
        plans = list(self._all_plans(target))
        kind, before = self.job.memo.get("winner", (None, None))
        if before is not None and target is not None and before / NEAR <= target <= before * NEAR:
            same = [plan for plan in plans if plan.kind == kind]
            if same:
                return same, False
        return plans, True

    def _all_plans(self, target: int | None) -> Iterator[_Plan]:
        builder, options = self.builder, self.options
        colour = options.colour
        if colour is Colour.AUTO and builder.is_uniform:
            colour = Colour.CONSTANT
        if colour in (Colour.AUTO, Colour.VERTEX):
            steps = (options.step,) if options.step else (8, 20) if target is not None else (8,)
            for step in steps:
                yield _VertexPlan(builder, options, step=step)
        textured = any(m.pixels is not None for m in builder.surface.materials)
        if colour is Colour.TEXTURE or (colour is Colour.AUTO and textured):
            # Below 1.5 kB the texture coordinates alone would eat the budget.
            for share in TEXTURE_SHARES if target is not None and target >= 1500 else TEXTURE_SHARES[:1]:
                if target is None or target >= 1500 or colour is Colour.TEXTURE:
                    yield _TexturePlan(builder, options, share=share)
        if colour is Colour.CONSTANT or (colour is Colour.AUTO and target is not None and target < 1000):
            yield _ConstantPlan(builder, options)


@dataclass
class _Plan:
    """One way to spend the bytes."""

    builder: SurfaceBuilder
    options: SurfaceOptions

    finer: int = 0
    """Bits a coordinate has beyond what suits the number of triangles, where the budget has room."""

    name = "simplify"
    most = 1 << 22
    """Faces the plan can handle."""

    @property
    def kind(self) -> tuple[object, ...]:
        """What tells this plan from others."""
        return (self.name,)

    def fill(self, target: int | None, exact: bool) -> SurfaceModel | None:
        """Largest model within the target; if not `exact`, any model about that size."""
        raise NotImplementedError

    def shape(self, faces: int) -> Shape:
        return self.builder.shape(faces, self.options.bits or self.builder.auto_bits(faces) + self.finer)

    def has_room(self, shape: Shape, size: float, budget: float) -> bool:
        """Whether all triangles are kept and bytes are left for finer numbers."""
        complete = len(shape.conquest.triangles) >= 0.98 * self.builder.face_count
        return complete and size < 0.8 * budget and not self.options.bits and self.finer < MAX_FINER

    def most_faces(
        self, budget: float, size_of: Callable[[Shape], float], per_face: float, exact: bool
    ) -> Shape | None:
        """Shape with the most faces whose `size_of` stays within the budget, to about 5 %.

        Size grows nearly linearly with faces, so a few secant steps from `per_face` bytes a face find it.
        """
        limit = min(self.options.faces or 1 << 22, self.builder.face_count, self.most)
        guess = int(budget / self.builder.rates.get(self.name, per_face))
        best: tuple[int, Shape] | None = None
        too_many = limit + 1
        for _ in range(6):
            guess = max(1, min(guess, limit, too_many - 1))
            shape = self.shape(guess)
            size = size_of(shape)
            self.builder.rates[self.name] = size / guess
            if not exact and 0.8 * budget <= size <= 1.25 * budget:
                return shape
            if size <= budget:
                if best is None or guess > best[0]:
                    best = guess, shape
                if guess == limit or size > 0.95 * budget:
                    break
            else:
                too_many = min(too_many, guess)
            if too_many - (best[0] if best else 0) <= 1:
                break
            # Aim a little low: a shape that does not fit is of no use.
            proposal = int(guess * 0.985 * budget / max(size, 1))
            floor = best[0] + 1 if best else 1
            guess = min(max(proposal, floor), too_many - 1)
        return None if best is None else best[1]


@dataclass
class _Found:
    """A filled plan, and what the judge said of it if asked."""

    candidate: Candidate
    plan: _Plan
    value: float | None = None


@dataclass
class _ConstantPlan(_Plan):
    name = "one colour"

    def fill(self, target: int | None, exact: bool) -> SurfaceModel | None:
        if target is None:
            return self.builder.constant(self.shape(self.options.faces or DEFAULT_FACES))
        budget = target - _overhead(self.builder) - 8
        shape = self.most_faces(budget, lambda s: s.size, 1.5, exact)
        while shape is not None and self.has_room(shape, shape.size, budget):
            self.finer += 1
            shape = self.most_faces(budget, lambda s: s.size, 1.5, exact)
        return None if shape is None else self.builder.constant(shape)


@dataclass
class _VertexPlan(_Plan):
    step: int = 8

    name = "vertex colours"

    def __post_init__(self) -> None:
        self.asked_step = self.step

    @property
    def kind(self) -> tuple[object, ...]:
        return (self.name, self.asked_step)

    def fill(self, target: int | None, exact: bool) -> SurfaceModel | None:
        if target is None:
            return self.builder.vertex(self.shape(self.options.faces or DEFAULT_FACES), self.step)

        def size_of(shape: Shape) -> float:
            return shape.size + _colour_bytes(self.builder.vertex(shape, self.step))

        budget = target - _overhead(self.builder)
        shape = self.most_faces(budget, size_of, 2.2, exact)
        while shape is not None and self.has_room(shape, size_of(shape), budget):
            self.finer += 1
            if not self.options.step:
                self.step = max(1, self.step // 2)
            shape = self.most_faces(budget, size_of, 2.2, exact)
        return None if shape is None else self.builder.vertex(shape, self.step)


@dataclass
class _TexturePlan(_Plan):
    share: float = 0.5

    name = "texture"
    most = MAX_ATLAS_FACES

    @property
    def kind(self) -> tuple[object, ...]:
        return (self.name, self.share)

    def fill(self, target: int | None, exact: bool) -> SurfaceModel | None:
        options = self.options
        if target is None:
            shape = self.shape(min(options.faces or DEFAULT_FACES, MAX_ATLAS_FACES))
            width = options.texture or DEFAULT_TEXTURE
            atlas, _, model = self.builder.atlas(shape, width)
            picture = self.builder.paint(model, width, atlas.aspect).picture(width)
            return dataclasses.replace(model, image=encode_webp(picture, options.quality or DEFAULT_QUALITY))
        budget = target - _overhead(self.builder)
        resolution = options.texture or _side(budget * (1 - self.share))
        unwrapped: dict[Shape, tuple[Atlas, int, SurfaceModel]] = {}

        def size_of(shape: Shape) -> float:
            unwrapped[shape] = result = self.builder.atlas(shape, resolution)
            return shape.size + result[1]

        shape_or_none = self.most_faces(budget * self.share, size_of, 3.4, exact)
        if shape_or_none is None:
            return None
        atlas, coordinates, model = unwrapped[shape_or_none]
        image = self._image(model, atlas.aspect, resolution, int(budget - shape_or_none.size - coordinates) - 8)
        return None if image is None else dataclasses.replace(model, image=image)

    def _image(self, model: SurfaceModel, aspect: float, width: int, room: int) -> bytes | None:
        """Best picture within `room` bytes: widths around the planned one, each at the highest quality that fits."""
        widths = [width] if self.options.texture else [w for w in TEXTURE_SIDES if width / 1.6 <= w <= width * 1.6]
        paint = self.builder.paint(model, max(widths), aspect)
        best: tuple[float, bytes] | None = None
        for candidate in widths:
            data = self._best_quality(paint.picture(candidate), room)
            if data is None:
                continue
            score = self.builder.score(dataclasses.replace(model, image=data))
            if best is None or score < best[0]:
                best = score, data
        return None if best is None else best[1]

    def _best_quality(self, picture: NDArray[np.uint8], room: int) -> bytes | None:
        low, high = QUALITIES if not self.options.quality else (self.options.quality, self.options.quality)
        best = None
        while low <= high:
            quality = (low + high) // 2
            data = encode_webp(picture, quality)
            if len(data) <= room:
                best, low = data, quality + 1
            else:
                high = quality - 1
        return best


def _side(room: float) -> int:
    """Texture width for about 0.9 bits a pixel."""
    wanted = (room * 8 / 0.9) ** 0.5
    return min(TEXTURE_SIDES, key=lambda side: abs(side - wanted))


def _overhead(builder: SurfaceBuilder) -> int:
    """Bytes of header, pose, chunk framing, parameters and checksum: an upper estimate."""
    return 24 + len(builder.pose.to_bytes()) + 16


def _colour_bytes(model: SurfaceModel) -> int:
    from squeeze3d.bitstream.entropy import SymbolEncoder
    from squeeze3d.codecs.surface.vertex_colours import encode_colours

    assert model.colours is not None
    encoder = SymbolEncoder()
    encode_colours(encoder, model.conquest.triangles, model.colours)
    return len(encoder.finish())
