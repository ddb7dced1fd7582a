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
from squeeze3d.geometry.edges import edges_of
from squeeze3d.geometry.sampling import face_areas, face_normals
from squeeze3d.geometry.simplify import TriangleMesh
from squeeze3d.geometry.surface import Surface
from squeeze3d.render.camera import Camera, fitting_rig
from squeeze3d.render.mesh import MeshRenderer
from squeeze3d.render.raster import Fragments, draw, project

VIEWS = 20
RESOLUTION = 256
ROUNDS = 12

REACH = 0.08
"""How far along a contour's normal the original's contour is looked for, relative to the view's height."""
NEAR = 1.0
"""Pixels: the fit ends where not even contours closer than this lead to anything better."""
SHARP = 0.5
"""Pixels: contours closer than this count with the square of the distance, others with the distance."""
GAP = 0.02
"""Depth by which a contour must stand out from what is behind it, and less than which counts as the same place."""
LAYER = 0.04
"""Distance from the original's surface in the same pixel above which another layer is seen, which does not pull."""
FLOOR = 0.1
"""Squared colour difference that all contours count with, in addition to the original's across them."""
INNER = 0.5
"""Weight of contours that are seen in front of the object itself, relative to those before the background."""
SURFACE_WEIGHT = 0.025
"""Of a pixel's distance to the original's surface, relative to a pixel of contour; both distances in pixels."""
NORMAL_WEIGHT = 0.1
"""Of the squared sine between the normals of mesh and original in a pixel: about what light makes of it."""
COLOUR_WEIGHT = 0.5
"""Of squared differences between the original's colours and those interpolated from the best ones at vertices. With 2,
those gain most, but a striped coat of 1,500 faces loses 6 dB of its outline to its stripes."""
DEEP = 0.02
"""Distance from the original's surface from which a pixel counts as entirely wrong when meshes are compared."""
DEEP_COST = 0.1
"""What such a pixel costs, as a squared colour difference."""
DAMPING = 0.05
"""First weight of staying put, relative to the mean weight that views give a vertex."""
CLEAR = 0.2
"""Difference of colours from which they pull with a constant force."""
STRIDE = 2
"""Of pixels inside the object, every second row and column is used: there are many more of them than of unknowns."""
SHORT = 0.01
"""Sides of triangles shorter than this do not count as strongly when their direction is compared with normals."""
SMOOTHING = 0.1
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
        for view in np.flatnonzero(seen.any(axis=(1, 2))).tolist():
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
    colour_weight: float = COLOUR_WEIGHT,
    normal_weight: float = NORMAL_WEIGHT,
) -> TriangleMesh:
    """A mesh with the same triangles that looks more like the original, or the same mesh.

    Parameters
    ----------
    mesh : in the frame of the targets.
    rounds : how often it is looked at; half of them bring most of the gain.
    reach : how far contours may be off, relative to a view's height.
    smoothing : 0.05 lets vertices move on their own, 1 keeps neighbours together.
    surface_weight, normal_weight : places and slopes inside outlines. Less of them gives better outlines to meshes of
        150 faces and worse light to those of 1,500.
    colour_weight : 2 if colours are stored at vertices: they gain up to 1 dB more, and outlines of patterned objects
        may lose. 0 if colours do not depend on where vertices are.
    """
    if not len(mesh.triangles) or rounds < 1:
        return mesh
    start = np.asarray(mesh.positions, dtype=np.float64)
    frame = _Frame(mesh, targets, surface_weight, colour_weight, normal_weight)
    low = np.minimum(start.min(axis=0), targets.bounds[0])
    high = np.maximum(start.max(axis=0), targets.bounds[1])
    best = frame.look(start)
    first = best.cost
    damping, pixels = DAMPING, reach * targets.depth.shape[1]
    system = frame.system(best, pixels)
    for turn in range(rounds):
        moves = _unflipped(best.positions, frame.step(system, damping, smoothing), frame.triangles)
        look = frame.look(np.clip(best.positions + moves, low, high))
        if look.cost < best.cost:
            best = look
            damping = max(damping / 2, 0.01)
        else:
            # Contours that are far off may be others than those they were taken for.
            pixels /= 2
            damping *= 3
            if pixels < NEAR:
                break
        if turn + 1 < rounds:
            system = frame.system(best, pixels)
    return TriangleMesh(best.positions, mesh.triangles) if best.cost < first else mesh


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """A mesh in all views."""

    positions: NDArray[np.float64]
    """(V, 3)."""
    screen: NDArray[np.float64]
    """(N, V, 3) column, row and depth."""
    pixels: Fragments
    colours: NDArray[np.float64]
    """(V, 3) colours that make it look like the original, as far as colours at vertices can."""
    cost: float
    """How unlike the original it looks: squared colour differences, roughly, summed over pixels."""


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

    def __init__(
        self,
        mesh: TriangleMesh,
        targets: ViewTargets,
        surface_weight: float,
        colour_weight: float,
        normal_weight: float,
    ) -> None:
        self.targets = targets
        self.surface_weight, self.colour_weight, self.normal_weight = surface_weight, colour_weight, normal_weight
        self.triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int64)
        edges = edges_of(self.triangles, len(mesh.positions))
        self.edges, index = edges.ends, edges.index
        self.face_edges = index.reshape(-1, 3)
        """(F, 3) edges from corner 0 to 1, 1 to 2 and 2 to 0."""
        order = np.argsort(index, kind="stable")
        self.opposite = self.triangles[:, [2, 0, 1]].reshape(-1)[order]
        self.starts = np.searchsorted(index[order], np.arange(len(self.edges) + 1))
        cameras = targets.cameras
        self.parallel = cameras[0].fov is None
        self.axes = np.stack([camera.axes for camera in cameras])
        self.eyes = np.stack([camera.eye for camera in cameras])
        self.valence = np.bincount(self.edges.reshape(-1), minlength=len(mesh.positions))
        self.scales = np.array([camera.pixels_per_unit(np.ones(1))[0] for camera in cameras])

    def look(self, positions: NDArray[np.float64]) -> _Look:
        """See where everything is, and judge it."""
        t = self.targets
        screen = project(t.cameras, positions)
        height, width = t.depth.shape[1:]
        pixels = draw(screen, self.triangles, height, width, parallel=self.parallel)
        colours = self._paint(pixels) if self.colour_weight > 0 else np.zeros_like(positions)
        cost = _cost(
            positions, self.triangles, pixels.faces, pixels.weights, t.depth, t.places, t.normals, t.costs, t.colours,
            colours, face_normals(positions, self.triangles), DEEP, DEEP_COST, self.colour_weight, self.normal_weight,
        )  # fmt: skip
        return _Look(positions, screen, pixels, colours, float(cost))

    def _paint(self, pixels: Fragments) -> NDArray[np.float64]:
        """(V, 3) colours at vertices by least squares."""
        t = self.targets
        count = len(self.valence)
        diagonal, across, right = np.zeros(count), np.zeros(len(self.edges)), np.zeros((count, 3))
        _add_colours(
            self.triangles, self.face_edges, pixels.faces, pixels.weights, pixels.depth, t.depth, t.colours, LAYER,
            STRIDE, diagonal, across, right,
        )  # fmt: skip
        diagonal += 1e-3 * max(float(diagonal.mean()), 1e-9)
        blocks = np.eye(3) * diagonal[:, None, None]
        between = np.eye(3) * across[:, None, None]
        painted: NDArray[np.float64] = _conjugate_gradients(
            blocks, between, self.edges, right, np.eye(3) / diagonal[:, None, None], 30, 1e-2
        )
        return painted

    def system(self, look: _Look, reach: float) -> _System:
        """Equations of one round; `reach` in pixels."""
        t = self.targets
        pixels = look.pixels
        count = len(look.positions)
        result = _System(np.zeros((count, 3, 3)), np.zeros((len(self.edges), 3, 3)), np.zeros((count, 3)))
        sums = result.diagonal, result.across, result.right
        _add_pixels(
            look.positions, look.screen, look.colours, self.triangles, self.face_edges, pixels.faces, pixels.weights,
            pixels.depth, t.depth, t.places, t.normals, t.colours, self.axes, self.scales, self.parallel, LAYER,
            self.surface_weight, self.normal_weight, self.colour_weight, STRIDE, *sums,
        )  # fmt: skip
        _add_contours(
            look.screen, self.edges, self.opposite, self.starts, pixels.depth, t.depth, t.colours, self.axes,
            self.scales, self.parallel, reach, SHARP, GAP, FLOOR, INNER, *sums,
        )  # fmt: skip
        return result

    def step(self, system: _System, damping: float, smoothing: float) -> NDArray[np.float64]:
        """(V, 3) moves."""
        unit = float(np.trace(system.diagonal, axis1=1, axis2=2).mean()) / 3
        if not unit > 0:
            return np.zeros_like(system.right)
        stiff = smoothing * unit
        # Every vertex is held by its neighbours with the same weight in all, however many they are.
        share = stiff * 0.5 * (1 / self.valence[self.edges[:, 0]] + 1 / self.valence[self.edges[:, 1]])
        diagonal = system.diagonal + np.eye(3) * (damping * unit)
        across = system.across - np.eye(3) * share[:, None, None]
        held = np.bincount(self.edges.reshape(-1), np.repeat(share, 2), minlength=len(self.valence))
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
    positions, triangles, faces, weights, depth, places, normals, costs, colours, vertex_colours, own_normals,
    deep, deep_cost, colour_weight, normal_weight
):  # fmt: skip
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
                    cosine = 0.0
                    for axis in range(3):
                        cosine += normals[view, row, column, axis] * own_normals[face, axis]
                    total += normal_weight * (1 - min(cosine * cosine, 1.0))
                    if colour_weight > 0:
                        for channel in range(3):
                            value = 0.0
                            for corner in range(3):
                                value += (
                                    weights[view, row, column, corner]
                                    * vertex_colours[triangles[face, corner], channel]
                                )
                            total += colour_weight / 3 * (colours[view, row, column, channel] - value) ** 2
    return total


