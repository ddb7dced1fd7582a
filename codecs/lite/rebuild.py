"""From a decoded `LiteModel` to a `Mesh`: field, isosurface, colours. No networks beyond matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import LARGEST, Pose
from squeeze3d.codecs.colour.lookup import lookup
from squeeze3d.codecs.colour.model import CellColours
from squeeze3d.codecs.lite.field import LEVELS, decode_field, extract
from squeeze3d.codecs.lite.model import SMOOTHING, Header, LiteModel
from squeeze3d.errors import FormatError
from squeeze3d.geometry.smoothing import taubin
from squeeze3d.geometry.thinning import thin

FACTOR = 4
"""Sub-cells of a cell along an axis at which fields are decoded. Part of the format."""
THINNING = 1 / 32
"""Distance in cells that triangles may be off where fewer will do: three to seven times fewer, at -0.02 to +0.03 dB."""


def smoothed(
    positions: NDArray[np.float32], triangles: NDArray[np.int32], header: Header
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A surface with the header's smoothing."""
    return taubin(positions, triangles, *SMOOTHING[header.smoothing]), triangles


def to_mesh(model: LiteModel, limits: Limits) -> Mesh:
    """Build the mesh in the asset's own frame.

    Raises LimitError, or FormatError where the field has no surface.
    """
    field = decode_field(model.occupied, model.scalars, model.header.step, FACTOR, limits=limits)
    positions, triangles = smoothed(*extract(field, LEVELS[model.header.level]), model.header)
    if len(triangles) == 0:
        raise FormatError("the field has no surface")
    positions, triangles = thin(positions, triangles, lambda places: lookup(model.colours, places), tolerance=THINNING)
    return assemble(model.pose, model.header, positions, triangles, model.colours)


def assemble(
    pose: Pose,
    header: Header,
    positions: NDArray[np.float32],
    triangles: NDArray[np.int32],
    colours: CellColours,
) -> Mesh:
    """Mesh of a surface in grid coordinates, with smooth normals and colours looked up at its vertices."""
    rgba = np.ones((len(positions), 4), dtype=np.float32)
    rgba[:, :3] = srgb_to_linear(lookup(colours, positions))
    world = header.frame(pose).to_world(positions)
    material = Material(
        metallic=header.metallic / 15,
        roughness=header.roughness / 15,
        double_sided=header.double_sided,
        unlit=header.unlit,
    )
    # A pose at the end of the float32 range must not lead beyond it.
    within = np.clip(world, -LARGEST, LARGEST).astype(np.float32)
    primitive = Primitive(within, triangles, normals=vertex_normals(world, triangles), colours=rgba, material=0)
    return Mesh((primitive,), (material,))


def vertex_normals(positions: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """(V, 3) unit normals: means of the faces around, weighted by area."""
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(triangles[:, k], cross[:, axis], len(positions)) for k in range(3)) for axis in range(3)],
        axis=1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0).astype(np.float32)
