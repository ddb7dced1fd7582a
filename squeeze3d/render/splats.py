"""Gaussian splats on the CPU, after the reference renderer of Kerbl et al. (SIGGRAPH 2023).

```text
centre, covariance ─► project (Jacobian of the camera) ─► sort by depth ─► alpha of each pixel in reach
                                                                          ─► composite front to back on white
```
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.splats import Splats
from squeeze3d.render.camera import Camera
from squeeze3d.render.fragments import pixel_range
from squeeze3d.render.images import CHANNELS, Channel, Images, render_in_groups, shaped

# Constants of the reference renderer.
_BLUR = 0.3  # added to the variances, in pixels squared: no splat is narrower than a pixel
_MIN_ALPHA = 1 / 255
_FRUSTUM = 1.3  # the Jacobian is taken no further outside the view than this

_C0 = 0.28209479177387814
_C1 = 0.4886025119029199
_C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
_C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Projected:
    """Splats in front of a camera, near to far."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    reach_x: NDArray[np.float64]
    reach_y: NDArray[np.float64]
    shape: NDArray[np.float32]
    """(N, 6) column, row, inverse covariance xx, xy, yy, and opacity: one gather fetches what a fragment needs."""
    values: NDArray[np.float32]
    """(N, 4) colour and depth."""


