"""Measure a decoded asset against its original on rendered views.

```text
original ─► render once ─┐
                          ├─► PSNR, MS-SSIM ... over 12 views
decoded  ─► render ───────┘      (cameras framed by the original's box)
```

The encoder judges its own output with this, and `sq3d compare` measures with the same rig and settings: what one
promises, the other finds.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.errors import UsageError
from squeeze3d.metrics.image import masked_psnr, psnr, silhouette_iou
from squeeze3d.metrics.points import point_to_point
from squeeze3d.metrics.points import psnr as points_psnr
from squeeze3d.metrics.similarity import ms_ssim
from squeeze3d.quality.figures import Measurement
from squeeze3d.render import Camera, Channel, Images, measuring_rig, render

RESOLUTION = 256
SUPERSAMPLE = 2
COLOUR_WEIGHTS = np.array([0.75, 0.125, 0.125])
"""Of squared errors of Y, U and V of clouds, as MPEG weighs them."""
COVERED = 0.5
"""Coverage from which a pixel counts as part of the silhouette."""


class Reference:
    """An original, rendered once, that any number of decoded assets are compared with."""

    def __init__(self, asset: Asset, *, resolution: int = RESOLUTION, supersample: int = SUPERSAMPLE) -> None:
        self.asset = asset
        self.supersample = supersample
        self.cameras: tuple[Camera, ...] = measuring_rig(asset.bounds(), resolution=resolution)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Pictures that are compared; only meshes know light from material."""
        return ("albedo", "shaded", "mask") if isinstance(self.asset, Mesh) else ("albedo", "mask")

    @cached_property
    def images(self) -> Images:
        """Views of the original."""
        return self.render(self.asset)

    def render(self, asset: Asset) -> Images:
        """Views of another asset from the same cameras."""
        return render(asset, self.cameras, original=self.asset, supersample=self.supersample, channels=self.channels)

    def measure(self, decoded: Asset) -> Measurement:
        """Compare a decoded asset with the original.

        Raises UsageError if they are of different kinds.
        """
        if type(decoded) is not type(self.asset):
            names = type(self.asset).__name__, type(decoded).__name__
            raise UsageError(f"a {names[0]} cannot be compared with a {names[1]}")
        return self.compare(self.render(decoded), decoded)

    def compare(self, views: Images, decoded: Asset) -> Measurement:
        """Like `measure`, for views that are already rendered."""
        ours, theirs = self.images, views
        a, b = ours.channel("albedo"), theirs.channel("albedo")
        masks = _covered(ours.channel("mask")), _covered(theirs.channel("mask"))
        shaded = psnr(ours.shaded, theirs.shaded) if ours.shaded is not None and theirs.shaded is not None else None
        whole = psnr(a, b)
        d1 = colour = None
        if isinstance(self.asset, PointCloud) and isinstance(decoded, PointCloud):
            d1, colour = cloud_figures(self.asset, decoded)
        return Measurement(
            psnr=whole.value,
            ms_ssim=ms_ssim(a, b).value,
            shaded_psnr=whole.value if shaded is None else shaded.value,
            object_psnr=masked_psnr(a, b, *masks).value,
            iou=silhouette_iou(*masks).value,
            d1_psnr=d1,
            colour_psnr=colour,
        )


def cloud_figures(original: PointCloud, decoded: PointCloud) -> tuple[float, float | None]:
    """D1 PSNR relative to the box diagonal, and PSNR of colours: None where there were none, 0 where they are lost."""
    errors = point_to_point(original, decoded)
    diagonal = max(float(np.linalg.norm(np.diff(original.bounds(), axis=0))), 1e-30)
    distance = points_psnr(errors.d1, diagonal, 3.0)
    if original.colours is None:
        return distance, None
    return distance, 0.0 if errors.colour is None else points_psnr(float(COLOUR_WEIGHTS @ errors.colour), 1.0)


def _covered(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    return mask >= COVERED
