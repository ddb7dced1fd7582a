"""Cameras and the fixed rigs that measurements use.

Axes of a view: x to the right, y up, and *depth* along the viewing direction, all in asset units. Pixel (row 0,
column 0) is the top left one, and a ray passes through each pixel's centre.

Rigs are placed by a box, always the box of the *original*: a decoded asset that has grown, shrunk or moved must show
that in its images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

MEASURING_VIEWS = 12
"""Views of `measuring_rig`."""
PAPER_VIEWS = 36
"""Views of `paper_rig`."""

_MARGIN = 1.04
"""Space around the box in a view of the measuring rig, as a factor on the distance."""
_PAPER_DISTANCE = 2.5
_PAPER_ELEVATION = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """One view: perspective, or orthographic if `fov` is None."""

    eye: NDArray[np.float64]
    """(3,) where it stands."""
    axes: NDArray[np.float64]
    """(3, 3) rows right, up and forward: orthogonal unit vectors."""
    resolution: tuple[int, int] = (256, 256)
    """Rows and columns."""
    fov: float | None = 40.0
    """Vertical opening angle in degrees; None for orthographic."""
    span: float = 2.0
    """Height of the view in asset units, orthographic only."""

    @classmethod
    def look_at(
        cls,
        eye: ArrayLike,
        target: ArrayLike,
        *,
        up: ArrayLike = (0.0, 1.0, 0.0),
        resolution: int | tuple[int, int] = 256,
        fov: float | None = 40.0,
        span: float = 2.0,
    ) -> Camera:
        """A camera at `eye` that looks at `target`, with `up` upwards in the image.

        Raises ValueError if eye and target are the same place.
        """
        place = np.asarray(eye, dtype=np.float64)
        forward = np.asarray(target, dtype=np.float64) - place
        length = np.linalg.norm(forward)
        if not length > 0 or not np.isfinite(length):
            raise ValueError("a camera cannot look at the place where it stands")
        forward = forward / length
        sideways = np.cross(forward, np.asarray(up, dtype=np.float64))
        if np.linalg.norm(sideways) < 1e-9:
            # Straight up or down: any direction that is not the viewing direction gives a roll.
            sideways = np.cross(forward, np.roll(np.asarray(up, dtype=np.float64), 1))
        right = sideways / np.linalg.norm(sideways)
        axes = np.stack([right, np.cross(right, forward), forward])
        size = (resolution, resolution) if isinstance(resolution, int) else resolution
        return cls(place, axes, size, fov, span)

    @property
    def half_extents(self) -> tuple[float, float]:
        """Half width and half height of the view: at depth 1, or everywhere if orthographic."""
        height, width = self.resolution
        half = self.span / 2 if self.fov is None else float(np.tan(np.radians(self.fov) / 2))
        return half * width / height, half

    def supersampled(self, factor: int) -> Camera:
        """The same view with `factor` times as many rows and columns."""
        return replace(self, resolution=(self.resolution[0] * factor, self.resolution[1] * factor))

    def moved(self, centre: NDArray[np.float64], scale: float) -> Camera:
        """The same view in coordinates `(place - centre) / scale`; depths shrink by `scale`."""
        return replace(self, eye=(self.eye - centre) / scale, span=self.span / scale)

    def rays(self) -> NDArray[np.float32]:
        """(rows * columns, 6) origins and directions.

        Directions are not normalised: they have length 1 along the viewing direction, so lengths in units of them
        are depths.
        """
        height, width = self.resolution
        half_x, half_y = self.half_extents
        x = ((np.arange(width) + 0.5) * (2 / width) - 1) * half_x
        y = (1 - (np.arange(height) + 0.5) * (2 / height)) * half_y
        # Sums of outer products, not a matrix product: BLAS may round differently on another number of threads.
        sideways = x[None, :, None] * self.axes[0] + y[:, None, None] * self.axes[1]
        result = np.empty((height, width, 6), dtype=np.float32)
        if self.fov is None:
            result[..., :3] = self.eye + sideways
            result[..., 3:] = self.axes[2]
        else:
            result[..., :3] = self.eye
            result[..., 3:] = self.axes[2] + sideways
        return result.reshape(-1, 6)

    def to_view(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 3) places as right, up and depth."""
        offset = np.asarray(points, dtype=np.float64) - self.eye
        return np.stack([(offset * axis).sum(axis=1) for axis in self.axes], axis=1)

    def pixels_per_unit(self, depth: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N,) pixels that one unit across the view covers at each depth."""
        scale = self.resolution[0] / (2 * self.half_extents[1])
        deep = np.asarray(depth, dtype=np.float64)
        return np.full(deep.shape, scale) if self.fov is None else scale / deep

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 3) column, row and depth of (N, 3) places; pixel (i, j) covers rows i to i + 1 and columns j to j + 1.

        Column and row mean nothing for points that are not in front of a perspective camera (depth <= 0).
        """
        view = self.to_view(points)
        scale = self.pixels_per_unit(np.where(view[:, 2] > 0, view[:, 2], 1.0))
        height, width = self.resolution
        return np.stack([width / 2 + scale * view[:, 0], height / 2 - scale * view[:, 1], view[:, 2]], axis=1)


def group_rays(cameras: Sequence[Camera]) -> NDArray[np.float32]:
    """(R, 6) rays of all cameras, one after the other."""
    return np.concatenate([camera.rays() for camera in cameras])


