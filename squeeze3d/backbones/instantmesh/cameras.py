"""Cameras of InstantMesh: where its views are taken from, and how the encoder is told. NumPy alone.

The world is right-handed with z up. Camera axes are those of OpenGL: x to the right, y up, z backwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.render.camera import Camera

AZIMUTHS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
"""Degrees from +x towards +y, in the order of the views that Zero123++ makes."""
ELEVATIONS = (20.0, -10.0, 20.0, -10.0, 20.0, -10.0)
RADIUS = 4.0
"""Distance to the origin, which cameras look at."""
FIELD_OF_VIEW = 30.0
"""Degrees, along both sides of a square view."""
FOUR_VIEWS = (0, 2, 4, 5)
"""Views that are kept where only four are used."""


def look_at_origin(azimuths: ArrayLike, elevations: ArrayLike, radius: float = RADIUS) -> NDArray[np.float64]:
    """(V, 4, 4) camera-to-world matrices of cameras that look at the origin, upright.

    Parameters
    ----------
    azimuths, elevations : (V,) in degrees. Elevations lie strictly between -90 and 90.
    radius : distance to the origin.
    """
    around, above = np.broadcast_arrays(np.radians(azimuths), np.radians(elevations))
    backwards = np.stack([np.cos(above) * np.cos(around), np.cos(above) * np.sin(around), np.sin(above)], axis=-1)
    right = np.stack([-np.sin(around), np.cos(around), np.zeros_like(around)], axis=-1)
    matrices = np.zeros((*around.shape, 4, 4))
    matrices[..., :3, 0] = right
    matrices[..., :3, 1] = np.cross(backwards, right)
    matrices[..., :3, 2] = backwards
    matrices[..., :3, 3] = radius * backwards
    matrices[..., 3, 3] = 1
    return matrices


def circle(count: int, radius: float, elevation: float) -> NDArray[np.float64]:
    """(count, 4, 4) camera-to-world matrices evenly around the z axis, the first one above +x."""
    return look_at_origin(np.arange(count) * (360 / count), np.full(count, elevation), radius)


def intrinsics(field_of_view: float = FIELD_OF_VIEW) -> NDArray[np.float64]:
    """(3, 3) intrinsics in units of the image's side, for an opening angle in degrees."""
    focal = 0.5 / np.tan(np.radians(field_of_view) / 2)
    return np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])


def camera_vectors(matrices: NDArray[np.floating], field_of_view: float = FIELD_OF_VIEW) -> NDArray[np.float32]:
    """(V, 16) what the encoder is told: the upper three rows of (V, 4, 4) camera-to-world matrices, fx, fy, cx, cy."""
    inner = intrinsics(field_of_view)
    told = [inner[0, 0], inner[1, 1], inner[0, 2], inner[1, 2]]
    rows = matrices[:, :3].reshape(len(matrices), 12)
    return np.concatenate([rows, np.tile(told, (len(rows), 1))], axis=1).astype(np.float32)


def input_cameras(
    radius: float = RADIUS, azimuths: Sequence[float] = AZIMUTHS, elevations: Sequence[float] = ELEVATIONS
) -> NDArray[np.float32]:
    """(V, 16) camera vectors of the standard views."""
    return camera_vectors(look_at_origin(azimuths, elevations, radius))


def view_rig(resolution: int = 320, radius: float = RADIUS) -> tuple[Camera, ...]:
    """Cameras of our own renderer at the standard views, for assets in InstantMesh's frame."""
    eyes = look_at_origin(AZIMUTHS, ELEVATIONS, radius)[:, :3, 3]
    return tuple(
        Camera.look_at(eye, (0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0), resolution=resolution, fov=FIELD_OF_VIEW)
        for eye in eyes
    )


def to_y_up(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) positions of InstantMesh's frame (z up, front +x) as glTF has them: y up, front +z. A rotation."""
    return np.ascontiguousarray(positions[:, [1, 2, 0]])


def from_y_up(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inverse of `to_y_up`."""
    return np.ascontiguousarray(positions[:, [2, 0, 1]])