@compiled
def _add_pixels(  # type: ignore[no-untyped-def]
    positions, screen, vertex_colours, triangles, face_edges, faces, weights, own_depth, depth, places, normals,
    colours, axes, scales, parallel, layer, weight, normal_weight, colour_weight, stride, diagonal, across, right
):  # fmt: skip
    """Add pixels that both cover: there, the mesh should lie on the original's tangent plane and along it, and
    interpolated colours should move to where the original has them. One pixel of `stride` x `stride` counts for all.
    """
    count, height, width = faces.shape
    spread = np.zeros((len(triangles), 3, 3))
    matrix, pull, across_x, across_y = np.zeros((3, 3)), np.zeros(3), np.zeros(3), np.zeros(3)
    share = stride * stride
    for view in range(count):
        for row in range(view % stride, height, stride):
            for column in range((view // stride) % stride, width, stride):
                face = faces[view, row, column]
                z = own_depth[view, row, column]
                if face < 0 or not abs(depth[view, row, column] - z) < 4 * layer:
                    continue
                normal = normals[view, row, column]
                w = weights[view, row, column]
                a, b, c = triangles[face]
                off = 0.0
                for axis in range(3):
                    place = w[0] * positions[a, axis] + w[1] * positions[b, axis] + w[2] * positions[c, axis]
                    off += normal[axis] * (places[view, row, column, axis] - place)
                if abs(off) > layer:
                    continue
                scale = scales[view] if parallel else scales[view] / z
                # Far ones pull with a constant force.
                factor = share * weight * scale * scale / max(abs(off) * scale, 1.0)
                for m in range(3):
                    pull[m] = factor * normal[m] * off
                    for n in range(3):
                        square = share * normal[m] * normal[n]
                        spread[face, m, n] += square
                        matrix[m, n] = factor * normal[m] * normal[n]
                ax, ay = screen[view, a, 0], screen[view, a, 1]
                abx, aby = screen[view, b, 0] - ax, screen[view, b, 1] - ay
                acx, acy = screen[view, c, 0] - ax, screen[view, c, 1] - ay
                area = abx * acy - aby * acx
                if colour_weight > 0 and abs(area) > 2.0:
                    xx, xy, yy, x, y = 0.0, 0.0, 0.0, 0.0, 0.0
                    for channel in range(3):
                        first = vertex_colours[a, channel]
                        ab, ac = vertex_colours[b, channel] - first, vertex_colours[c, channel] - first
                        gx, gy = (ab * acy - ac * aby) / area, (ac * abx - ab * acx) / area
                        wrong = first + w[1] * ab + w[2] * ac - colours[view, row, column, channel]
                        factor = share * colour_weight / 3 / max(abs(wrong) / CLEAR, 1.0)
                        xx += factor * gx * gx
                        xy += factor * gx * gy
                        yy += factor * gy * gy
                        x += factor * gx * wrong
                        y += factor * gy * wrong
                    sx = 0.0 if parallel else (column + 0.5 - width / 2) / scale / z
                    sy = 0.0 if parallel else (height / 2 - row - 0.5) / scale / z
                    for m in range(3):
                        across_x[m] = scale * (axes[view, 0, m] - sx * axes[view, 2, m])
                        across_y[m] = -scale * (axes[view, 1, m] - sy * axes[view, 2, m])
                    for m in range(3):
                        pull[m] += x * across_x[m] + y * across_y[m]
                        for n in range(3):
                            matrix[m, n] += (
                                xx * across_x[m] * across_x[n]
                                + xy * (across_x[m] * across_y[n] + across_y[m] * across_x[n])
                                + yy * across_y[m] * across_y[n]
                            )
                for i in range(3):
                    vertex, edge = triangles[face, i], face_edges[face, i]
                    own, next_one = w[i] * w[i], w[i] * w[(i + 1) % 3]
                    for m in range(3):
                        right[vertex, m] += w[i] * pull[m]
                        for n in range(3):
                            diagonal[vertex, m, n] += own * matrix[m, n]
                            # Symmetric in m and n: the order of the edge's ends does not matter.
                            across[edge, m, n] += next_one * matrix[m, n]
    for face in range(len(triangles)):
        for i in range(3):
            a, b = triangles[face, i], triangles[face, (i + 1) % 3]
            edge = face_edges[face, i]
            square = 0.0
            for m in range(3):
                square += (positions[b, m] - positions[a, m]) ** 2
            # Two of three sides tell the angle between a plane and a normal.
            factor = normal_weight * 2 / 3 / max(square, SHORT * SHORT)
            for m in range(3):
                for n in range(3):
                    value = factor * spread[face, m, n]
                    pull = value * (positions[b, n] - positions[a, n])
                    right[a, m] += pull
                    right[b, m] -= pull
                    diagonal[a, m, n] += value
                    diagonal[b, m, n] += value
                    across[edge, m, n] -= value


@compiled
def _add_colours(  # type: ignore[no-untyped-def]
    triangles, face_edges, faces, weights, own_depth, depth, colours, layer, stride, diagonal, across,
    right
):  # fmt: skip
    """Add what colours at vertices should interpolate to: the original's in every pixel that both cover."""
    count, height, width = faces.shape
    for view in range(count):
        for row in range(view % stride, height, stride):
            for column in range((view // stride) % stride, width, stride):
                face = faces[view, row, column]
                if face < 0 or not abs(depth[view, row, column] - own_depth[view, row, column]) < layer:
                    continue
                for i in range(3):
                    a = triangles[face, i]
                    edge = face_edges[face, i]
                    w = weights[view, row, column, i]
                    across[edge] += w * weights[view, row, column, (i + 1) % 3]
                    diagonal[a] += w * w
                    for channel in range(3):
                        right[a, channel] += w * colours[view, row, column, channel]


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
                # Both outlines have steps of a pixel. Where they are one, so are the steps, and nothing moves.
                own = _crossing(x, y, nx, ny, limit, buffer, 2.0)
                apart = away - own if abs(own) < np.inf else away
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
                factor = (floor + contrast) * part / max(abs(apart), sharp)
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
                    right[a, m] += factor * wa * direction[m] * apart
                    right[b, m] += factor * wb * direction[m] * apart
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
