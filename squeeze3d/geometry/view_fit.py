"""Move the vertices of a simplified mesh so that it looks like the original.

```text
original ─► render once ─► ViewTargets: depth, place, normal and colour of every pixel
                                │
mesh ─► rasterise ─► outlines and pixels compared ─► sparse least squares ─► vertices move ─┐
          ▲                                                                                 │
          └──────────────────────────── kept if the views agree better ◄────────────────────┘
```

Connectivity stays, so that it costs no bytes. Closest points (`geometry.refit`) know nothing of what is seen: they pull
at hidden walls as much as at outlines, where a pixel of difference is one between object and background. Here, each
round pairs

- points on the mesh's contours in each view (against the background or against what lies behind) with the place where
  the original's contour crosses the line through them along the contour's normal, as trackers of edges do
  (Harris, RAPID, 1990). Weighted by 1 / distance, the sum of squares is the area between both outlines
- pixels that both cover with the original's tangent plane in that pixel (Chen and Medioni, 1991)

and solves for all vertices at once (Gauss-Newton, damped as by Levenberg and Marquardt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.sampling import face_areas, face_normals
from squeeze3d.geometry.simplify import TriangleMesh
from squeeze3d.geometry.surface import Surface
from squeeze3d.render.camera import Camera, fitting_rig
from squeeze3d.render.mesh import MeshRenderer
from squeeze3d.render.raster import Fragments, draw, project

VIEWS = 20
RESOLUTION = 144
ROUNDS = 8

REACH = 0.08
"""How far along a contour's normal the original's contour is looked for, relative to the view's height."""
SHARP = 0.75
"""Pixels: contours closer than this count with the square of the distance, others with the distance."""
GAP = 0.02
"""Depth by which a contour must stand out from what is behind it, and less than which counts as the same place."""
LAYER = 0.04
"""Distance from the original's surface in the same pixel above which another layer is seen, which does not pull."""
FLOOR = 0.1
"""Squared colour difference that all contours count with, in addition to the original's across them."""
INNER = 0.5
"""Weight of contours that are seen in front of the object itself, relative to those before the background."""
SURFACE_WEIGHT = 0.02
"""Of a pixel's distance to the original's surface, relative to a pixel of contour; both distances in pixels."""
DEEP = 0.02
"""Distance from the original's surface from which a pixel counts as entirely wrong when meshes are compared."""
DEEP_COST = 0.03
"""What such a pixel costs, as a squared colour difference."""
DAMPING = 0.05
"""First weight of staying put, relative to the mean weight that views give a vertex."""
SMOOTHING = 0.2
"""Weight of moving as one's neighbours do, on the same scale."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewTargets:
    """Views of an original, in the frame of the meshes that are to look like it."""

    cameras: tuple[Camera, ...]
    bounds: NDArray[np.float64]
    """(2, 3) minimum and maximum corner of the original."""
    depth: NDArray[np.float32]
    """(N, H, W), infinite where nothing is seen."""
    places: NDArray[np.float32]
    """(N, H, W, 3) what is seen."""
    normals: NDArray[np.float32]
    """(N, H, W, 3) of length 1."""
    colours: NDArray[np.float32]
    """(N, H, W, 3) unlit, on white."""
    costs: NDArray[np.float32]
    """(N, H, W) what it costs to show background there instead of the object, or the other way round."""

    @classmethod
    def render(
        cls,
        surface: Surface,
        *,
        centre: NDArray[np.float64] | None = None,
        scale: float = 1.0,
        cameras: Sequence[Camera] | None = None,
        views: int = VIEWS,
        resolution: int = RESOLUTION,
        threads: int | None = None,
    ) -> ViewTargets:
        """Look at an original.

        Parameters
        ----------
        centre, scale : meshes are in coordinates (place - centre) / scale of the surface, of order 1.
        cameras : in the surface's frame, of one resolution; by default `fitting_rig` with `views` and `resolution`.
        """
        from scipy.ndimage import distance_transform_edt

        rig = fitting_rig(surface.bounds, views=views, resolution=resolution) if cameras is None else tuple(cameras)
        images = MeshRenderer(surface, threads=threads).render(rig, channels=("albedo", "normal", "depth", "mask"))
        middle = np.zeros(3) if centre is None else np.asarray(centre, dtype=np.float64)
        depth = images.channel("depth") / np.float32(scale)
        depth[images.channel("mask") < 0.5] = np.inf
        moved = tuple(camera.moved(middle, scale) for camera in rig)
        seen = np.isfinite(depth)
        places = np.zeros((*depth.shape, 3), dtype=np.float32)
        for view, camera in enumerate(moved):
            rays = camera.rays().reshape(*camera.resolution, 6)
            some = seen[view]
            places[view][some] = rays[some, :3] + depth[view][some][:, None] * rays[some, 3:]
        colours = images.channel("albedo")
        contrast = np.square(1 - colours).mean(axis=3)
        costs = np.full(depth.shape, FLOOR, dtype=np.float32)
        for view in np.flatnonzero(seen.any(axis=(1, 2))):
            rows, columns = distance_transform_edt(~seen[view], return_distances=False, return_indices=True)
            costs[view] += contrast[view][rows, columns]
        bounds = (surface.bounds - middle) / scale
        return cls(moved, bounds, depth, places, images.channel("normal"), colours, costs)


def fit_to_views(
    mesh: TriangleMesh,
    targets: ViewTargets,
    *,
    rounds: int = ROUNDS,
    reach: float = REACH,
    smoothing: float = SMOOTHING,
    surface_weight: float = SURFACE_WEIGHT,
) -> TriangleMesh:
    """A mesh with the same triangles that looks more like the original, or the same mesh.

    Parameters
    ----------
    mesh : in the frame of the targets.
    rounds : how often it is looked at; half of them bring most of the gain.
    reach : how far contours may be off, relative to a view's height.
    """
    if not len(mesh.triangles) or rounds < 1:
        return mesh
    start = np.asarray(mesh.positions, dtype=np.float64)
    frame = _Frame(mesh, targets)
    low = np.minimum(start.min(axis=0), targets.bounds[0])
    high = np.maximum(start.max(axis=0), targets.bounds[1])
    best, seen = start, frame.look(start)
    least = first = frame.cost(best, seen)
    damping, pixels = DAMPING, reach * targets.depth.shape[1]
    system = frame.system(best, seen, pixels, surface_weight)
    for turn in range(rounds):
        moved = np.clip(best + _unflipped(best, frame.step(system, damping, smoothing), frame.triangles), low, high)
        seen = frame.look(moved)
        cost = frame.cost(moved, seen)
        if cost < least:
            best, least = moved, cost
            damping = max(damping / 2, 0.01)
            if turn + 1 < rounds:
                system = frame.system(best, seen, pixels, surface_weight)
        else:
            damping *= 6
            if damping > 100:
                break
    return TriangleMesh(best, mesh.triangles) if least < first else mesh


@dataclass(frozen=True, slots=True, eq=False)
class _System:
    """Symmetric equations for the moves of all vertices, in blocks of 3 x 3."""

    diagonal: NDArray[np.float64]
    """(V, 3, 3)."""
    across: NDArray[np.float64]
    """(E, 3, 3) row of an edge's first vertex, column of its second."""
    right: NDArray[np.float64]
    """(V, 3)."""


