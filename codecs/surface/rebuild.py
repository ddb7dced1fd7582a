"""From a decoded `SurfaceModel` to a `Mesh` that any viewer shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.codecs.colour.ycocg import display
from squeeze3d.codecs.surface.atlas import UNITS
from squeeze3d.codecs.surface.model import SHADES, Details, SurfaceModel
from squeeze3d.codecs.surface.smooth_colours import FRACTION, dequantise
from squeeze3d.compiled import compiled
from squeeze3d.geometry.normals import crease_normals


@dataclass(frozen=True, eq=False)
class Corners:
    """Triangles with everything that their corners have; canonical coordinates."""

    positions: NDArray[np.float64]
    """(N, 3)."""
    triangles: NDArray[np.int64]
    """(F, 3)."""
    colours: NDArray[np.float64] | None
    """(N, 4) sRGB and alpha in [0, 1]; None where there is one colour."""
    normals: NDArray[np.float64]
    """(F, 3, 3) unit normals."""
    uvs: NDArray[np.float64] | None = None
    """(F, 3, 2) glTF texture coordinates; None where there is no picture."""
    picture: NDArray[np.uint8] | None = None
    """(H, W, 3) sRGB."""


def grid_positions(cells: NDArray[np.integer], bits: int) -> NDArray[np.float64]:
    """(N, 3) grid cells to the canonical coordinates of their centres: (q + 0.5) / 2**bits - 0.5."""
    places: NDArray[np.float64] = (cells + 0.5) / (1 << bits) - 0.5
    return places


def corners(model: SurfaceModel) -> Corners:
    """What a decoder shows."""
    base = grid_positions(model.cells, model.bits)
    shading = crease_normals(base, model.triangles, model.look.crease)
    normals = shading.normals[shading.groups]
    if model.picture is not None:
        place = model.picture.layout
        uvs = place.uvs / (UNITS * np.array([place.width, place.height]))
        return Corners(base, model.triangles, None, normals, uvs, model.picture.pixels)
    if model.details is None:
        return Corners(base, model.triangles, None, normals)
    canvas = model.details.canvas
    refinement = canvas.refinement
    positions = canvas.positions(model.bits)
    mixed = _shading(base, model.triangles, normals, refinement.owners, positions, refinement.triangles)
    return Corners(positions, refinement.triangles, colours(model.details), mixed)


def colours(details: Details) -> NDArray[np.float64]:
    """(N, 4) sRGB and alpha in [0, 1] at the vertices of the canvas."""
    values = dequantise(details.canvas.hierarchy, details.values, details.step) / (1 << FRACTION)
    result = np.ones((len(values), 4))
    # Whole byte levels: what is shown is the same wherever it is decoded.
    result[:, :3] = np.rint(display(values[:, :3])) / 255
    if values.shape[1] > 3:
        result[:, 3] = np.rint(np.clip(values[:, 3], 0, 255)) / 255
    return result


@compiled
def _shading(base, triangles, normals, owners, positions, finer):  # type: ignore[no-untyped-def]
    """(N, 3, 3) unit normals at the corners of finer triangles, from those of the (F, 3, 3) coded ones they lie in."""
    result = np.zeros((len(finer), 3, 3))
    for f in range(len(finer)):
        owner = owners[f]
        a, b, c = triangles[owner]
        uu, uv, vv = 0.0, 0.0, 0.0
        for k in range(3):
            u, v = base[b, k] - base[a, k], base[c, k] - base[a, k]
            uu += u * u
            uv += u * v
            vv += v * v
        # Needles have no inside to speak of; any shares of their corners do.
        area = max(uu * vv - uv * uv, 1e-24)
        for corner in range(3):
            place = finer[f, corner]
            uw, vw = 0.0, 0.0
            for k in range(3):
                w = positions[place, k] - base[a, k]
                uw += (base[b, k] - base[a, k]) * w
                vw += (base[c, k] - base[a, k]) * w
            second, third = (vv * uw - uv * vw) / area, (uu * vw - uv * uw) / area
            one = min(max(1.0 - second - third, 0.0), 1.0)
            second, third = min(max(second, 0.0), 1.0), min(max(third, 0.0), 1.0)
            square = 0.0
            for k in range(3):
                value = one * normals[owner, 0, k] + second * normals[owner, 1, k] + third * normals[owner, 2, k]
                result[f, corner, k] = value
                square += value * value
            length = np.sqrt(square) / max(one + second + third, 1e-12)
            for k in range(3):
                if length > 1e-6:
                    result[f, corner, k] /= np.sqrt(square)
                else:
                    result[f, corner, k] = normals[owner, 0, k]
    return result


def to_mesh(model: SurfaceModel) -> Mesh:
    """Build a mesh in the asset's own frame.

    Vertices are split where shading creases, colours are cut or pieces of a picture end.
    """
    shown = corners(model)
    flat = shown.triangles.reshape(-1)
    shading = np.rint(shown.normals.reshape(-1, 3) * 127).astype(np.int64) + 128
    # One vertex for each place and direction of shading, and each place in a picture.
    keys = flat << 24 | shading[:, 0] << 16 | shading[:, 1] << 8 | shading[:, 2]
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    if model.picture is not None:
        spots = model.picture.layout.uvs.reshape(-1, 2)
        keys = index.reshape(-1) << 36 | spots[:, 0] << 18 | spots[:, 1]
        _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    vertex = flat[first]
    look = model.look
    red, green, blue, alpha = model.constant
    linear = srgb_to_linear(np.array([red, green, blue]) / 255)
    material = Material(
        base_colour=(float(linear[0]), float(linear[1]), float(linear[2]), alpha / 255),
        metallic=look.metallic / SHADES,
        roughness=look.roughness / SHADES,
        alpha_mode=look.alpha_mode,
        double_sided=look.double_sided,
        unlit=look.unlit,
    )
    paint = None
    uvs: tuple[NDArray[np.float32], ...] = ()
    if shown.uvs is not None and shown.picture is not None:
        image = Image.from_pixels(shown.picture, name="colours")
        material = replace(material, base_colour_texture=Texture(image, wrap=(Wrap.CLAMP, Wrap.CLAMP)))
        uvs = (shown.uvs.reshape(-1, 2)[first].astype(np.float32),)
    if shown.colours is not None:
        paint = shown.colours[vertex].astype(np.float32)
        paint[:, :3] = srgb_to_linear(paint[:, :3])
    primitive = Primitive(
        positions=model.pose.to_original(shown.positions)[vertex],
        triangles=index.reshape(-1, 3).astype(np.int32),
        normals=shown.normals.reshape(-1, 3)[first].astype(np.float32),
        colours=paint,
        uvs=uvs,
        material=0,
    )
    return Mesh((primitive,), (material,))
