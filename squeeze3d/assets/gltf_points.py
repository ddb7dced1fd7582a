"""Primitives of points to one `PointCloud`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import display_bytes
from squeeze3d.assets.gltf_container import Budget
from squeeze3d.assets.gltf_deform import normal_matrices, unit_vectors
from squeeze3d.assets.gltf_losses import counted
from squeeze3d.assets.gltf_primitives import Geometry
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material
from squeeze3d.assets.points import PointCloud


def merge_points(
    placed: list[tuple[Geometry, NDArray[np.float64]]],
    materials: list[Material],
    budget: Budget,
    losses: LossReport,
) -> PointCloud:
    """Join all shown primitives of points in world space.

    Colours are the vertex colours times the material's base colour; parts without either are white. Normals
    are kept only if every part has them.
    """
    for geometry, _ in placed:
        budget.spend(len(geometry.attributes["POSITION"]) * 96, geometry.item)
    coloured = any("COLOR_0" in x.attributes for x, _ in placed) or any(
        material.base_colour != (1.0, 1.0, 1.0, 1.0) for material in materials
    )
    with_normals = [x for x, _ in placed if "NORMAL" in x.attributes]
    keep_normals = len(with_normals) == len(placed)
    if with_normals and not keep_normals:
        losses.add("normals", f"normals on {len(with_normals)} of {counted(len(placed), 'point primitive')}")
    textured = sum(material.base_colour_texture is not None for material in materials)
    if textured:
        losses.add("point-texture", f"textures on {counted(textured, 'point primitive')}")
    positions, colours, normals = [], [], []
    for (geometry, matrix), material in zip(placed, materials, strict=True):
        attributes = geometry.attributes
        points = attributes["POSITION"]
        identity = np.array_equal(matrix, np.eye(4))
        if not identity:
            points = (points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
        positions.append(points)
        if coloured:
            linear = attributes.get("COLOR_0", np.ones((len(points), 4), np.float32))
            colours.append(display_bytes(linear * np.array(material.base_colour, np.float32)))
        if keep_normals:
            vectors = attributes["NORMAL"]
            if not identity:
                turned = vectors.astype(np.float64) @ normal_matrices(matrix[None, :3, :3])[0].T
                vectors = unit_vectors(turned, vectors).astype(np.float32)
            normals.append(vectors)
    return PointCloud(
        np.concatenate(positions),
        np.concatenate(colours) if coloured else None,
        np.concatenate(normals) if keep_normals else None,
    )
