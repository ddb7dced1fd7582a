"""`Surface`: a mesh scene flattened into one world-space triangle list with its colours still attached.

```text
Mesh (nodes, primitives, materials) ─► flatten ─► Surface ─► colours at (triangle, barycentric)
```

Codecs that re-mesh and the renderer ask a surface for colours at points, and need not know about node transforms,
UV sets, factors or texture wrapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.flatten import world_parts
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.mesh import AlphaMode, Material, Mesh, Primitive
from squeeze3d.errors import InputError, LimitError
from squeeze3d.texture.lookup import PixelGrid
from squeeze3d.texture.mipmap import Levels, MipMap


@dataclass(frozen=True, eq=False)
class SurfaceMaterial:
    """What a surface needs of one material."""

    material: Material
    pixels: PixelGrid | None
    """Decoded base-colour texture."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles in world space. Degenerate ones (two corners at one place) are left out."""

    positions: NDArray[np.float64]
    """(V, 3) vertices, welded: no two at the same place."""
    triangles: NDArray[np.int64]
    """(F, 3) indices into `positions`."""
    corner_uvs: NDArray[np.float32]
    """(F, 3, 2) base-colour texture coordinates, texture transform applied; 0 where there are none."""
    corner_colours: NDArray[np.float32]
    """(F, 3, 4) vertex colour times base-colour factor, linear RGBA."""
    corner_normals: NDArray[np.float32]
    """(F, 3, 3) shading normals; the face normal where the file has none."""
    face_materials: NDArray[np.int32]
    """(F,) indices into `materials`."""
    materials: tuple[SurfaceMaterial, ...]
    unreadable: tuple[str, ...] = ()
    """Messages about textures that could not be decoded; those surfaces show factor and vertex colour alone."""

    @property
    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) minimum and maximum over the vertices in use."""
        in_use = np.zeros(len(self.positions), dtype=bool)
        in_use[self.triangles] = True
        used = self.positions[in_use]
        return np.stack([used.min(axis=0), used.max(axis=0)])

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """(F,) triangle areas."""
        a, b, c = (self.positions[self.triangles[:, k]] for k in range(3))
        areas: NDArray[np.float64] = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        return areas

    @property
    def has_colour(self) -> bool:
        """Whether anything but opaque white is shown."""
        return any(m.pixels is not None for m in self.materials) or bool((self.corner_colours < 0.999).any())

    @property
    def alpha_mode(self) -> AlphaMode:
        """Strongest alpha mode of all materials in use: BLEND over MASK over OPAQUE."""
        used = {self.materials[i].material.alpha_mode for i in np.unique(self.face_materials)}
        return "BLEND" if "BLEND" in used else "MASK" if "MASK" in used else "OPAQUE"

    @cached_property
    def mip_maps(self) -> tuple[MipMap | None, ...]:
        """Averaged versions of the texture of each material; materials that show one image share them."""
        textures = [m.pixels for m in self.materials if m.pixels is not None]
        shared = {id(pixels): Levels(pixels) for pixels in (texture.pixels for texture in textures)}
        return tuple(
            None if m.pixels is None else MipMap(m.pixels, shared[id(m.pixels.pixels)]) for m in self.materials
        )

    @cached_property
    def uv_density(self) -> NDArray[np.float32]:
        """(F,) texture coordinates per unit of length on each triangle, the mean over its directions."""
        u, v = (self.corner_uvs[:, 1:] - self.corner_uvs[:, :1]).astype(np.float64).transpose(1, 0, 2)
        spread = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
        ratio = np.divide(spread, self.areas, out=np.zeros_like(spread), where=self.areas > 0)
        return np.sqrt(ratio).astype(np.float32)

    def colours_at(
        self,
        faces: NDArray[np.integer],
        weights: NDArray[np.floating],
        footprint: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Unlit base colour at N points.

        Parameters
        ----------
        faces : (N,) triangle of each point.
        weights : (N, 3) barycentric coordinates.
        footprint : (N,) side of the area each point stands for, in units of `positions`; textures are averaged over
            it. None looks at single texels (bilinear).

        Returns
        -------
        (N, 4) RGBA in [0, 1]: sRGB-encoded colour, linear alpha. Fully opaque for materials in mode OPAQUE.
        """
        w = weights.astype(np.float32)
        colours = _mixed(self.corner_colours[faces], w)
        owners = self.face_materials[faces]
        for index in np.unique(owners):
            owner = self.materials[index]
            chosen = owners == index
            if owner.pixels is not None:
                uv = _mixed(self.corner_uvs[faces[chosen]], w[chosen])
                texel = self._texels(int(index), uv, faces[chosen], None if footprint is None else footprint[chosen])
                texel[:, :3] = srgb_to_linear(texel[:, :3])
                colours[chosen] *= texel
            if owner.material.alpha_mode == "OPAQUE":
                colours[chosen, 3] = 1.0
            elif owner.material.alpha_mode == "MASK":
                colours[chosen, 3] = colours[chosen, 3] >= owner.material.alpha_cutoff
        colours = np.clip(colours, 0.0, 1.0)
        colours[:, :3] = linear_to_srgb(colours[:, :3])
        return colours

    def _texels(
        self,
        material: int,
        uv: NDArray[np.float32],
        faces: NDArray[np.integer],
        footprint: NDArray[np.floating] | None,
    ) -> NDArray[np.float32]:
        maps, pixels = self.mip_maps[material], self.materials[material].pixels
        assert maps is not None
        assert pixels is not None
        if footprint is None:
            return pixels.sample(uv)
        height, width = pixels.pixels.shape[:2]
        return maps.sample(uv, footprint * self.uv_density[faces] * np.float32(np.sqrt(height * width)))


