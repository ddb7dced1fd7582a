"""Colours of the original on a quantised shape: canvases, what their vertices should show, and where to cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.ycocg import exact_ycocg
from squeeze3d.codecs.surface.canvas import SPACINGS, Canvas
from squeeze3d.codecs.surface.cuts import InnerEdges, inner_edges
from squeeze3d.codecs.surface.model import Details
from squeeze3d.codecs.surface.refinement import MAX_ROUNDS
from squeeze3d.codecs.surface.rounding import rounded
from squeeze3d.codecs.surface.shapes import Shape, Shapes
from squeeze3d.codecs.surface.smooth_colours import quantise
from squeeze3d.geometry.refit import fit_vertices
from squeeze3d.geometry.sampling import face_areas, sample_triangles
from squeeze3d.threads import Kept, in_halves, unlocked_property

SAMPLES = 20_000
SAMPLES_PER_VERTEX = 5
SAMPLES_PER_FACE = 20
"""That tell where colours jump."""
STIFFNESS = 0.05
RIDGE = 0.15
"""Holds the slopes of colours on a triangle where few samples say what they are."""


@dataclass(frozen=True, eq=False)
class Goal:
    """What a canvas should show."""

    canvas: Canvas
    values: NDArray[np.float64]
    """(N, C) Y, Co, Cg and perhaps alpha in byte levels."""
    areas: NDArray[np.float64]
    """(F,) of the refined triangles."""

    def details(self, step: int, *, careful: bool) -> Details:
        """The colours, quantised; `careful` weighs bits against errors, which takes several times as long."""
        canvas = self.canvas
        if careful:
            values = rounded(canvas.hierarchy, self.values, step, canvas.refinement.triangles, self.areas)
        else:
            values = quantise(canvas.hierarchy, self.values, step)
        return Details(canvas, step, values)


class Painter:
    """Puts the colours of the original on one shape."""

    def __init__(self, shapes: Shapes, shape: Shape, components: int) -> None:
        self.shapes, self.shape = shapes, shape
        self.components = components
        self._goals: Kept[tuple[int, float], Goal] = Kept()
        self._counts: Kept[int, int] = Kept()

    @unlocked_property
    def edges(self) -> InnerEdges:
        """Edges that may be cut."""
        return inner_edges(self.shape.triangles, self.shape.cells)

    def spacing(self, vertices: float) -> int:
        """Number of the spacing that gives about so many vertices, or the finest with fewer."""
        area = face_areas(self.shape.cells.astype(np.float64), self.shape.triangles).sum()
        # Edges of a refined mesh are 0.7 spacings long on the mean, and a vertex has two triangles of 0.43 squares.
        wanted = np.sqrt(area / max(vertices, 1)) * 1.5 * (1 << MAX_ROUNDS)
        number = int(np.clip(np.rint(2 * (np.log2(max(wanted, 1)) - 4)), 0, len(SPACINGS) - 1))
        # Needles take more.
        while number + 1 < len(SPACINGS):
            found = self._vertices(number)
            if found <= 1.4 * vertices or found == len(self.shape.cells):
                break
            number += max(1, round(np.log2(found / vertices)))
        return min(number, len(SPACINGS) - 1)

    def _vertices(self, number: int) -> int:
        def count() -> int:
            return len(Canvas(self.shape.triangles, self.shape.cells, None, number).refinement.cells)

        return self._counts.get(number, count)

    def goal(self, spacing: int, cut_above: float) -> Goal:
        """The colours at a spacing, with edges cut at which colours jump by more than `cut_above` byte levels."""
        return self._goals.get((spacing, cut_above), lambda: self._fitted(spacing, self.cuts(cut_above)))

    def cuts(self, above: float) -> NDArray[np.int64] | None:
        """(E,) flags of inner edges; None where nothing is cut."""
        flags = (self.jumps > above).astype(np.int64)
        return flags if flags.any() else None

    def _fitted(self, spacing: int, flags: NDArray[np.int64] | None) -> Goal:
        canvas = Canvas(self.shape.triangles, self.shape.cells, flags, spacing, self.edges)
        refinement = canvas.refinement
        positions = canvas.positions(self.shape.bits)
        areas = face_areas(positions, refinement.triangles)
        faces, weights = sample_triangles(areas, max(SAMPLES, SAMPLES_PER_VERTEX * len(positions)), seed=5)
        wanted = self.colours(positions, refinement.triangles, faces, weights)
        # Vertices of tiny triangles may have no sample at all: they stay near what is around them.
        first = np.zeros(len(positions), dtype=np.int64)
        first[refinement.triangles.reshape(-1)] = np.repeat(np.arange(len(areas)), 3)
        middle = self.colours(positions, refinement.triangles, first, np.full((len(first), 3), 1 / 3))
        fitted = np.clip(
            fit_vertices(faces, weights, refinement.triangles, wanted, middle, stiffness=STIFFNESS), 0, 255
        )
        values = fitted.copy()
        values[:, :3] = exact_ycocg(fitted[:, :3])
        return Goal(canvas, values, areas)

    def colours(
        self,
        positions: NDArray[np.float64],
        triangles: NDArray[np.int64],
        faces: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(N, C) sRGB and perhaps alpha of the original in byte levels, at points of the shape."""
        area = float(face_areas(positions, triangles).sum()) / max(len(faces), 1)
        side = np.sqrt(area) * self.shapes.pose.scale

        def part(some: slice) -> NDArray[np.float32]:
            hits = self.shapes.visible(positions, triangles, faces[some], weights[some])
            return self.shapes.surface.colours_at(hits.faces, hits.weights, np.full(len(hits.faces), side))

        colours = np.concatenate(in_halves(part, len(faces)))
        return colours[:, : self.components].astype(np.float64) * 255

    @unlocked_property
    def jumps(self) -> NDArray[np.float64]:
        """(E,) root mean square difference of colours at both sides of each inner edge, in byte levels.

        Each triangle has its own linear fit of the colours on it.
        """
        positions, triangles = self.shape.positions, self.shape.triangles
        count = len(triangles)
        faces, weights = sample_triangles(
            face_areas(positions, triangles), max(SAMPLES, SAMPLES_PER_FACE * count), seed=7
        )
        colours = self.colours(positions, triangles, faces, weights)
        channels = colours.shape[1]
        hits = np.bincount(faces, minlength=count)
        sums = np.stack([np.bincount(faces, colours[:, k], count) for k in range(channels)], axis=1)
        mean = sums / np.maximum(hits, 1)[:, None]
        away = weights[:, :2] - 1 / 3
        rest = colours - mean[faces]
        square, right = np.tile(np.eye(2) * RIDGE, (count, 1, 1)), np.zeros((count, 2, channels))
        for i in range(2):
            for j in range(2):
                square[:, i, j] += np.bincount(faces, away[:, i] * away[:, j], count)
            for k in range(channels):
                right[:, i, k] = np.bincount(faces, away[:, i] * rest[:, k], count)
        slope = np.linalg.solve(square, right)
        edges = self.edges
        total = np.zeros(len(edges.ends))
        row = np.arange(len(edges.ends))
        for share in (0.2, 0.5, 0.8):
            sides = []
            for side in range(2):
                face, corner = edges.faces[:, side], edges.corners[:, side]
                ahead = triangles[face, corner] == edges.ends[:, 0]
                place = np.zeros((len(row), 3))
                place[row, corner] = np.where(ahead, 1 - share, share)
                place[row, (corner + 1) % 3] = np.where(ahead, share, 1 - share)
                sides.append(mean[face] + np.einsum("ni,nik->nk", place[:, :2] - 1 / 3, slope[face]))
            total += ((sides[0] - sides[1]) ** 2).mean(axis=1)
        known = (hits[edges.faces] > 0).all(axis=1)
        return np.where(known, np.sqrt(total / 3), 0.0)
