"""Colours of a stream onto a generated mesh. NumPy alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.flatten import world_parts
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.codecs.lite.rebuild import vertex_normals
from squeeze3d.codecs.surface_colours.stream import SurfaceColours


def apply_surface_colours(generated: Mesh, colours: SurfaceColours, *, half_extent: float = 0.5) -> Mesh:
    """A generated mesh with decoded colours at its vertices, instead of its own.

    Node transforms are applied, textures are dropped.

    Parameters
    ----------
    generated : in the frame of the encoder.
    half_extent : half the side of the frame, the same as for the encoder.
    """
    primitives: list[Primitive] = []
    materials: list[Material] = []
    for part in world_parts(generated):
        primitive = part.primitive
        normals = vertex_normals(primitive.positions.astype(np.float64), primitive.triangles)
        rgba = np.ones((len(primitive.positions), 4), dtype=np.float32)
        rgba[:, :3] = srgb_to_linear(colours.at(primitive.positions, normals, half_extent))
        primitives.append(replace(primitive, colours=rgba, uvs=(), material=len(materials)))
        white = (1.0, 1.0, 1.0, 1.0)
        materials.append(replace(part.material, base_colour=white, base_colour_texture=None, alpha_mode="OPAQUE"))
    return Mesh(tuple(primitives), tuple(materials))
