"""Distances between two surfaces: chamfer, Hausdorff, F-score, normal consistency, and all of them on what shows.

```text
reference ─► points, area-uniform ─► nearest point on test ─────► distance, |n · n'|  (forward)  ┐
                                                                                                 ├─► scores
test ──────► points, area-uniform ─► nearest point on reference ► distance, |n · n'|  (backward) ┘
```

`measure` does this work once; the scores are cheap functions of its result. With d the distances from S points
sampled on one surface to the other *surface* (exact, not to sampled points there):

    chamfer      = (mean d_forward + mean d_backward) / 2
    chamfer rms  = sqrt((mean d_forward² + mean d_backward²) / 2)
    Hausdorff    = max(max d_forward, max d_backward), over the samples: a lower bound of the true one
    F-score      = 2 P R / (P + R), P = share of d_backward < t, R = share of d_forward < t
    consistency  = (mean |n · n'|_forward + mean |n · n'|_backward) / 2, with face normals

Sources: Knapitsch et al., "Tanks and Temples" (2017) for the F-score; Mescheder et al., "Occupancy Networks" (2019) for
chamfer and normal consistency, which sample the other surface too and so never reach 0.

Distances are fractions of the diagonal of the reference's box, unless `unit` names another length. Points are
area-uniform, stratified and seeded: the same input gives the same scores, and a surface compared with itself gives a
chamfer below 1e-9. Triangles thinner than 1e-5 of their surface's box are left out: they show nothing, and float32
cannot tell where their inside is. The Squeeze3D paper reports no distance between meshes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.flatten import world_parts
from squeeze3d.assets.mesh import Mesh
from squeeze3d.errors import UsageError
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles

SAMPLES = 50_000
"""Default points per surface."""
DIRECTIONS = 64
"""Default directions from which a surface is looked at to find what shows."""
THRESHOLDS = (0.005, 0.01)
"""Default F-score thresholds."""

_THINNEST = 1e-5
"""Triangles of less height, in box diagonals, are left out."""
_MAX_PIECES = 250_000
"""Bounds the memory that `_slender_cut` spends on a surface of nothing but slivers."""
_LIFT = 1e-5
"""Rays start this far off the surface, in box diagonals. It is well above float32 noise; thinner walls hide nothing."""


class Triangulated(Protocol):
    """Anything with vertices and triangles, such as `geometry.surface.Surface`."""

    @property
    def positions(self) -> NDArray[np.floating]:
        """(V, 3)."""

    @property
    def triangles(self) -> NDArray[np.integer]:
        """(F, 3) indices into `positions`."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Points on one surface and where the other one is, seen from them."""

    surface: Target
    points: NDArray[np.float64]
    """(S, 3), world space."""
    normals: NDArray[np.float64]
    """(S, 3) unit normals of the faces they lie on."""
    distances: NDArray[np.float64]
    """(S,) to the other surface, in units."""
    agreement: NDArray[np.float64]
    """(S,) |n · n'| with the face normal at the nearest point of the other surface."""

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Samples:
        return Samples(
            self.surface,
            self.points[chosen],
            self.normals[chosen],
            self.distances[chosen],
            self.agreement[chosen],
        )


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """What `measure` finds."""

    forward: Samples
    """Points on the reference, looking for the test surface."""
    backward: Samples
    """Points on the test surface, looking for the reference."""
    unit: float
    """Length of 1 in the scores, in world coordinates."""


@dataclass(frozen=True, slots=True)
class Chamfer:
    """Mean distance between two surfaces, in units."""

    mean: float
    """Mean of `forward` and `backward`."""
    rms: float
    """Root of the mean square over both directions."""
    forward: float
    """Mean distance from the reference to the test surface: what is missing."""
    backward: float
    """Mean distance from the test surface to the reference: what was added."""

    @property
    def squared_sum(self) -> float:
        """Sum of both directions' mean squared distances, the "CD-L2" of point-cloud networks."""
        return 2 * self.rms**2


@dataclass(frozen=True, slots=True)
class Hausdorff:
    """Largest distances between two surfaces, in units, over the samples."""

    p99: float
    """Distance that 99 % of the points keep, in the worse direction."""
    maximum: float
    """Distance that all points keep."""


