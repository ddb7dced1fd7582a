"""Triangles to pixels with a depth buffer, compiled: what is in front in every pixel of many small views.

The ray caster needs a new tree whenever a vertex moves. Fitting moves all of them between any two looks, at meshes of a
few thousand triangles, for which this is several times as fast and runs on two threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.render.camera import Camera
from squeeze3d.threads import in_halves

NEAREST = 1e-6
"""Depth in front of a perspective camera below which triangles are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """What N views of H x W pixels show. A pixel belongs to the triangle that its centre lies in."""

    faces: NDArray[np.int32]
    """(N, H, W) triangle in front, -1 where there is none."""
    weights: NDArray[np.float32]
    """(N, H, W, 3) barycentric coordinates on it, perspective taken into account."""
    depth: NDArray[np.float32]
    """(N, H, W) along the viewing direction; infinite where nothing is seen."""


def project(cameras: Sequence[Camera], positions: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, V, 3) column, row and depth of (V, 3) places in each view."""
    return np.stack([camera.project(positions) for camera in cameras])


def rasterise(cameras: Sequence[Camera], positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> Fragments:
    """Draw (F, 3) triangles between (V, 3) positions, both sides, from cameras of one resolution and one kind.

    Triangles that reach behind a perspective camera are not drawn.
    """
    height, width = cameras[0].resolution
    screen = project(cameras, positions)
    return draw(screen, np.asarray(triangles, dtype=np.int64), height, width, parallel=cameras[0].fov is None)


def draw(
    screen: NDArray[np.float64], triangles: NDArray[np.int64], height: int, width: int, *, parallel: bool
) -> Fragments:
    """Like `rasterise`, for (N, V, 3) places that are projected already; `parallel` if without perspective."""
    shape = (len(screen), height, width)
    fragments = Fragments(
        np.full(shape, -1, dtype=np.int32),
        np.zeros((*shape, 3), dtype=np.float32),
        np.full(shape, np.inf, dtype=np.float32),
    )

    def part(views: slice) -> None:
        _draw(
            screen[views], triangles, parallel, fragments.faces[views], fragments.weights[views], fragments.depth[views]
        )

    in_halves(part, len(screen))
    return fragments


@compiled
def _draw(  # type: ignore[no-untyped-def]
    screen, triangles, parallel, faces, weights, depth
):
    """Fill the arrays of `Fragments`. Between the corners, edge functions are linear in column and row, and so are
    depth (parallel) or its inverse (perspective).
    """
    count, height, width = faces.shape
    for view in range(count):
        for face in range(len(triangles)):
            a, b, c = triangles[face]
            ax, ay, az = screen[view, a, 0], screen[view, a, 1], screen[view, a, 2]
            bx, by, bz = screen[view, b, 0], screen[view, b, 1], screen[view, b, 2]
            cx, cy, cz = screen[view, c, 0], screen[view, c, 1], screen[view, c, 2]
            if not parallel and not min(az, bz, cz) > NEAREST:
                continue
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if not abs(area) > 1e-12:
                continue
            first_row = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
            last_row = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
            first_column = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
            last_column = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
            # Barycentric coordinates are linear in column and row: u = u0 + ux * column + uy * row.
            ux, uy = (by - cy) / area, (cx - bx) / area
            vx, vy = (cy - ay) / area, (ax - cx) / area
            u0 = 1.0 - ux * (ax - 0.5) - uy * (ay - 0.5)
            v0 = 1.0 - vx * (bx - 0.5) - vy * (by - 0.5)
            if not parallel:
                az, bz, cz = 1.0 / az, 1.0 / bz, 1.0 / cz
            for row in range(first_row, last_row + 1):
                for column in range(first_column, last_column + 1):
                    u = u0 + ux * column + uy * row
                    v = v0 + vx * column + vy * row
                    w = 1.0 - u - v
                    if u < 0 or v < 0 or w < 0:
                        continue
                    z = u * az + v * bz + w * cz
                    if not parallel:
                        z = 1.0 / z
                    if z < depth[view, row, column]:
                        depth[view, row, column] = z
                        faces[view, row, column] = face
                        if not parallel:
                            u, v, w = u * az * z, v * bz * z, w * cz * z
                        weights[view, row, column, 0] = u
                        weights[view, row, column, 1] = v
                        weights[view, row, column, 2] = w
