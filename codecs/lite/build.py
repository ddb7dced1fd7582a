"""`LiteBuilder`: everything an encoder can make of one surface, kept between attempts.

```text
surface ─► Solid per grid ─► structure, scalars per (tau, step) ─► decoded field ─► surface ─► visible colours ─► cells
```
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.pose import LARGEST, Pose
from squeeze3d.codecs.colour.aims import PointAims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.lite.cells import surface_flags
from squeeze3d.codecs.lite.field import LEVELS, decode_field, extract
from squeeze3d.codecs.lite.field_net import SUB
from squeeze3d.codecs.lite.model import Header, sides_of
from squeeze3d.codecs.lite.preview import Preview
from squeeze3d.codecs.lite.rebuild import FACTOR, smoothed, vertex_normals
from squeeze3d.codecs.lite.refine import Refined, refine_scalars
from squeeze3d.codecs.lite.scalars import scalar_bits
from squeeze3d.codecs.lite.steps import quantise
from squeeze3d.codecs.lite.structure import structure_bits
from squeeze3d.codecs.lite.swatches import Swatches
from squeeze3d.geometry.block_field import BlockField
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.solid import Solid
from squeeze3d.geometry.surface import Surface
from squeeze3d.geometry.visibility import seen_share

SMALLEST = 1e-30
"""Boxes below this have no scale of their own, see `Pose.from_bounds`."""
PLAIN = 3 / 255
"""Colours that differ by less are one."""
COARSE = 2
"""Sub-cells along an axis at which plans are compared: a quarter of the triangles."""
CRUMB = 0.5
"""What is left of a surface if less than this part of its longest side is: white on white, nothing looks as good."""
REACH = 0.03
"""How far in front of a place, in sides of the box, its visible colour is looked for."""


PRICE = 1.2
"""What a bit is worth in the error that refinement lessens: at this, scalars take about as many bits as before."""
ROUNDS = 12
"""Gradient steps of a refinement."""
HIDDEN = 0.1
"""What a place that nobody sees counts next to one that is seen as usual."""


@dataclass(frozen=True)
class Plan:
    """Settings of the geometry."""

    grid: int
    tau: float
    step: int
    refined: bool = False
    """Whether scalars are those of `refine_scalars`, not of rounding."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """What a plan comes to."""

    occupied: NDArray[np.bool_]
    scalars: NDArray[np.int32] | None
    bits: float
    """Ideal length of structure and scalars."""


@dataclass(frozen=True)
class Shape:
    """What a plan looks like."""

    level: int
    """Index into `field.LEVELS`."""
    score: float
    """In dB, see `Preview.score`, with the rough colours of `Swatches`."""


class LiteBuilder:
    """State of one encoder."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.pose = Pose.from_bounds(surface.bounds)
        self.sides = sides_of(surface.bounds)
        self._solids: dict[int, Solid] = {}
        self._centres: dict[tuple[int, float], NDArray[np.float32]] = {}
        self._structure_bits: dict[tuple[int, float], float] = {}
        self._geometries: dict[Plan, Geometry] = {}
        self._fields: dict[tuple[Plan, int], BlockField] = {}
        self._surfaces: dict[tuple[Plan, int, int], tuple[NDArray[np.float32], NDArray[np.int32]]] = {}
        self._shapes: dict[Plan, Shape] = {}
        self.usual_share: float | None = None
        """Share of the bytes that geometry took where a goal was first looked at."""

    @cached_property
    def look(self) -> Header:
        """Header with the constants of the material."""
        materials = [m.material for m in self.surface.materials]
        areas = np.bincount(self.surface.face_materials, self.surface.areas + 1e-30, len(materials))

        def mean(values: list[float]) -> float:
            return float(np.clip(areas @ np.array(values) / areas.sum(), 0, 1))

        return Header(
            0,
            self.sides,
            double_sided=any(m.double_sided for m in materials),
            unlit=all(m.unlit for m in materials),
            metallic=round(15 * mean([m.metallic if m.metallic_roughness_texture is None else 0.0 for m in materials])),
            roughness=round(15 * mean([m.roughness for m in materials])),
        )

    @cached_property
    def canonical(self) -> NDArray[np.float64]:
        """(V, 3) vertices, longest side 1."""
        return self.pose.to_canonical(self.surface.positions)

    @cached_property
    def query(self) -> SurfaceQuery:
        """Queries of the original in the canonical frame."""
        return SurfaceQuery(self.canonical, self.surface.triangles)

    @cached_property
    def preview(self) -> Preview:
        """Judge of attempts."""
        return Preview(self.surface, unlit=self.look.unlit)

    @cached_property
    def swatches(self) -> Swatches:
        """The original's colours, roughly."""
        return Swatches(self.surface, self.query, self.pose)

    @property
    def is_in_range(self) -> bool:
        """Whether the box has a size that the pose can name; float32 coordinates allow smaller and larger ones."""
        longest = float(np.ptp(self.surface.bounds, axis=0).max())
        return SMALLEST < longest <= LARGEST

    @cached_property
    def is_plain(self) -> bool:
        """Whether the whole surface has one colour."""
        return self.swatches.spread < PLAIN

    # Geometry

    def header(self, plan: Plan) -> Header:
        """Header of a plan, at level 0 and without smoothing."""
        return dataclasses.replace(self.look, grid=plan.grid, step=plan.step)

    def centres(self, grid: int, tau: float) -> NDArray[np.float32]:
        """Signed distances at cell centres."""
        key = grid, tau
        if key not in self._centres:
            if grid not in self._solids:
                header = dataclasses.replace(self.look, grid=grid)
                positions = header.frame(self.pose).to_grid(self.surface.positions)
                self._solids[grid] = Solid(positions, self.surface.triangles, header.cells)
            self._centres[key] = self._solids[grid].centres(tau)
        return self._centres[key]

    def geometry(self, plan: Plan) -> Geometry:
        """Structure, scalars and their ideal length."""
        if plan not in self._geometries:
            centres = self.centres(plan.grid, plan.tau)
            occupied = centres < 0.5
            key = plan.grid, plan.tau
            if key not in self._structure_bits:
                self._structure_bits[key] = structure_bits(occupied)
            bits, scalars = self._structure_bits[key], None
            if plan.refined:
                refined = self._refined_scalars(dataclasses.replace(plan, refined=False))
                scalars = refined.scalars
                bits += refined.bits
            elif plan.step:
                scalars = quantise(centres[surface_flags(occupied)], plan.step)
                bits += scalar_bits(occupied, scalars, plan.step)
            self._geometries[plan] = Geometry(occupied, scalars, bits)
        return self._geometries[plan]

    def _refined_scalars(self, plan: Plan) -> Refined:
        made = self.geometry(plan)
        assert made.scalars is not None
        level = LEVELS[self.fine_level(plan, climb=True)]
        truth = self._solids[plan.grid].fine(plan.tau, SUB)
        return refine_scalars(made.occupied, made.scalars, truth, plan.step, level, PRICE, ROUNDS)

    def is_possible(self, grid: int, tau: float) -> bool:
        """Whether the grid holds anything of the surface."""
        return bool((self.centres(grid, tau) < 0.5).any())

    def field(self, plan: Plan, factor: int = FACTOR) -> BlockField:
        """What a decoder makes of structure and scalars; with `COARSE` sub-cells quicker, and nearly the same."""
        key = plan, factor
        if key not in self._fields:
            if len(self._fields) > 6:
                self._fields.pop(next(iter(self._fields)))
            made = self.geometry(plan)
            self._fields[key] = decode_field(made.occupied, made.scalars, plan.step, factor)
        return self._fields[key]

    def decoded(self, plan: Plan, header: Header, factor: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Vertices (V, 3) in grid coordinates and triangles (F, 3) of a plan at the header's level and smoothing."""
        key = plan, factor, header.level
        if key not in self._surfaces:
            if len(self._surfaces) > 3:
                self._surfaces.pop(next(iter(self._surfaces)))
            self._surfaces[key] = extract(self.field(plan, factor), LEVELS[header.level])
        return smoothed(*self._surfaces[key], header)

    def shape(self, plan: Plan, start: int = 1, *, climb: bool = True) -> Shape:
        """What a plan looks like, from a coarse field, at the level that suits it, which is climbed to from `start`, or
        at `start` itself.
        """
        if plan not in self._shapes:
            climbed = self._climbed(plan, COARSE, start) if climb else None
            self._shapes[plan] = climbed or Shape(start, self._shape_score(plan, COARSE, start))
        return self._shapes[plan]

    def fine_level(self, plan: Plan, *, climb: bool) -> int:
        """The level at which the decoded surface looks most like the original.

        A coarse field cuts corners, which a higher level makes up for: without climbing, the next lower one is taken.
        """
        start = max(self.shape(plan).level - 1, 0)
        return self._climbed(plan, FACTOR, start).level if climb else start

    def _climbed(self, plan: Plan, factor: int, start: int) -> Shape:
        scores = {start: self._shape_score(plan, factor, start)}
        for way in (1, -1):
            level = start + way
            while 0 <= level < len(LEVELS):
                scores[level] = self._shape_score(plan, factor, level)
                if scores[level] <= scores[level - way]:
                    break
                level += way
            if max(scores, key=lambda at: scores[at]) != start:
                break
        best = max(scores, key=lambda at: scores[at])
        return Shape(best, scores[best])

    def _shape_score(self, plan: Plan, factor: int, level: int) -> float:
        header = dataclasses.replace(self.header(plan), level=level)
        positions, triangles = self.decoded(plan, header, factor)
        if len(triangles) == 0:
            return -np.inf
        world = header.frame(self.pose).to_world(positions)
        if np.ptp(world, axis=0).max() < CRUMB * np.ptp(self.surface.bounds, axis=0).max():
            return -np.inf
        return self.preview.score(world, triangles, vertex_normals(world, triangles), self.swatches.at(world))

    # Colours

    def cell_colours(self, plan: Plan, header: Header, factor: int) -> tuple[Hierarchy, PointAims]:
        """Surface cells, and the visible colours of points of the decoded surface."""
        positions, triangles = self.decoded(plan, header, factor)
        flags = surface_flags(self.geometry(plan).occupied)
        places = self.pose.to_canonical(header.frame(self.pose).to_world(positions))
        faces, weights = sample_triangles(face_areas(places, triangles), max(20_000, 6 * int(flags.sum())), seed=5)
        points = (places[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        normals = face_normals(places, triangles)[faces]
        hits = self.query.outer_layer(points, normals, REACH)
        rgb = 255 * self.surface.colours_at(hits.faces, hits.weights)[:, :3]
        seen = seen_share(self.query, hits.points, normals)
        spots = (positions[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        full = Hierarchy(flags)
        return full, PointAims(full, spots, rgb, seen + HIDDEN * max(seen.mean(), 1e-3))
