"""What assets are made of, counted and said."""

from __future__ import annotations

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset


def element_count(asset: Asset) -> int:
    """Triangles, points, cells or splats."""
    if isinstance(asset, Mesh):
        return asset.face_count
    if isinstance(asset, RadianceField):
        return asset.rgbsigma[..., 0].size
    return len(asset.positions)


def described(asset: Asset) -> str:
    """For people: `1,204 triangles`, `96 x 96 x 96 cells`."""
    if isinstance(asset, RadianceField):
        return " x ".join(map(str, asset.rgbsigma.shape[:3])) + " cells"
    noun = "triangles" if isinstance(asset, Mesh) else "points" if isinstance(asset, PointCloud) else "splats"
    return f"{element_count(asset):,} {noun}"