@dataclass(frozen=True, slots=True)
class FScore:
    """Share of the surfaces that agree within a threshold."""

    threshold: float
    """In units."""
    value: float
    """Harmonic mean of the two below; 0 if both are."""
    precision: float
    """Share of the test surface nearer to the reference than the threshold."""
    recall: float
    """Share of the reference nearer to the test surface than the threshold."""


@dataclass(frozen=True, slots=True)
class NormalConsistency:
    """Mean |n · n'|: 1 for parallel surfaces, 0.5 for random directions."""

    value: float
    """Mean of the two below."""
    forward: float
    backward: float


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """Everything this module measures."""

    chamfer: Chamfer
    visible_chamfer: Chamfer
    """Over the points that can be seen from outside."""
    visible_share: tuple[float, float]
    """Share of the reference and of the test surface that can be seen from outside."""
    hausdorff: Hausdorff
    f_scores: tuple[FScore, ...]
    normals: NormalConsistency
    unit: float
    """Length of 1, in world coordinates."""


def surface_scores(
    reference: Mesh | Triangulated,
    test: Mesh | Triangulated,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    unit: float | None = None,
    thresholds: tuple[float, ...] = THRESHOLDS,
    directions: int = DIRECTIONS,
) -> SurfaceScores:
    """All scores of two surfaces; parameters as in `measure`, `f_score` and `visible`."""
    distances = measure(reference, test, samples=samples, seed=seed, unit=unit)
    shown = visible(distances, directions=directions)
    return SurfaceScores(
        chamfer=chamfer(distances),
        visible_chamfer=chamfer(shown),
        visible_share=(
            len(shown.forward.points) / len(distances.forward.points),
            len(shown.backward.points) / len(distances.backward.points),
        ),
        hausdorff=hausdorff(distances),
        f_scores=tuple(f_score(distances, t) for t in thresholds),
        normals=normal_consistency(distances),
        unit=distances.unit,
    )


def measure(
    reference: Mesh | Triangulated,
    test: Mesh | Triangulated,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    unit: float | None = None,
) -> SurfaceDistances:
    """Sample both surfaces and find the nearest point on the other one.

    Parameters
    ----------
    reference, test : meshes (node transforms are applied) or triangles.
    samples : points on each surface.
    seed : chooses the points; the same for both, so that equal surfaces get equal points.
    unit : length that distances are divided by. None is the diagonal of the reference's box; 1.0 keeps world units.

    Raises
    ------
    UsageError if a surface is malformed or has no area, or a parameter is out of range.
    """
    if samples < 1:
        raise UsageError(f"the number of samples must be positive, not {samples}")
    first, second = _target(reference, "reference"), _target(test, "test")
    length = first.diagonal if unit is None else float(unit)
    if not (math.isfinite(length) and length > 0):
        raise UsageError(f"the unit of length must be positive, not {unit}")
    return SurfaceDistances(
        forward=_sample(first, second, samples, seed, length),
        backward=_sample(second, first, samples, seed, length),
        unit=length,
    )


def chamfer(distances: SurfaceDistances) -> Chamfer:
    """Mean and RMS distance, by the formulas above."""
    there, back = distances.forward.distances, distances.backward.distances
    forward, backward = float(there.mean()), float(back.mean())
    rms = math.sqrt((float(np.square(there).mean()) + float(np.square(back).mean())) / 2)
    return Chamfer((forward + backward) / 2, rms, forward, backward)


def hausdorff(distances: SurfaceDistances) -> Hausdorff:
    """Sampled Hausdorff distance and its robust kind, the larger of both directions' 99th percentiles."""
    both = (distances.forward.distances, distances.backward.distances)
    return Hausdorff(
        p99=max(float(np.percentile(d, 99)) for d in both),
        maximum=max(float(d.max()) for d in both),
    )


def f_score(distances: SurfaceDistances, threshold: float) -> FScore:
    """F-score at one threshold, in units."""
    if not threshold > 0:
        raise UsageError(f"an F-score needs a threshold above 0, not {threshold}")
    recall = float((distances.forward.distances < threshold).mean())
    precision = float((distances.backward.distances < threshold).mean())
    total = precision + recall
    return FScore(threshold, 2 * precision * recall / total if total else 0.0, precision, recall)


def normal_consistency(distances: SurfaceDistances) -> NormalConsistency:
    """Agreement of face normals, whichever side they point to."""
    forward, backward = float(distances.forward.agreement.mean()), float(distances.backward.agreement.mean())
    return NormalConsistency((forward + backward) / 2, forward, backward)


