"""Cameras and rays of OpenLRM.

Poses are camera-to-world matrices with x to the right, y up and z backwards; intrinsics are focal lengths and centre as
fractions of the picture's sides. The world has z up.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.backbones.openlrm.config import CAMERA_DISTANCE

FOCAL, CENTRE = 0.75, 0.5
ORBIT_RADIUS, ORBIT_HEIGHT = 2.0, 0.8

Pose = NDArray[np.float32]
"""(3, 4)."""


def canonical_pose(distance: float = CAMERA_DISTANCE) -> Pose:
    """(3, 4) pose of the camera that every picture is taken with: at (0, -distance, 0), looking along +y."""
    return np.array([[1, 0, 0, 0], [0, 0, -1, -distance], [0, 1, 0, 0]], dtype=np.float32)


def source_camera(distance: float = CAMERA_DISTANCE) -> NDArray[np.float32]:
    """(16,) the canonical pose row by row, two focal lengths and the centre: what `ImageToPlanes` is told."""
    return np.concatenate([canonical_pose(distance).reshape(-1), [FOCAL, FOCAL, CENTRE, CENTRE]]).astype(np.float32)


def relative_poses(poses: NDArray[np.floating]) -> NDArray[np.float32]:
    """Poses (N, 3, 4) moved rigidly, all alike, so that the first one becomes the canonical pose at its distance."""
    square = np.tile(np.eye(4), (len(poses), 1, 1))
    square[:, :3] = poses
    target = np.eye(4)
    target[:3] = canonical_pose(float(np.linalg.norm(square[0, :3, 3])))
    moved: NDArray[np.float64] = target @ np.linalg.inv(square[0]) @ square
    return moved[:, :3].astype(np.float32)


def look_at(position: NDArray[np.floating]) -> Pose:
    """(3, 4) pose of a camera at (3,) that looks at the origin. Must not be above or below it."""
    backwards = position / np.linalg.norm(position)
    right = np.cross([0.0, 0.0, 1.0], backwards)
    right /= np.linalg.norm(right)
    up = np.cross(backwards, right)
    return np.stack([right, up, backwards, position], axis=1).astype(np.float32)


def orbit_poses(count: int, radius: float = ORBIT_RADIUS, height: float = ORBIT_HEIGHT) -> NDArray[np.float32]:
    """(count, 3, 4) poses once around the object, from the picture's side and back to it.

    `radius` is the distance to the origin, `height` the part of it that goes up.
    """
    angles = np.radians(np.linspace(-90.0, 270.0, count))
    flat = np.sqrt(radius**2 - height**2)
    positions = np.stack([flat * np.cos(angles), flat * np.sin(angles), np.full(count, height)], axis=1)
    return np.stack([look_at(position) for position in positions])


def render_cameras(poses: NDArray[np.floating], focal: float = FOCAL, centre: float = CENTRE) -> NDArray[np.float32]:
    """(N, 25) cameras as the published renderer takes them: poses as 4 x 4 and intrinsics as 3 x 3 matrices."""
    square = np.tile(np.eye(4), (len(poses), 1, 1))
    square[:, :3] = poses
    intrinsics = np.tile(np.array([focal, 0, centre, 0, focal, centre, 0, 0, 1]), (len(poses), 1))
    return np.concatenate([square.reshape(len(poses), 16), intrinsics], axis=1).astype(np.float32)


def pixel_rays(
    pose: Tensor, resolution: int, *, anchor: tuple[int, int] = (0, 0), region: int | None = None
) -> tuple[Tensor, Tensor]:
    """Origins and unit directions (R, 3) of the rays through the centres of pixels, row after row.

    Parameters
    ----------
    pose : (3, 4).
    resolution : pixels along a side of the whole picture.
    anchor : first row and column of the part that is wanted.
    region : rows and columns of the part; all by default.
    """
    side = resolution if region is None else region
    rows, columns = (((torch.arange(side, device=pose.device) + start + 0.5) / resolution) for start in anchor)
    down, right = torch.meshgrid((rows - CENTRE) / FOCAL, (columns - CENTRE) / FOCAL, indexing="ij")
    seen = torch.stack([right, -down, -torch.ones_like(down)], dim=-1).flatten(0, 1)
    directions = torch.nn.functional.normalize(seen @ pose[:, :3].T, dim=-1)
    return pose[:, 3].expand_as(directions), directions


def cube_limits(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (R,) where rays (R, 3) enter and leave the cube [-1, 1]^3.

    Rays that miss it get the smallest entry and the largest entry of those that meet it, and where none does, zeros.
    """
    with_faces = torch.stack([(-1 - origins) / directions, (1 - origins) / directions])
    near = with_faces.amin(dim=0).amax(dim=-1)
    far = with_faces.amax(dim=0).amin(dim=-1)
    met = near <= far
    if not met.any():
        return torch.zeros_like(near), torch.zeros_like(far)
    entries = near[met]
    return torch.where(met, near, entries.min()), torch.where(met, far, entries.max())