class SplatRenderer:
    """A splat scene made ready for any number of cameras.

    Channels: `albedo` and `shaded` (the same: splats hold light, not material), `depth` (mean over what is seen) and
    `mask` (opacity). There is no `normal`. A splat cannot be narrower than a pixel, so images of different resolution
    differ in more than sharpness, as in every splat renderer.
    """

    def __init__(self, splats: Splats) -> None:
        """Apply the activations. Splats with values that are not finite are left out."""
        parts = (splats.positions, splats.sh_dc, splats.sh_rest, splats.opacity, splats.scales, splats.rotations)
        whole = np.all([np.isfinite(part).all(axis=tuple(range(1, part.ndim))) for part in parts], axis=0)
        positions, sh_dc, sh_rest, opacity, scales, rotations = (part[whole].astype(np.float64) for part in parts)
        self._positions = positions
        self._opacity = 1 / (1 + np.exp(-np.clip(opacity, -60, 60)))
        self._sh = np.concatenate([sh_dc[:, :, None], sh_rest], axis=2)
        # R S, whose product with its transpose is the covariance.
        self._factors = _rotations(rotations) * np.exp(np.clip(scales, -60, 60))[:, None, :]

    def render(
        self, cameras: Sequence[Camera], *, supersample: int = 1, channels: Collection[Channel] = CHANNELS
    ) -> Images:
        """Images of all cameras, which must have one resolution."""
        return render_in_groups(self._draw, cameras, supersample, channels)

    def _draw(self, cameras: Sequence[Camera], channels: frozenset[Channel]) -> Images:
        views = [self._draw_view(camera) for camera in cameras]
        colour, depth, mask = (np.concatenate(part).astype(np.float32) for part in zip(*views, strict=True))
        return shaped(cameras, channels, albedo=colour, shaded=colour, depth=depth, mask=mask)

    def _draw_view(self, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        from squeeze3d.render.blend import blend

        height, width = camera.resolution
        seen = self._project(camera)
        light = np.ones((height, width))
        sums = np.zeros((height, width, 4))
        left, right = pixel_range(seen.x, seen.reach_x, width)
        top, bottom = pixel_range(seen.y, seen.reach_y, height)
        first, last = np.stack([left, top], axis=1), np.stack([right, bottom], axis=1)
        blend(seen.shape, seen.values, first, last, _MIN_ALPHA, light, sums)
        covered = 1 - light
        depth = np.full(light.shape, np.inf)
        np.divide(sums[..., 3], covered, out=depth, where=covered > 0)
        colour = np.clip(sums[..., :3] + light[..., None], 0, 1)
        return colour.reshape(-1, 3), depth.reshape(-1), covered.reshape(-1)

    def _project(self, camera: Camera) -> _Projected:
        place = camera.project(self._positions)
        # Ahead of the eye by more than the splat is deep; a linear projection of anything nearer is meaningless.
        near = 0.0 if camera.fov is None else 1e-3 * float(np.abs(place[:, 2]).max(initial=0.0))
        front = np.flatnonzero((place[:, 2] > near) & (self._opacity >= _MIN_ALPHA))
        front = front[np.argsort(place[front, 2], kind="stable")]
        place, view = place[front], camera.to_view(self._positions[front])
        first, second = self._image_axes(camera, view, front)
        xx = (first * first).sum(axis=1) + _BLUR
        yy = (second * second).sum(axis=1) + _BLUR
        xy = (first * second).sum(axis=1)
        determinant = np.maximum(xx * yy - xy * xy, _BLUR * _BLUR)
        opacity = self._opacity[front]
        # Where alpha falls below the threshold; the reference takes three deviations, which cuts opaque splats.
        radius = np.sqrt(2 * np.log(opacity / _MIN_ALPHA))
        x, y, depth = place.T
        shape = [x, y, yy / determinant, -xy / determinant, xx / determinant, opacity]
        return _Projected(
            x=x,
            y=y,
            reach_x=radius * np.sqrt(xx),
            reach_y=radius * np.sqrt(yy),
            shape=np.stack(shape, axis=1).astype(np.float32),
            values=np.concatenate([self._colours(camera, front), depth[:, None]], axis=1).astype(np.float32),
        )

    def _image_axes(
        self, camera: Camera, view: NDArray[np.float64], front: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 3) each: derivatives of column and row by the splat's own axes, in deviations."""
        factors = self._factors[front]
        right, up, forward = ((axis[None, :, None] * factors).sum(axis=1) for axis in camera.axes)
        scale = camera.pixels_per_unit(view[:, 2])[:, None]
        if camera.fov is None:
            return scale * right, -scale * up
        half_x, half_y = camera.half_extents
        tilt_x = np.clip(view[:, 0] / view[:, 2], -_FRUSTUM * half_x, _FRUSTUM * half_x)[:, None]
        tilt_y = np.clip(view[:, 1] / view[:, 2], -_FRUSTUM * half_y, _FRUSTUM * half_y)[:, None]
        return scale * (right - tilt_x * forward), -scale * (up - tilt_y * forward)

    def _colours(self, camera: Camera, front: NDArray[np.int64]) -> NDArray[np.float64]:
        direction = self._positions[front] - camera.eye
        if camera.fov is None:
            direction = np.broadcast_to(camera.axes[2], (len(front), 3))
        direction = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-30)
        basis = sh_basis(direction, self._sh.shape[2])
        return np.maximum(0.5 + (self._sh[front] * basis[:, None, :]).sum(axis=2), 0)


def sh_basis(direction: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(N, count) real spherical harmonics at (N, 3) unit vectors, count = 1, 4, 9 or 16, in the PLY files' order."""
    x, y, z = direction.T
    basis = [np.full_like(x, _C0)]
    if count > 1:
        basis += [-_C1 * y, _C1 * z, -_C1 * x]
    if count > 4:
        basis += [
            _C2[0] * x * y,
            _C2[1] * y * z,
            _C2[2] * (2 * z * z - x * x - y * y),
            _C2[3] * x * z,
            _C2[4] * (x * x - y * y),
        ]
    if count > 9:
        basis += [
            _C3[0] * y * (3 * x * x - y * y),
            _C3[1] * x * y * z,
            _C3[2] * y * (4 * z * z - x * x - y * y),
            _C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y),
            _C3[4] * x * (4 * z * z - x * x - y * y),
            _C3[5] * z * (x * x - y * y),
            _C3[6] * x * (x * x - 3 * y * y),
        ]
    return np.stack(basis, axis=1)


def _rotations(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    w, x, y, z = np.where(length > 0, quaternions / np.where(length > 0, length, 1), identity).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)
