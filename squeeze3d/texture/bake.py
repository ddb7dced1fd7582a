"""Bake vertex colours into a texture: the same surface, for programs that show no vertex colours or want few vertices.

```text
mesh with vertex colours ─► charts (xatlas) ─► colours in between, one for each texel ─► gutters ─► mesh with a texture
```

Colours between vertices are those that a renderer shows: interpolated linearly in linear light. The texture holds what
vertices say, no more: what a texel is finer than a triangle it shows evenly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_to_srgb
from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import UsageError
from squeeze3d.texture.atlas import Atlas, TexelFinder, pixel_numbers, unwrap_in_parts

SIDES = (16, 8192)
"""Least and largest width of a texture."""
PADDING = 2
"""Texels between charts: bilinear lookup at a chart's edge reads one beyond it."""
BAND = 1 << 20
"""Texels that are looked up at once; bounds memory."""
BYTES_PER_TEXEL = 24
"""Of the picture, and of where the nearest colour is for each texel of a gutter."""
TALLEST = 2
"""Height of a texture over its width. xatlas makes squares, but for very long charts."""


def is_bakeable(mesh: Mesh) -> bool:
    """Whether any part of a mesh has vertex colours and no texture."""
    return any(_is_bakeable(mesh, primitive) for primitive in mesh.primitives)


def bake_vertex_colours(mesh: Mesh, resolution: int, limits: Limits | None = None) -> Mesh:
    """A mesh whose vertex colours are in textures instead. Parts that have a texture, or no colours, stay as they are.

    Vertices are split where charts end; triangles, their order and everything else stay.

    Parameters
    ----------
    resolution : width of each texture in pixels; the height is about the same.

    Raises
    ------
    UsageError : a resolution out of range.
    MissingExtraError : xatlas or open3d is not installed.
    LimitError : the texture takes more memory than allowed.
    """
    low, high = SIDES
    if not low <= resolution <= high:
        raise UsageError(f"a texture is {low} to {high} pixels wide, not {resolution}")
    primitives, materials = list(mesh.primitives), list(mesh.materials)
    users = Counter(primitive.material for primitive in primitives)
    for number, primitive in enumerate(mesh.primitives):
        if not _is_bakeable(mesh, primitive):
            continue
        split, texture = _baked(primitive, resolution, limits or Limits())
        material = replace(_material(mesh, primitive), base_colour_texture=texture)
        if primitive.material >= 0 and users[primitive.material] == 1:
            materials[primitive.material] = material
        else:
            materials.append(material)
            split = replace(split, material=len(materials) - 1)
        primitives[number] = split
    return replace(mesh, primitives=tuple(primitives), materials=tuple(materials))


def _material(mesh: Mesh, primitive: Primitive) -> Material:
    return mesh.materials[primitive.material] if primitive.material >= 0 else Material()


def _is_bakeable(mesh: Mesh, primitive: Primitive) -> bool:
    textured = _material(mesh, primitive).base_colour_texture is not None
    return primitive.colours is not None and not textured and len(primitive.triangles) > 0


def _baked(primitive: Primitive, resolution: int, limits: Limits) -> tuple[Primitive, Texture]:
    assert primitive.colours is not None
    atlas = unwrap_in_parts(primitive.positions, primitive.triangles, resolution, padding=PADDING)
    height = int(np.clip(round(resolution * atlas.aspect), 1, TALLEST * resolution))
    limits.check(BYTES_PER_TEXEL * height * resolution, f"a texture of {resolution} x {height} pixels")
    pixels = picture(atlas, primitive.colours, primitive.triangles, (height, resolution))
    # Each vertex of the atlas belongs to one vertex of the mesh.
    vertex = np.zeros(len(atlas.uvs), dtype=np.int64)
    vertex[atlas.corners] = primitive.triangles
    split = Primitive(
        primitive.positions[vertex],
        atlas.corners.astype(np.int32),
        normals=None if primitive.normals is None else primitive.normals[vertex],
        uvs=(*(uvs[vertex] for uvs in primitive.uvs), atlas.uvs.astype(np.float32)),
        material=primitive.material,
    )
    image = Image.from_pixels(pixels, name="colours")
    return split, Texture(image, uv_set=len(primitive.uvs), wrap=(Wrap.CLAMP, Wrap.CLAMP))


def picture(
    atlas: Atlas, colours: NDArray[np.float32], triangles: NDArray[np.int32], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """(H, W, 3 or 4) pixels of an atlas; the fourth channel only where colours are not opaque.

    Parameters
    ----------
    colours : (V, 4) linear colours of vertices.
    triangles : (F, 3) vertices at the corners that `atlas.corners` gives places.
    """
    from scipy.ndimage import distance_transform_edt

    height, width = shape
    channels = 3 if (colours[:, 3] >= 1).all() else 4
    pixels = np.zeros((height * width, channels), dtype=np.uint8)
    known = np.zeros(height * width, dtype=bool)
    # Charts of less than a texel may lie between all centres: their vertices at least have a colour.
    corners = np.unique(np.stack([atlas.corners.reshape(-1), triangles.reshape(-1)], axis=1), axis=0)
    place = pixel_numbers(atlas.uvs[corners[:, 0]], shape)
    pixels[place] = _encoded(colours[corners[:, 1], :channels])
    known[place] = True
    finder = TexelFinder(atlas.uvs[atlas.corners])
    step = max(1, BAND // width)
    for start in range(0, height, step):
        texels = finder.rows(range(start, min(start + step, height)), shape)
        around = colours[triangles[texels.faces], :channels]
        place = pixel_numbers(texels.uvs, shape)
        pixels[place] = _encoded(np.einsum("nkc,nk->nc", around, texels.weights))
        known[place] = True
    # Everything else takes the colour of the nearest texel, so that no lookup mixes in what is not there.
    rows, columns = distance_transform_edt(~known.reshape(shape), return_distances=False, return_indices=True)
    filled = np.empty((height, width, channels), dtype=np.uint8)
    for row in range(height):
        filled[row] = pixels[rows[row].astype(np.int64) * width + columns[row]]
    return filled


def _encoded(colours: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(N, 3 or 4) linear colours as bytes: sRGB, and alpha as it is."""
    shown = np.clip(colours, 0.0, 1.0)
    shown[:, :3] = linear_to_srgb(shown[:, :3])
    result: NDArray[np.uint8] = np.rint(255 * shown).astype(np.uint8)
    return result