def visible(distances: SurfaceDistances, *, directions: int = DIRECTIONS) -> SurfaceDistances:
    """The same distances, from the points only that can be seen from outside.

    Hidden interiors (engine blocks, inner walls) matter to no viewer, and a good codec drops them. A point is visible
    if a ray in one of `directions` directions, even over the sphere, leaves its own surface without a hit, from
    whichever side of the triangle. `forward` keeps the visible points of the reference, `backward` those of the test
    surface; both still look for the whole other surface. Transparency is not considered: glass hides what is behind.

    More directions find more of what shows through narrow openings; use 64 or more. Raises UsageError if no
    sample is visible, which takes a handful of samples only.
    """
    if directions < 1:
        raise UsageError(f"the number of directions must be positive, not {directions}")
    kept = []
    for side, name in ((distances.forward, "reference"), (distances.backward, "test")):
        seen = _seen(side, directions)
        if not seen.any():
            raise UsageError(f"no sample of the {name} surface is visible", hint="use more samples or directions")
        kept.append(side[seen])
    return SurfaceDistances(kept[0], kept[1], distances.unit)


class Target:
    """A checked surface with its query, which runs in the frame of the surface's own box for float32's sake."""

    def __init__(self, positions: NDArray[np.float64], triangles: NDArray[np.int64], name: str) -> None:
        used = positions[np.unique(triangles)]
        low, high = used.min(axis=0), used.max(axis=0)
        self.diagonal = float(np.linalg.norm(high - low))
        if not self.diagonal > 0:
            raise UsageError(f"the {name} surface has no extent: all corners lie at one place")
        self.centre = (low + high) / 2
        self.positions = positions
        framed = np.nan_to_num(self.into_frame(positions))  # Vertices in no triangle may be anything.
        a, b, c = (framed[triangles[:, k]] for k in range(3))
        longest = np.max([np.linalg.norm(e, axis=1) for e in (b - a, c - b, a - c)], axis=0)
        areas = face_areas(framed, triangles)
        self.triangles = triangles[2 * areas > _THINNEST * longest]
        if len(self.triangles) == 0:
            raise UsageError(f"the {name} surface has no area: all triangles are degenerate")
        self._framed = framed

    def into_frame(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points, moved and scaled to the surface's box."""
        framed: NDArray[np.float64] = (points - self.centre) / self.diagonal
        return framed

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(F,), in squared diagonals."""
        return face_areas(self._framed, self.triangles)

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """(F, 3) unit normals."""
        return face_normals(self._framed, self.triangles)

    @cached_property
    def _rays(self) -> SurfaceQuery:
        return SurfaceQuery(self._framed, self.triangles)

    @cached_property
    def _pieces(self) -> tuple[SurfaceQuery, NDArray[np.int64]]:
        corners, owners = _slender_cut(self._framed[self.triangles])
        if len(owners) == len(self.triangles):
            return self._rays, owners
        return SurfaceQuery(corners.reshape(-1, 3), np.arange(3 * len(owners)).reshape(-1, 3)), owners

    def nearest(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """World distances of (N, 3) world points, and the nearest triangles."""
        framed = self.into_frame(points)
        query, owners = self._pieces
        faces = owners[query.closest(framed).faces]
        return _triangle_distance(framed, self._framed[self.triangles[faces]]) * self.diagonal, faces

    def blocked(self, origins: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether rays from (N, 3) framed origins in one direction hit the surface."""
        rays = np.concatenate([origins, np.broadcast_to(direction, origins.shape)], axis=1)
        return np.isfinite(self._rays.cast(rays)[1])


def _sample(source: Target, other: Target, samples: int, seed: int, unit: float) -> Samples:
    faces, weights = sample_triangles(source.areas, samples, seed=seed)
    points = np.einsum("nkc,nk->nc", source.positions[source.triangles[faces]], weights)
    normals = source.normals[faces]
    length, nearest = other.nearest(points)
    # Rounding may take the product of two unit vectors above 1.
    agreement = np.minimum(np.abs(np.einsum("nc,nc->n", normals, other.normals[nearest])), 1.0)
    return Samples(source, points, normals, length / unit, agreement)


def _slender_cut(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cut slender triangles across until float32 can handle them: (P, 3, 3) pieces and (P,) where they come from.

    Embree's float32 places the closest point of a triangle of length L and height h with an error of about
    L (L/h)^2 6e-8 at worst: for the spokes of a bicycle (0.28 by 0.0007 of its box) 2e-4 was seen, and the wrong
    triangle chosen. Pieces keep it near 1e-7. Halving the longest edge again and again makes them.
    """
    owners = np.arange(len(corners))
    while True:
        edges = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
        length = edges.max(axis=1)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        slender = length**5 > 100 * area**2
        if not slender.any() or np.count_nonzero(slender) + len(owners) > _MAX_PIECES:
            return corners, owners
        first = edges[slender].argmax(axis=1)
        a, b, c = (corners[slender, (first + k) % 3] for k in range(3))
        middle = (a + b) / 2
        corners = np.concatenate([corners[~slender], np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        owners = np.concatenate([owners[~slender], owners[slender], owners[slender]])


def _triangle_distance(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each of (N, 3) points to its own of (N, 3, 3) triangles, none of them degenerate."""
    edges = np.roll(corners, -1, axis=1) - corners
    towards = points[:, None] - corners
    along = np.einsum("nkc,nkc->nk", towards, edges) / np.einsum("nkc,nkc->nk", edges, edges)
    to_edges = towards - np.clip(along, 0, 1)[:, :, None] * edges
    rim = np.sqrt(np.einsum("nkc,nkc->nk", to_edges, to_edges).min(axis=1))
    normals = np.cross(edges[:, 0], edges[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Above the triangle, which is to the inner side of all three edges, the distance to its plane counts.
    inner = np.einsum("nkc,nc->nk", np.cross(edges, towards), normals) >= 0
    height = np.abs(np.einsum("nc,nc->n", towards[:, 0], normals))
    return np.where(inner.all(axis=1), np.minimum(height, rim), rim)


def _seen(samples: Samples, directions: int) -> NDArray[np.bool_]:
    origins = samples.surface.into_frame(samples.points)
    waiting = np.arange(len(origins))
    for direction in _sphere(directions):
        facing = samples.normals[waiting] @ direction
        lift = np.where(facing < 0, -_LIFT, _LIFT)[:, None] * samples.normals[waiting]
        waiting = waiting[samples.surface.blocked(origins[waiting] + lift, direction)]
        if len(waiting) == 0:
            break
    seen = np.ones(len(origins), dtype=np.bool_)
    seen[waiting] = False
    return seen


def _sphere(count: int) -> NDArray[np.float64]:
    """(count, 3) directions on a Fibonacci spiral, ordered so that few of them already cover all sides."""
    place = np.arange(count)
    height = 1 - (2 * place + 1) / count
    angle = place * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - height**2)
    spiral = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    # Reversed bits visit the ends, the middle, the quarters ...: most points are seen from one of the first few.
    return spiral[sorted(range(count), key=lambda k: f"{k:032b}"[::-1])]


def _target(surface: Mesh | Triangulated, name: str) -> Target:
    positions, triangles = _triangles(surface)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise UsageError(f"{name} positions must have shape (vertices, 3), not {positions.shape}")
    if triangles.ndim != 2 or triangles.shape[1] != 3 or not np.issubdtype(triangles.dtype, np.integer):
        raise UsageError(f"{name} triangles must be integers of shape (faces, 3), not {triangles.shape}")
    if len(triangles) == 0:
        raise UsageError(f"the {name} surface has no triangles")
    if triangles.min() < 0 or triangles.max() >= len(positions):
        raise UsageError(f"{name} triangles name vertices that do not exist")
    if not np.isfinite(positions[np.unique(triangles)]).all():
        raise UsageError(f"{name} positions are not all finite")
    return Target(positions.astype(np.float64), triangles.astype(np.int64), name)


def _triangles(surface: Mesh | Triangulated) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    if not isinstance(surface, Mesh):
        return np.asarray(surface.positions), np.asarray(surface.triangles)
    positions, triangles, offset = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0
    for part in world_parts(surface):
        positions.append(part.primitive.positions.astype(np.float64))
        triangles.append(part.primitive.triangles.astype(np.int64) + offset)
        offset += len(part.primitive.positions)
    return np.concatenate(positions), np.concatenate(triangles)
