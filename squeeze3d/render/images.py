"""`Images`: what a renderer returns, and the driver that all renderers share.

```text
cameras ─► groups of a quarter of a million rays ─► draw(group) ─► box filter ─► joined Images
```
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.render.camera import Camera

Channel = Literal["albedo", "shaded", "normal", "depth", "mask"]
CHANNELS: tuple[Channel, ...] = ("albedo", "shaded", "normal", "depth", "mask")
"""Every kind of image, in the order they are listed to users."""

GROUP_PIXELS = 1 << 18
"""Rays drawn at a time, four views of 256 x 256: more are not faster and take more memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """N views of one size. A channel that was not asked for, or that the kind of asset does not have, is None.

    Colours are sRGB-encoded. Blending and averaging act on encoded values, as browsers and splat and radiance-field
    renderers do; PSNR is computed on the same values.
    """

    albedo: NDArray[np.float32] | None = None
    """(N, H, W, 3) unlit colour on white, in [0, 1]."""
    shaded: NDArray[np.float32] | None = None
    """(N, H, W, 3) colour under a headlight on white, in [0, 1]. Kinds that hold light, not material, show it as is."""
    normal: NDArray[np.float32] | None = None
    """(N, H, W, 3) unit normals in asset axes, turned towards the camera; 0 where nothing is seen."""
    depth: NDArray[np.float32] | None = None
    """(N, H, W) distance along the viewing direction in asset units; infinite where nothing is seen."""
    mask: NDArray[np.float32] | None = None
    """(N, H, W) how much of each pixel is covered, in [0, 1]."""

    def channel(self, name: Channel) -> NDArray[np.float32]:
        """One channel. Raises ValueError if these images do not have it."""
        value: NDArray[np.float32] | None = getattr(self, name)
        if value is None:
            raise ValueError(f"no {name} images here")
        return value


def render_in_groups(
    draw: Callable[[Sequence[Camera], frozenset[Channel]], Images],
    cameras: Sequence[Camera],
    supersample: int,
    channels: Collection[Channel],
) -> Images:
    """Draw all cameras, a group at a time, `supersample` x `supersample` rays a pixel.

    Raises ValueError for no cameras, cameras of different resolutions, or unknown channels.
    """
    wanted = frozenset(channels)
    if not wanted <= set(CHANNELS):
        raise ValueError(f"unknown channels: {', '.join(sorted(wanted - set(CHANNELS)))}")
    if supersample < 1:
        raise ValueError("supersample must be at least 1")
    if len({camera.resolution for camera in cameras}) != 1:
        raise ValueError("cameras must be given, and all of one resolution")
    height, width = cameras[0].resolution
    step = max(1, GROUP_PIXELS // max(1, height * width * supersample**2))
    groups = []
    for start in range(0, len(cameras), step):
        fine = [camera.supersampled(supersample) for camera in cameras[start : start + step]]
        groups.append(_averaged(draw(fine, wanted), supersample))
    return groups[0] if len(groups) == 1 else _joined(groups)


def blank(cameras: Sequence[Camera], channels: frozenset[Channel]) -> Images:
    """Images of nothing."""
    height, width = cameras[0].resolution
    shape = (len(cameras), height, width)
    return Images(
        albedo=np.ones((*shape, 3), np.float32) if "albedo" in channels else None,
        shaded=np.ones((*shape, 3), np.float32) if "shaded" in channels else None,
        normal=np.zeros((*shape, 3), np.float32) if "normal" in channels else None,
        depth=np.full(shape, np.inf, np.float32) if "depth" in channels else None,
        mask=np.zeros(shape, np.float32) if "mask" in channels else None,
    )


def shaped(cameras: Sequence[Camera], channels: frozenset[Channel], **flat: NDArray[np.float32] | None) -> Images:
    """Images from one value or row for each pixel of all cameras; channels not asked for are dropped."""
    height, width = cameras[0].resolution
    shape = (len(cameras), height, width)
    return Images(
        **{
            name: value.reshape(*shape, *value.shape[1:])
            for name, value in flat.items()
            if value is not None and name in channels
        }
    )


def _joined(groups: list[Images]) -> Images:
    parts = {name: [getattr(group, name) for group in groups] for name in CHANNELS}
    return Images(**{name: np.concatenate(part) for name, part in parts.items() if part[0] is not None})


def _averaged(images: Images, factor: int) -> Images:
    if factor == 1:
        return images
    normal = None if images.normal is None else _unit(_box(images.normal, factor))
    depth = None
    if images.depth is not None:
        # A pixel at a silhouette has the mean depth of its covered part.
        seen = np.isfinite(images.depth)
        share = _box(seen.astype(np.float32), factor)
        total = _box(np.where(seen, images.depth, np.float32(0)), factor)
        depth = np.full(share.shape, np.inf, dtype=np.float32)
        np.divide(total, share, out=depth, where=share > 0)
    return Images(
        albedo=None if images.albedo is None else _box(images.albedo, factor),
        shaded=None if images.shaded is None else _box(images.shaded, factor),
        normal=normal,
        depth=depth,
        mask=None if images.mask is None else _box(images.mask, factor),
    )


def _box(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    count, height, width, *rest = values.shape
    total = np.zeros((count, height // factor, width // factor, *rest), dtype=np.float32)
    for row in range(factor):
        for column in range(factor):
            total += values[:, row::factor, column::factor]
    total /= np.float32(factor * factor)
    return total


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