class _Frame:
    """Connectivity of one mesh and the views it is compared with."""

    def __init__(self, mesh: TriangleMesh, targets: ViewTargets) -> None:
        self.targets = targets
        self.triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int64)
        sides = self.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        sides = np.sort(sides, axis=1)
        self.edges, index = np.unique(sides, axis=0, return_inverse=True)
        index = index.reshape(-1)
        self.face_edges = index.reshape(-1, 3)
        """(F, 3) edges from corner 0 to 1, 1 to 2 and 2 to 0."""
        order = np.argsort(index, kind="stable")
        self.opposite = self.triangles[:, [2, 0, 1]].reshape(-1)[order]
        self.starts = np.searchsorted(index[order], np.arange(len(self.edges) + 1))
        cameras = targets.cameras
        self.parallel = cameras[0].fov is None
        self.axes = np.stack([camera.axes for camera in cameras])
        self.eyes = np.stack([camera.eye for camera in cameras])
        self.scales = np.array([camera.pixels_per_unit(np.ones(1))[0] for camera in cameras])

    def look(self, positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], Fragments]:
        """The mesh in all views: (N, V, 3) vertices, and pixels."""
        screen = project(self.targets.cameras, positions)
        height, width = self.targets.depth.shape[1:]
        return screen, draw(screen, self.triangles, height, width, parallel=self.parallel)

    def cost(self, positions: NDArray[np.float64], seen: tuple[NDArray[np.float64], Fragments]) -> float:
        """How unlike the original the mesh looks: squared colour differences, roughly, summed over pixels."""
        t = self.targets
        return float(
            _cost(
                positions, self.triangles, seen[1].faces, seen[1].weights, t.depth, t.places, t.normals, t.costs, DEEP,
                DEEP_COST,
            )
        )  # fmt: skip

    def system(
        self,
        positions: NDArray[np.float64],
        seen: tuple[NDArray[np.float64], Fragments],
        reach: float,
        surface_weight: float,
    ) -> _System:
        """Equations of one round; `reach` in pixels."""
        t = self.targets
        screen, pixels = seen
        count = len(positions)
        result = _System(np.zeros((count, 3, 3)), np.zeros((len(self.edges), 3, 3)), np.zeros((count, 3)))
        _add_surface(
            positions, self.triangles, self.face_edges, self.edges, pixels.faces, pixels.weights, pixels.depth,
            t.depth, t.places, t.normals, self.scales, self.parallel, LAYER, surface_weight,
            result.diagonal, result.across, result.right,
        )  # fmt: skip
        _add_contours(
            screen, self.edges, self.opposite, self.starts, pixels.depth, t.depth, t.colours, self.axes, self.scales,
            self.parallel, reach, SHARP, GAP, FLOOR, INNER, result.diagonal, result.across, result.right,
        )  # fmt: skip
        return result

    def step(self, system: _System, damping: float, smoothing: float) -> NDArray[np.float64]:
        """(V, 3) moves."""
        unit = float(np.trace(system.diagonal, axis1=1, axis2=2).mean()) / 3
        if not unit > 0:
            return np.zeros_like(system.right)
        stiff = smoothing * unit
        valence = np.bincount(self.edges.reshape(-1), minlength=len(system.right))
        # Every vertex is held by its neighbours with the same weight in all, however many they are.
        share = stiff * 0.5 * (1 / valence[self.edges[:, 0]] + 1 / valence[self.edges[:, 1]])
        diagonal = system.diagonal + np.eye(3) * (damping * unit)
        across = system.across - np.eye(3) * share[:, None, None]
        held = np.bincount(self.edges.reshape(-1), np.repeat(share, 2), minlength=len(valence))
        diagonal += np.eye(3) * held[:, None, None]
        moves: NDArray[np.float64] = _conjugate_gradients(
            diagonal, across, self.edges, system.right, np.linalg.inv(diagonal), 60, 1e-3
        )
        return moves


