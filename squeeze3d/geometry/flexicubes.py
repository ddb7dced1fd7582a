"""FlexiCubes: a triangle mesh from signed values on a lattice, with weights that move its vertices within their cubes.

```text
values ─► surface_cubes ─► which cubes, which lattice points ─► (positions, weights: evaluated there alone) ─┐
                                   vertices, triangles, attributes ◄─ dual_mesh ◄────────────────────────────┘
```

A dual method: a vertex for every group of cut edges of a cube (see `flexicubes_tables`), and a quad, split into two
triangles, for every cut edge of the lattice. Surfaces that leave the lattice stay open, and vertices next to its border
may be in no triangle; they are kept, so that numbering follows from the cubes alone.

Lattice points and cubes are numbered in C order. Values below zero are inside; zero is outside. A cut edge that starts
at a value of exactly zero gives a quad that looks inwards, as in the published method.

Shen et al., "Flexible isosurface extraction for gradient-based mesh optimization" (FlexiCubes), 2023, without its
tetrahedra and its quadratic error function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.flexicubes_tables import EDGES, group_counts, group_of_edge, repairs

Floats = NDArray[np.float32]

_FIRST, _SECOND = (np.array(side) for side in zip(*EDGES, strict=True))
_CORNERS = np.array([[c & 1, c >> 1 & 1, c >> 2] for c in range(8)], dtype=np.int64)
_KIND = np.array([{-2: 0, 4: 1, 1: 2}[second - first] for first, second in EDGES], dtype=np.int64)
"""Orders the edges that start at one lattice point by where they end: down along y, up along z, up along x."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceCubes:
    """Cubes of a lattice with corners on both sides."""

    shape: tuple[int, int, int]
    """Lattice points along x, y and z."""
    cubes: NDArray[np.int64]
    """(S,) ascending numbers of the cubes, in a lattice of cubes one smaller than `shape` along each axis."""
    cases: NDArray[np.uint8]
    """(S,) sum of 2^c over the corners c inside; the complement where the ambiguity of a face asks for it."""
    points: NDArray[np.int64]
    """(U,) ascending numbers of the lattice points at corners of these cubes."""
    corners: NDArray[np.int32]
    """(S, 8) corners of each cube as indices into `points`."""

    def places(self) -> NDArray[np.int64]:
        """(U, 3) lattice coordinates of the points."""
        return np.stack(np.unravel_index(self.points, self.shape), axis=1).astype(np.int64)

    def cube_places(self) -> NDArray[np.int64]:
        """(S, 3) lattice coordinates of the lowest corner of each cube."""
        return np.stack(np.unravel_index(self.cubes, _cubes_shape(self.shape)), axis=1).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class CubeWeights:
    """What moves the vertices of surface cubes. All positive."""

    alpha: Floats
    """(S, 8) of the corners: a larger one pushes crossings of its edges away."""
    beta: Floats
    """(S, 12) of the edges: a larger one draws the vertex to its crossing."""
    gamma: Floats
    """(S,) of the cube: quads are split along the diagonal with the larger product."""


@dataclass(frozen=True, slots=True, eq=False)
class DualMesh:
    """A triangle mesh that looks to positive values."""

    vertices: Floats
    """(V, 3)"""
    triangles: NDArray[np.int32]
    """(F, 3)"""
    attributes: Floats
    """(V, A) interpolated from the lattice points."""


def surface_cubes(values: NDArray[np.floating]) -> SurfaceCubes:
    """Cubes of a lattice (X, Y, Z) of values that the surface passes through. NaN counts as outside."""
    shape = values.shape
    assert len(shape) == 3
    assert min(shape) >= 2
    inside = (values < 0).view(np.uint8)
    cases = np.zeros(_cubes_shape(shape), dtype=np.uint8)
    for corner, (dx, dy, dz) in enumerate(_CORNERS):
        cases |= inside[dx : dx + cases.shape[0], dy : dy + cases.shape[1], dz : dz + cases.shape[2]] << corner
    cubes = np.flatnonzero((cases != 0) & (cases != 255))
    places = np.stack(np.unravel_index(cubes, cases.shape), axis=1)
    steps = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    corners = (places @ steps)[:, None] + _CORNERS @ steps
    used = np.zeros(values.size, dtype=np.bool_)
    used[corners] = True
    points = np.flatnonzero(used)
    # Only entries of used points are ever read.
    rows = np.empty(values.size, dtype=np.int32)
    rows[points] = np.arange(len(points), dtype=np.int32)
    return SurfaceCubes(shape, cubes, _repaired(cases, places), points, rows[corners])


