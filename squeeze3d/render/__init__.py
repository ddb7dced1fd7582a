"""Images of assets without a graphics card: ray casting and splatting on the CPU, the same bytes every time.

>>> from squeeze3d.render import measuring_rig, render
>>> images = render(asset, measuring_rig(original.bounds()))  # doctest: +SKIP
>>> images.albedo.shape  # doctest: +SKIP
(12, 256, 256, 3)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.geometry.surface import Surface
from squeeze3d.render.camera import Camera, fitting_rig, measuring_rig, paper_rig, preview_rig
from squeeze3d.render.field import FieldRenderer
from squeeze3d.render.images import CHANNELS, Channel, Images
from squeeze3d.render.mesh import MeshRenderer
from squeeze3d.render.points import PointRenderer, disc_radius
from squeeze3d.render.splats import SplatRenderer

__all__ = [
    "CHANNELS",
    "Camera",
    "Channel",
    "FieldRenderer",
    "Images",
    "MeshRenderer",
    "PointRenderer",
    "Renderer",
    "SplatRenderer",
    "disc_radius",
    "fitting_rig",
    "measuring_rig",
    "paper_rig",
    "preview_rig",
    "render",
    "renderer",
]


class Renderer(Protocol):
    """An asset made ready for any number of cameras."""

    def render(
        self, cameras: Sequence[Camera], *, supersample: int = 1, channels: Collection[Channel] = CHANNELS
    ) -> Images:
        """Images of all cameras, which must have one resolution."""


def renderer(asset: Asset | Surface, *, original: Asset | Surface | None = None) -> Renderer:
    """The renderer for an asset's type, with its default settings.

    Parameters
    ----------
    original : what `asset` was decoded from. Point clouds take the size of the discs from it.
    """
    if isinstance(asset, (Mesh, Surface)):
        return MeshRenderer(asset)
    if isinstance(asset, PointCloud):
        return PointRenderer(asset, radius=disc_radius(original) if isinstance(original, PointCloud) else None)
    if isinstance(asset, RadianceField):
        return FieldRenderer(asset)
    if isinstance(asset, Splats):
        return SplatRenderer(asset)
    raise TypeError(f"cannot render a {type(asset).__name__}")


def render(
    asset: Asset | Surface,
    cameras: Sequence[Camera],
    *,
    original: Asset | Surface | None = None,
    supersample: int = 1,
    channels: Collection[Channel] = CHANNELS,
) -> Images:
    """Images of an asset from all cameras, which must have one resolution.

    Parameters
    ----------
    original : what `asset` was decoded from; see `renderer`.
    supersample : 2 takes 2 x 2 samples a pixel, and their mean.
    channels : which of `CHANNELS` to compute; fewer is faster.
    """
    return renderer(asset, original=original).render(cameras, supersample=supersample, channels=channels)
