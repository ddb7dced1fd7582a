"""Uniform scale and shift of an asset of any kind."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh, Node
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.splats import Splats

A = TypeVar("A", bound=Mesh | PointCloud | RadianceField | Splats)

_LARGEST = float(np.finfo(np.float32).max)


def scale_and_shift(asset: A, scale: float, shift: NDArray[np.float64]) -> A:
    """Asset at `scale * x + shift`, with `scale` > 0 and `shift` (3,). Shapes, normals and colours stay as they are.

    A mesh with nodes gets a new root; one without has its positions moved. Coordinates are clamped to the range of
    float32.
    """

    def move(positions: NDArray[np.float32]) -> NDArray[np.float32]:
        moved = positions.astype(np.float64) * scale + shift
        return np.clip(moved, -_LARGEST, _LARGEST).astype(np.float32)

    if isinstance(asset, Mesh):
        if not asset.nodes:
            primitives = (dataclasses.replace(p, positions=move(p.positions)) for p in asset.primitives)
            return dataclasses.replace(asset, primitives=tuple(primitives))
        matrix = np.diag([scale, scale, scale, 1.0])
        matrix[:3, 3] = shift
        below = [dataclasses.replace(node, parent=node.parent + 1) for node in asset.nodes]
        return dataclasses.replace(asset, nodes=(Node(matrix=matrix), *below))
    if isinstance(asset, RadianceField):
        return dataclasses.replace(asset, bbox_min=move(asset.bbox_min), bbox_max=move(asset.bbox_max))
    if isinstance(asset, Splats):
        scales = (asset.scales + np.float32(math.log(scale))).astype(np.float32)
        return dataclasses.replace(asset, positions=move(asset.positions), scales=scales)
    return dataclasses.replace(asset, positions=move(asset.positions))