def dual_mesh(
    surface: SurfaceCubes,
    values: Floats,
    positions: Floats,
    weights: CubeWeights | None = None,
    attributes: Floats | None = None,
) -> DualMesh:
    """Mesh of the surface.

    Vertices are sorted by the number of vertices in their cube, then by cube, then by group. Triangles come in pairs
    in the order of their lattice edges, those of edges that start outside before the others.

    Parameters
    ----------
    surface : of the values' lattice.
    values : (U,) at `surface.points`.
    positions : (U, 3) of those points, moved or not.
    weights : of `surface.cubes`. None: all ones.
    attributes : (U, A) of the points, interpolated as positions are.
    """
    count = len(surface.cubes)
    if weights is None:
        ones = np.ones((count, 12), dtype=np.float32)
        weights = CubeWeights(ones[:, :8], ones, ones[:, 0])
    assert weights.alpha.shape == (count, 8)
    assert weights.beta.shape == (count, 12)
    assert weights.gamma.shape == (count,)

    # Cut edges, cube by cube; each belongs to one vertex.
    groups = group_of_edge()[surface.cases]
    cube, edge = np.nonzero(groups >= 0)
    first, second = surface.corners[cube, _FIRST[edge]], surface.corners[cube, _SECOND[edge]]
    counts = group_counts()[surface.cases].astype(np.int64)
    order = np.argsort(counts, kind="stable")
    starts = np.empty(count, dtype=np.int64)
    starts[order] = np.cumsum(counts[order]) - counts[order]
    vertex = starts[cube] + groups[cube, edge]

    # In float64: with both ends next to zero, float32 would lose the denominator.
    scaled_first = values[first].astype(np.float64) * weights.alpha[cube, _FIRST[edge]]
    scaled_second = values[second].astype(np.float64) * weights.alpha[cube, _SECOND[edge]]
    share = scaled_first / (scaled_first - scaled_second)
    beta = weights.beta[cube, edge].astype(np.float64)
    total = int(counts.sum())
    beta /= np.bincount(vertex, beta, total)[vertex]

    def averaged(at_points: Floats) -> Floats:
        result = np.empty((total, at_points.shape[1]), dtype=np.float32)
        for axis, column in enumerate(at_points.T.astype(np.float64)):
            crossings = column[first] + share * (column[second] - column[first])
            result[:, axis] = np.bincount(vertex, beta * crossings, total)
        return result

    if attributes is None:
        attributes = np.empty((len(surface.points), 0), dtype=np.float32)
    triangles = _triangles(surface.points[first] * 3 + _KIND[edge], vertex, values[first] > 0, weights.gamma[cube])
    return DualMesh(averaged(positions), triangles, averaged(attributes))


def _triangles(
    edges: NDArray[np.int64], vertices: NDArray[np.int64], outside: NDArray[np.bool_], gamma: Floats
) -> NDArray[np.int32]:
    """(F, 3) triangles from the cut edges of all cubes, cubes ascending.

    Parameters
    ----------
    edges : (N,) number of the lattice edge.
    vertices : (N,) the cube's vertex it belongs to.
    outside : (N,) whether it starts at a positive value.
    gamma : (N,) weight of the cube.
    """
    order = np.argsort(edges, kind="stable")
    # An edge has at most four cubes around it, and fewer only at the border of the lattice.
    numbers = edges[order]
    starts = np.flatnonzero(numbers[3:] == numbers[:-3])
    around = order[starts[:, None] + np.arange(4)]
    looks_up = outside[around[:, 0]]
    quads = np.concatenate([around[looks_up][:, [0, 1, 3, 2]], around[~looks_up][:, [2, 3, 1, 0]]])
    weight = gamma[quads]
    along = weight[:, 0] * weight[:, 2] > weight[:, 1] * weight[:, 3]
    split = np.where(along[:, None], [0, 1, 2, 0, 2, 3], [0, 1, 3, 3, 1, 2])
    return np.take_along_axis(vertices[quads], split, axis=1).reshape(-1, 3).astype(np.int32)


def _repaired(cases: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(S,) cases of the cubes at `places` (S, 3), those that meet at an ambiguous face replaced in pairs."""
    table = repairs()
    found = cases[tuple(places.T)]
    asking = np.flatnonzero(table[found, 0])
    beyond = places[asking] + table[found[asking], 1:4]
    within = ((beyond >= 0) & (beyond < cases.shape)).all(axis=1)
    asking, beyond = asking[within], beyond[within]
    agreed = asking[table[cases[tuple(beyond.T)], 0] == 1]
    found[agreed] = table[found[agreed], 4]
    return found


def _cubes_shape(lattice: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size - 1 for size in lattice)