def _unflipped(
    positions: NDArray[np.float64], moves: NDArray[np.float64], triangles: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Moves, made smaller where a triangle would turn over."""
    before, areas = face_normals(positions, triangles), face_areas(positions, triangles)
    moves = moves.copy()
    for _ in range(4):
        after = face_normals(positions + moves, triangles)
        turned = ((before * after).sum(axis=1) < 0.2) & (areas > 1e-9)
        if not turned.any():
            break
        moves[np.unique(triangles[turned])] *= 0.4
    return moves


@compiled
def _cost(  # type: ignore[no-untyped-def]
    positions, triangles, faces, weights, depth, places, normals, costs, deep, deep_cost
):
    total = 0.0
    count, height, width = faces.shape
    for view in range(count):
        for row in range(height):
            for column in range(width):
                face = faces[view, row, column]
                seen = depth[view, row, column] < np.inf
                if (face >= 0) != seen:
                    total += costs[view, row, column]
                elif seen:
                    off = 0.0
                    for axis in range(3):
                        place = 0.0
                        for corner in range(3):
                            place += weights[view, row, column, corner] * positions[triangles[face, corner], axis]
                        off += normals[view, row, column, axis] * (places[view, row, column, axis] - place)
                    total += deep_cost * min(abs(off) / deep, 1.0)
    return total


@compiled
def _add_surface(  # type: ignore[no-untyped-def]
    positions, triangles, face_edges, edges, faces, weights, own_depth, depth, places, normals, scales, parallel,
    layer, weight, diagonal, across, right
):  # fmt: skip
    """Add every pixel that both cover: the mesh should lie on the original's tangent plane there."""
    count, height, width = faces.shape
    for view in range(count):
        for row in range(height):
            for column in range(width):
                face = faces[view, row, column]
                if face < 0 or not depth[view, row, column] < np.inf:
                    continue
                if abs(depth[view, row, column] - own_depth[view, row, column]) > 4 * layer:
                    continue
                normal = normals[view, row, column]
                off = 0.0
                for axis in range(3):
                    place = 0.0
                    for corner in range(3):
                        place += weights[view, row, column, corner] * positions[triangles[face, corner], axis]
                    off += normal[axis] * (places[view, row, column, axis] - place)
                if abs(off) > layer:
                    continue
                scale = scales[view] if parallel else scales[view] / own_depth[view, row, column]
                # Far ones pull with a constant force.
                factor = weight * scale * scale / max(abs(off) * scale, 1.0)
                for i in range(3):
                    a = triangles[face, i]
                    wi = weights[view, row, column, i] * factor
                    for m in range(3):
                        right[a, m] += wi * normal[m] * off
                        for n in range(3):
                            diagonal[a, m, n] += wi * weights[view, row, column, i] * normal[m] * normal[n]
                    j = (i + 1) % 3
                    edge = face_edges[face, i]
                    for m in range(3):
                        for n in range(3):
                            # Symmetric in m and n: the order of the edge's ends does not matter.
                            across[edge, m, n] += wi * weights[view, row, column, j] * normal[m] * normal[n]


@compiled
def _inside(x, y, limit, depth):  # type: ignore[no-untyped-def]
    """Whether a place in a view shows the object, nearer than `limit`."""
    row, column = int(np.floor(y)), int(np.floor(x))
    if row < 0 or column < 0 or row >= depth.shape[0] or column >= depth.shape[1]:
        return False
    return depth[row, column] < limit


@compiled
def _depth_at(x, y, depth):  # type: ignore[no-untyped-def]
    row, column = int(np.floor(y)), int(np.floor(x))
    if row < 0 or column < 0 or row >= depth.shape[0] or column >= depth.shape[1]:
        return np.float32(np.inf)
    return depth[row, column]


@compiled
def _crossing(x, y, nx, ny, limit, depth, reach):  # type: ignore[no-untyped-def]
    """Distance along (nx, ny) to where the original ends, or infinity.

    The contour that faces the same way and is closest; the one that the place itself belongs to has precedence.
    """
    step = 0.5
    count = int(reach / step)
    here = _inside(x, y, limit, depth)
    found = [np.inf, np.inf]
    for way in range(2):
        sign = 1.0 if way == 0 else -1.0
        last = here
        for k in range(1, count + 1):
            t = sign * k * step
            now = _inside(x + t * nx, y + t * ny, limit, depth)
            # Outwards from in to out, inwards from out to in.
            if last != now and now == (way == 1):
                found[way] = k * step - step / 2
                break
            last = now
    outwards, inwards = found[0], found[1]
    if here:
        return outwards if outwards <= 1.5 * inwards else -inwards
    return -inwards if inwards <= 1.5 * outwards else outwards


@compiled
def _add_contours(  # type: ignore[no-untyped-def]
    screen, edges, opposite, starts, own_depth, depth, colours, axes, scales, parallel, reach, sharp, gap, floor,
    inner, diagonal, across, right
):  # fmt: skip
    """Add points on the mesh's visible contours, about one a pixel."""
    count, height, width = own_depth.shape
    direction = np.zeros(3)
    for view in range(count):
        buffer, target = own_depth[view], depth[view]
        for edge in range(len(edges)):
            a, b = edges[edge, 0], edges[edge, 1]
            ax, ay, az = screen[view, a, 0], screen[view, a, 1], screen[view, a, 2]
            bx, by, bz = screen[view, b, 0], screen[view, b, 1], screen[view, b, 2]
            dx, dy = bx - ax, by - ay
            length = np.sqrt(dx * dx + dy * dy)
            if not length > 0.2:
                continue
            nx, ny = dy / length, -dx / length
            # A contour has all its triangles on one side.
            lowest, highest = 0.0, 0.0
            for k in range(starts[edge], starts[edge + 1]):
                o = opposite[k]
                side = (screen[view, o, 0] - ax) * nx + (screen[view, o, 1] - ay) * ny
                lowest, highest = min(lowest, side), max(highest, side)
            if lowest < 0 and highest > 0:
                continue
            if highest > 0:
                nx, ny = -nx, -ny
            samples = max(1, int(length + 0.5))
            part = length / samples
            for k in range(samples):
                t = (k + 0.5) / samples
                x, y = ax + t * dx, ay + t * dy
                if parallel:
                    wb = t
                    z = az + t * (bz - az)
                else:
                    inverse = (1 - t) / az + t / bz
                    wb = t / bz / inverse
                    z = 1 / inverse
                outer = _depth_at(x + 1.5 * nx, y + 1.5 * ny, buffer)
                if outer < z + gap or _depth_at(x, y, buffer) < z - gap:
                    continue
                if _depth_at(x - nx, y - ny, buffer) < z - gap:
                    continue
                whole = not outer < np.inf
                limit = np.inf if whole else 0.5 * (z + outer)
                away = _crossing(x, y, nx, ny, limit, target, reach)
                if not abs(away) < np.inf:
                    continue
                scale = scales[view] if parallel else scales[view] / z
                # Contrast of the original across its contour.
                contrast = 0.0
                for channel in range(3):
                    values = [1.0, 1.0]
                    for place in range(2):
                        t2 = away + (1.0 if place == 0 else -1.0)
                        row, column = int(np.floor(y + t2 * ny)), int(np.floor(x + t2 * nx))
                        if 0 <= row < height and 0 <= column < width:
                            values[place] = colours[view, row, column, channel]
                    contrast += (values[0] - values[1]) ** 2 / 3
                factor = (floor + contrast) * part / max(abs(away), sharp)
                if not whole:
                    factor *= inner
                # How far the place moves along the normal in the view, for a move in space.
                sx = (x - width / 2) / scale / z
                sy = (height / 2 - y) / scale / z
                if parallel:
                    sx, sy = 0.0, 0.0
                for m in range(3):
                    direction[m] = scale * (
                        nx * (axes[view, 0, m] - sx * axes[view, 2, m])
                        - ny * (axes[view, 1, m] - sy * axes[view, 2, m])
                    )
                wa = 1 - wb
                for m in range(3):
                    right[a, m] += factor * wa * direction[m] * away
                    right[b, m] += factor * wb * direction[m] * away
                    for n in range(3):
                        both = factor * direction[m] * direction[n]
                        diagonal[a, m, n] += wa * wa * both
                        diagonal[b, m, n] += wb * wb * both
                        across[edge, m, n] += wa * wb * both


@compiled
def _times(diagonal, across, edges, values):  # type: ignore[no-untyped-def]
    result = np.zeros_like(values)
    for v in range(len(values)):
        for m in range(3):
            for n in range(3):
                result[v, m] += diagonal[v, m, n] * values[v, n]
    for e in range(len(edges)):
        a, b = edges[e, 0], edges[e, 1]
        for m in range(3):
            for n in range(3):
                result[a, m] += across[e, m, n] * values[b, n]
                result[b, m] += across[e, n, m] * values[a, n]
    return result


@compiled
def _conjugate_gradients(  # type: ignore[no-untyped-def]
    diagonal, across, edges, right, inverse, rounds, tolerance
):
    """Solve the equations; `inverse` holds the inverses of the blocks on the diagonal."""
    result = np.zeros_like(right)
    rest = right.copy()
    no_edges = edges[:0]
    ready = _times(inverse, across, no_edges, rest)
    way = ready.copy()
    before = (rest * ready).sum()
    goal = tolerance * tolerance * before
    for _ in range(rounds):
        if not before > goal:
            break
        pushed = _times(diagonal, across, edges, way)
        size = before / (way * pushed).sum()
        result += size * way
        rest -= size * pushed
        ready = _times(inverse, across, no_edges, rest)
        after = (rest * ready).sum()
        way = ready + (after / before) * way
        before = after
    return result
