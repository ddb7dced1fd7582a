"""Checks every asset passes, whatever file it came from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.errors import FormatError, InputError

_REPAIR = "repair the asset in the program that made it, then export it again"


def check_asset(asset: Asset, name: str) -> None:
    """Refuse assets that hold nothing, or whose geometry is not made of numbers.

    Raises
    ------
    InputError : nothing to compress, or positions that are NaN or infinite.
    FormatError : triangles that name vertices which do not exist.
    """
    match asset:
        case Mesh():
            _check_mesh(asset, name)
        case PointCloud():
            _check_samples(name, "points", positions=asset.positions)
        case Splats():
            _check_samples(
                name,
                "splats",
                positions=asset.positions,
                **{"colour coefficients": asset.sh_dc, "higher colour coefficients": asset.sh_rest},
                opacity=asset.opacity,
                scales=asset.scales,
                rotations=asset.rotations,
            )
        case RadianceField():
            _check_samples(name, "grid samples", samples=asset.rgbsigma, box=asset.bounds())
            if (asset.bbox_max <= asset.bbox_min).any():
                raise InputError(f"`{name}`: the box of the grid is empty", hint="check `bbox_min` and `bbox_max`")


def _check_mesh(mesh: Mesh, name: str) -> None:
    shown: dict[int, None] = {}
    for primitive, matrix in mesh.instances():
        if not np.isfinite(matrix).all():
            raise InputError(f"`{name}`: a node transform is not finite", hint=_REPAIR)
        if id(primitive) in shown or len(primitive.triangles) == 0:
            continue
        shown[id(primitive)] = None
        if not -1 <= primitive.material < len(mesh.materials):
            raise FormatError(f"`{name}`: a part names material {primitive.material} of {len(mesh.materials)}")
        low, high = int(primitive.triangles.min()), int(primitive.triangles.max())
        if low < 0 or high >= len(primitive.positions):
            raise FormatError(
                f"`{name}`: a triangle names vertex {low if low < 0 else high} of {len(primitive.positions)}"
            )
        bad = np.asarray(~np.isfinite(primitive.positions).all(axis=1))
        if bad.any():
            faces = int(bad[primitive.triangles].any(axis=1).sum())
            if faces:
                raise InputError(f"`{name}`: {faces} triangles have corners that are NaN or infinite", hint=_REPAIR)
    if not shown:
        raise InputError(f"nothing to compress: `{name}` has no triangles")


def _check_samples(name: str, what: str, **arrays: NDArray[Any]) -> None:
    if next(iter(arrays.values())).size == 0:
        raise InputError(f"nothing to compress: `{name}` has no {what}")
    for label, values in arrays.items():
        bad = int(values.size - np.isfinite(values).sum())
        if bad:
            raise InputError(f"`{name}`: {bad} values of the {label} are NaN or infinite", hint=_REPAIR)
