"""Points of the surface of any asset that has one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.flatten import join, world_parts
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset
from squeeze3d.errors import InputError, UnsupportedError
from squeeze3d.geometry.sampling import face_areas, sample_triangles

SEED = 0


def surface_points(asset: Asset, count: int) -> NDArray[np.float64]:
    """(N, 3) points: `count` of them spread evenly over a mesh, those of point clouds and splats as they are.

    The same asset gives the same points.

    Raises InputError for a mesh without triangles, UnsupportedError for a radiance field, which has no surface.
    """
    if isinstance(asset, RadianceField):
        raise UnsupportedError("a radiance field has no surface to take points of")
    if not isinstance(asset, Mesh):
        return asset.positions.astype(np.float64)
    parts = world_parts(asset)
    if not parts:
        raise InputError("the mesh has no triangles")
    soup = join(parts)
    faces, weights = sample_triangles(face_areas(soup.positions, soup.triangles), count, seed=SEED)
    corners = soup.positions.astype(np.float64)[soup.triangles[faces]]
    return np.einsum("nkc,nk->nc", corners, weights)
