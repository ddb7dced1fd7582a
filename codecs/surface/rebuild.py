"""From a decoded `SurfaceModel` to a `Mesh` that any viewer shows. NumPy alone; Pillow only to unpack a texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.surface.model import ColourMode, SurfaceModel
from squeeze3d.codecs.surface.positions import dequantise
from squeeze3d.codecs.surface.vertex_colours import dequantise_colours
from squeeze3d.errors import FormatError, InputError
from squeeze3d.geometry.normals import crease_normals

MAX_TEXTURE_SIDE = 16384


@dataclass(frozen=True, eq=False)
class Geometry:
    """Canonical coordinates of a model."""

    positions: NDArray[np.float64]
    """(V, 3) in the canonical frame."""
    triangles: NDArray[np.int64]
    """(F, 3)."""


def geometry(model: SurfaceModel) -> Geometry:
    """Positions and triangles as a decoder sees them."""
    return Geometry(dequantise(model.cells, model.bits), model.conquest.triangles)


def vertex_rgb(model: SurfaceModel) -> NDArray[np.uint8]:
    """(V, 3) sRGB bytes of a model in VERTEX mode."""
    assert model.colours is not None
    return dequantise_colours(model.colours, model.step)


def corner_uvs(model: SurfaceModel) -> NDArray[np.float64]:
    """(F, 3, 2) texture coordinates of a model in TEXTURE mode, in [0, 1]."""
    assert model.wedges is not None
    return ((model.wedges.uvs + 0.5) / (1 << model.uv_bits))[model.wedges.corners]


def to_mesh(model: SurfaceModel, limits: Limits) -> Mesh:
    """Build a mesh in the asset's own frame.

    Vertices are split where shading creases or the atlas is cut. Textures come back as PNG, which every glTF viewer
    reads.
    """
    shape = geometry(model)
    world = model.pose.to_original(shape.positions)
    shading = crease_normals(world, shape.triangles, model.look.crease)
    # One output vertex per combination of shading group and wedge.
    corner = np.arange(shape.triangles.size)
    keys = shading.groups.reshape(-1)
    if model.wedges is not None:
        keys = keys * len(model.wedges.vertices) + model.wedges.corners.reshape(-1)
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    source = corner[first]
    vertex = shape.triangles.reshape(-1)[source]
    look = model.look
    red, green, blue, alpha = model.constant
    linear = srgb_to_linear(np.array([red, green, blue]) / 255)
    material = Material(
        base_colour=(float(linear[0]), float(linear[1]), float(linear[2]), alpha / 255),
        base_colour_texture=_texture(model, limits),
        metallic=look.metallic / 255,
        roughness=look.roughness / 255,
        alpha_mode=look.alpha_mode,
        double_sided=look.double_sided,
        unlit=look.unlit,
    )
    primitive = Primitive(
        positions=world[vertex],
        triangles=index.reshape(-1, 3).astype(np.int32),
        normals=shading.normals[shading.groups.reshape(-1)[source]].astype(np.float32),
        uvs=_uvs(model, source),
        colours=_colours(model, vertex),
        material=0,
    )
    return Mesh((primitive,), (material,))


def _uvs(model: SurfaceModel, source: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
    if model.mode is not ColourMode.TEXTURE:
        return ()
    return (corner_uvs(model).reshape(-1, 2)[source].astype(np.float32),)


def _colours(model: SurfaceModel, vertex: NDArray[np.int64]) -> NDArray[np.float32] | None:
    if model.mode is not ColourMode.VERTEX:
        return None
    result = np.ones((len(vertex), 4), dtype=np.float32)
    result[:, :3] = srgb_to_linear(vertex_rgb(model)[vertex] / 255)
    return result


def _texture(model: SurfaceModel, limits: Limits) -> Texture | None:
    if model.mode is not ColourMode.TEXTURE:
        return None
    pixels = texture_pixels(model.image, limits)
    opaque = bool((pixels[:, :, 3] == 255).all())
    image = Image.from_pixels(pixels[:, :, :3] if opaque else pixels, name="texture")
    return Texture(image, wrap=(Wrap.CLAMP, Wrap.CLAMP))


def texture_pixels(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    """(H, W, 4) pixels of the IMAGE chunk.

    Raises FormatError if it is no WebP image, LimitError if it is too large; both before unpacking it.
    """
    import io

    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise FormatError(f"texture is not a WebP image: {error}") from None
    if max(width, height) > MAX_TEXTURE_SIDE:
        raise FormatError(f"texture of {width} x {height} pixels exceeds {MAX_TEXTURE_SIDE}")
    limits.check(width * height * 12, f"a texture of {width} x {height} pixels")
    try:
        return Image(data, "image/webp").pixels()
    except InputError as error:
        raise FormatError(error.message) from None