def _mixed(corners: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, C) weighted sums of (N, 3, C) corner values; several times as fast as `sum` over the short axis."""
    first, second, third = weights[:, :1], weights[:, 1:2], weights[:, 2:]
    result: NDArray[np.float32] = corners[:, 0] * first + corners[:, 1] * second + corners[:, 2] * third
    return result


def flatten(mesh: Mesh) -> Surface:
    """Apply node transforms, merge primitives, weld vertices and gather colours.

    Raises InputError if no triangle with an area is left.
    """
    parts = world_parts(mesh)
    if not parts:
        raise InputError("nothing to compress: the mesh has no triangles")
    images: dict[int, NDArray[np.uint8] | None] = {}
    unreadable: list[str] = []
    index_of: dict[int, int] = {}
    surfaces: list[SurfaceMaterial] = []
    positions, triangles, uvs, colours, normals, owners = [], [], [], [], [], []
    offset = 0
    for part in parts:
        primitive, material = part.primitive, part.material
        texture = material.base_colour_texture
        if texture is not None and texture.uv_set >= len(primitive.uvs):
            texture = None  # The material asks for coordinates this primitive does not have.
        key = id(material) if texture is not None else -id(material)
        if key not in index_of:
            index_of[key] = len(surfaces)
            surfaces.append(SurfaceMaterial(material, _pixels(texture, images, unreadable)))
        order = primitive.triangles.astype(np.int64)
        positions.append(primitive.positions)
        triangles.append(order + offset)
        uvs.append(_corner_uvs(primitive, order, texture))
        colours.append(_corner_colours(primitive, order, material))
        normals.append(_corner_normals(primitive, order))
        owners.append(np.full(len(order), index_of[key], dtype=np.int32))
        offset += len(primitive.positions)
    welded, index = _weld(np.concatenate(positions))
    faces = index[np.concatenate(triangles)]
    # Two corners at one place make no area: nothing to show, and poison for simplification.
    keep = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    if not keep.any():
        raise InputError("nothing to compress: all triangles are degenerate")
    return Surface(
        positions=welded,
        triangles=faces[keep],
        corner_uvs=np.concatenate(uvs)[keep],
        corner_colours=np.concatenate(colours)[keep],
        corner_normals=np.concatenate(normals)[keep],
        face_materials=np.concatenate(owners)[keep],
        materials=tuple(surfaces),
        unreadable=tuple(unreadable),
    )


def _weld(positions: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Merge vertices at exactly the same float32 place; (unique positions, index of each vertex)."""
    rounded = np.ascontiguousarray(positions + np.float32(0.0))  # + 0 turns -0 into 0
    keys = rounded.view(np.dtype((np.void, rounded.dtype.itemsize * 3))).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    # Number vertices by first appearance: unlike the byte order of floats, it keeps neighbours close.
    rank = np.empty(len(first), dtype=np.int64)
    order = np.argsort(first, kind="stable")
    rank[order] = np.arange(len(first))
    return rounded[first[order]].astype(np.float64), rank[inverse.reshape(-1)]


def _pixels(
    texture: Texture | None, images: dict[int, NDArray[np.uint8] | None], unreadable: list[str]
) -> PixelGrid | None:
    if texture is None:
        return None
    key = id(texture.image)
    if key not in images:
        images[key] = _decode(texture.image, unreadable)
    pixels = images[key]
    return None if pixels is None else PixelGrid(pixels, texture.wrap)


def _decode(image: Image, unreadable: list[str]) -> NDArray[np.uint8] | None:
    try:
        return image.pixels()
    except (InputError, LimitError) as error:
        unreadable.append(error.message)
        return None


def _corner_uvs(primitive: Primitive, order: NDArray[np.int64], texture: Texture | None) -> NDArray[np.float32]:
    if texture is None:
        return np.zeros((len(order), 3, 2), dtype=np.float32)
    uv = primitive.uvs[texture.uv_set]
    if texture.transform is not None:
        uv = texture.transform.apply(uv)
    finite: NDArray[np.float32] = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
    return finite[order]


def _corner_colours(primitive: Primitive, order: NDArray[np.int64], material: Material) -> NDArray[np.float32]:
    factor = np.array(material.base_colour, dtype=np.float32)
    if primitive.colours is None:
        return np.broadcast_to(factor, (len(order), 3, 4)).copy()
    return np.nan_to_num(primitive.colours)[order] * factor


def _corner_normals(primitive: Primitive, order: NDArray[np.int64]) -> NDArray[np.float32]:
    a, b, c = (primitive.positions[order[:, k]].astype(np.float64) for k in range(3))
    flat = _unit(np.cross(b - a, c - a))[:, None, :].repeat(3, axis=1)
    if primitive.normals is None:
        return flat.astype(np.float32)
    shading = _unit(np.nan_to_num(primitive.normals).astype(np.float64))[order]
    missing = ~shading.any(axis=2)
    shading[missing] = flat[missing]
    return shading.astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