def measuring_rig(bounds: ArrayLike, *, resolution: int = 256, fov: float = 40.0) -> tuple[Camera, ...]:
    """Twelve views for measuring: six from 25 degrees above, six from 15 degrees below and between them (y is up).

    Every view looks at the centre of the box from where the whole box fits with a small margin.

    Parameters
    ----------
    bounds : (2, 3) minimum and maximum corner of the original.
    """
    rings = ((25.0, 0.0), (-15.0, 30.0))
    return tuple(
        _framed(bounds, start + 60.0 * step, elevation, resolution, fov)
        for elevation, start in rings
        for step in range(MEASURING_VIEWS // 2)
    )


def preview_rig(bounds: ArrayLike, *, resolution: int, fov: float = 40.0) -> tuple[Camera, ...]:
    """Nine views for an encoder's own decisions, none of them one of `measuring_rig`: what is tuned on one set of
    views and measured on another shows what a file looks like, not what was tuned.
    """
    rings = ((20.0, 30.0, 5), (-10.0, 0.0, 3), (45.0, 75.0, 1))
    return tuple(
        _framed(bounds, start + 360.0 / count * step, elevation, resolution, fov)
        for elevation, start, count in rings
        for step in range(count)
    )


def fitting_rig(bounds: ArrayLike, *, views: int, resolution: int, fov: float = 40.0) -> tuple[Camera, ...]:
    """Views on a spiral from 23 degrees below to 53 above, for fitting what is measured from elsewhere.

    Parameters
    ----------
    views : how many; none of them is one of `measuring_rig` or `preview_rig`.
    """
    heights = -0.42 + 1.24 * (np.arange(views) + 0.5) / views
    golden = 180.0 * (3.0 - np.sqrt(5.0))
    return tuple(
        _framed(bounds, index * golden, float(np.degrees(np.arcsin(height))), resolution, fov)
        for index, height in enumerate(heights)
    )


def paper_rig(bounds: ArrayLike | None = None, *, resolution: int = 512) -> tuple[Camera, ...]:
    """The evaluation rig of the Squeeze3D paper: 36 rotations on a Fibonacci sphere, 60 degrees, distance 2.5.

    The published script turns the mesh in front of one camera at elevation 10 and renders it as stored, without
    normalising; that is `bounds=None`, and fits assets in a frame of about [-1, 1] alone. With `bounds`, the
    camera turns about the centre of the box and lengths are measured in half its diagonal, which is what the script
    shows of an asset whose bounding sphere has radius 1 about the origin.

    Parameters
    ----------
    bounds : (2, 3) minimum and maximum corner of the original, or None.
    """
    centre, scale = np.zeros(3), 1.0
    if bounds is not None:
        centre, half = _centre_and_half(bounds)
        scale = _safe_size(float(np.linalg.norm(half)))
    elevation = np.radians(_PAPER_ELEVATION)
    eye = _PAPER_DISTANCE * np.array([0.0, np.sin(elevation), np.cos(elevation)])
    still = Camera.look_at(eye, np.zeros(3), resolution=resolution, fov=60.0)
    # The mesh turns by R in front of a fixed camera; the same view has a camera turned by its inverse.
    return tuple(
        replace(still, eye=centre + scale * (still.eye @ turn), axes=still.axes @ turn) for turn in _paper_rotations()
    )


def _paper_rotations() -> list[NDArray[np.float64]]:
    rotations = []
    for i in range(PAPER_VIEWS):
        y = 1 - 2 * i / (PAPER_VIEWS - 1)
        around = i * np.pi * (3 - np.sqrt(5))
        ring = np.sqrt(max(0.0, 1 - y * y))
        second, third = np.arctan2(np.sin(around) * ring, np.cos(around) * ring), np.arccos(y)
        cos2, sin2, cos3, sin3 = np.cos(second), np.sin(second), np.cos(third), np.sin(third)
        about_y = np.array([[cos2, 0, sin2], [0, 1, 0], [-sin2, 0, cos2]])
        about_z = np.array([[cos3, -sin3, 0], [sin3, cos3, 0], [0, 0, 1]])
        rotations.append(about_y @ about_z)
    return rotations


def _framed(bounds: ArrayLike, azimuth: float, elevation: float, resolution: int, fov: float) -> Camera:
    """A view of the box's centre from as near as shows the whole box."""
    centre, half = _centre_and_half(bounds)
    size = _safe_size(float(np.linalg.norm(half)))
    a, e = np.radians(azimuth), np.radians(elevation)
    away = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    camera = Camera.look_at(away, np.zeros(3), resolution=resolution, fov=fov)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    corners = signs * half / size
    across = np.abs(corners @ camera.axes[:2].T).max(axis=1)
    nearer = -(corners @ camera.axes[2])
    distance = float((nearer + _MARGIN * across / camera.half_extents[1]).max())
    # A box without width would be looked at from within.
    return replace(camera, eye=centre + size * max(distance, 0.1) * away)


def _centre_and_half(bounds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    box = np.asarray(bounds, dtype=np.float64)
    if box.shape != (2, 3) or not np.isfinite(box).all() or (box[0] > box[1]).any():
        raise ValueError("bounds must be a finite (2, 3) minimum and maximum")
    return (box[0] + box[1]) / 2, (box[1] - box[0]) / 2


def _safe_size(size: float) -> float:
    """A single point has no size; 1 is as good as any."""
    return size if size > 0 else 1.0
