"""Radiance fields by volume rendering: emission and absorption along rays.

```text
T(t) = exp(-∫ sigma)        colour = ∫ T sigma rgb dt + T(end) * white
```

Rays are sampled every half cell on a lattice that starts where they enter the box. Empty space is skipped in jumps
that land on the same lattice, so skipping changes no result.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.render.camera import Camera, group_rays
from squeeze3d.render.images import CHANNELS, Channel, Images, render_in_groups, shaped

Density = Literal["auto", "linear", "log"]

_MAX_LOG = 30.0
"""Logarithmic densities are clipped here; a cell this dense is solid at any size."""


class FieldRenderer:
    """A radiance field made ready for any number of cameras.

    Channels: `albedo` and `shaded` (the same: a field holds light, not material), `depth` (mean over what is seen)
    and `mask` (opacity). There is no `normal`.

    Colours are interpolated weighted by density, because cells without density hold no colour: files set them to black
    or anything else, and none of it may show.
    """

    def __init__(self, field: RadianceField, *, density: Density = "auto", unit: float | None = None) -> None:
        """Build the grids for lookup and skipping.

        Parameters
        ----------
        density : what the field's fourth channel holds. "auto": its logarithm if any value is negative, which no
            density is.
        unit : the length that densities count as 1, in asset units. None: the longest edge of the box, the frame in
            which such fields are fitted and voxelised.
        """
        from scipy.ndimage import distance_transform_cdt, maximum_filter

        grid = np.nan_to_num(field.rgbsigma.astype(np.float32), nan=0.0, posinf=3e38, neginf=-3e38)
        sigma = grid[..., 3]
        if density == "log" or (density == "auto" and bool((sigma < 0).any())):
            sigma = np.exp(np.minimum(sigma, np.float32(_MAX_LOG)))
        sigma = np.clip(sigma, 0, np.float32(np.exp(_MAX_LOG)))
        self._low, high = field.bounds()
        edges = high - self._low
        self._unit = unit or float(edges.max()) or 1.0
        self._shape = np.array(sigma.shape)
        self._cell = np.where(edges > 0, edges, self._unit * 1e-6) / self._shape
        # Density, and colour times density; a border of one cell makes lookup at the edge repeat it.
        packed = np.concatenate([np.clip(grid[..., :3], 0, 1) * sigma[..., None], sigma[..., None]], axis=3)
        self._padded = np.pad(packed, ((1, 1), (1, 1), (1, 1), (0, 0)), mode="edge")
        occupied = maximum_filter(sigma > 0, size=3, mode="nearest")
        self._empty = bool(~occupied.any())
        distance = np.zeros(sigma.shape, np.int32) if self._empty else distance_transform_cdt(~occupied, "chessboard")
        self._distance = np.ascontiguousarray(distance, dtype=np.int32)

    def render(
        self, cameras: Sequence[Camera], *, supersample: int = 1, channels: Collection[Channel] = CHANNELS
    ) -> Images:
        """Images of all cameras, which must have one resolution."""
        return render_in_groups(self._draw, cameras, supersample, channels)

    def _draw(self, cameras: Sequence[Camera], channels: frozenset[Channel]) -> Images:
        rays = group_rays([camera.moved(self._low, 1.0) for camera in cameras])
        colour, light, depth = self._march(rays)
        colour += light[:, None]
        seen = light < 1
        mean = np.full(len(light), np.inf, dtype=np.float32)
        np.divide(depth, 1 - light, out=mean, where=seen)
        colour = np.clip(colour, 0, 1)
        return shaped(cameras, channels, albedo=colour, shaded=colour, depth=mean, mask=1 - light)

    def _march(self, rays: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Emitted colour, light that comes through and depth times opacity of (N, 6) rays."""
        from squeeze3d.render.march import march

        colour = np.zeros((len(rays), 3), dtype=np.float32)
        light = np.ones(len(rays), dtype=np.float32)
        depth = np.zeros(len(rays), dtype=np.float32)
        if self._empty:
            return colour, light, depth
        # Coordinates in cells; lengths along the ray stay depths.
        origin = rays[:, :3] / self._cell.astype(np.float32)
        direction = rays[:, 3:] / self._cell.astype(np.float32)
        span = np.stack(self._clip(origin, direction), axis=1)
        stretch = np.sqrt((rays[:, 3:] ** 2).sum(axis=1))
        step = np.float32(self._cell.min() / 2) / stretch
        optical = stretch / np.float32(self._unit)
        march(origin, direction, span, step, optical, self._padded, self._distance, colour, light, depth)
        return colour, light, depth

    def _clip(
        self, origin: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where rays enter and leave the box, not before the eye."""
        safe = np.where(np.abs(direction) < 1e-12, np.float32(1e-12), direction)
        first, second = -origin / safe, (self._shape.astype(np.float32) - origin) / safe
        enter = np.minimum(first, second).max(axis=1)
        return np.maximum(enter, np.float32(0)), np.maximum(first, second).min(axis=1)
