"""A scene as plain formats see it: one list of parts in world space, no node tree.

OBJ, PLY, STL and OFF know neither transforms nor most of glTF's material model. Their writers flatten a mesh
here and report what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import Texture, Wrap
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Primitive


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One shown primitive."""

    name: str
    """Name of its node; may be empty."""
    primitive: Primitive
    """In world space."""
    material: Material


def world_parts(mesh: Mesh) -> list[Part]:
    """Every shown primitive with triangles, node transforms applied, in node order."""
    names = _instance_names(mesh)
    parts = []
    for (primitive, matrix), name in zip(mesh.instances(), names, strict=True):
        if len(primitive.triangles):
            parts.append(Part(name, _moved(primitive, matrix), mesh.material_of(primitive)))
    return parts


def _instance_names(mesh: Mesh) -> Iterator[str]:
    if not mesh.nodes:
        yield from ("" for _ in mesh.primitives)
    for node in mesh.nodes:
        yield from (node.name for _ in node.primitives)


def _moved(primitive: Primitive, matrix: NDArray[np.float64]) -> Primitive:
    if np.array_equal(matrix, np.eye(4)):
        return primitive
    linear = matrix[:3, :3]
    positions = primitive.positions.astype(np.float64) @ linear.T + matrix[:3, 3]
    mirrored = np.linalg.det(linear) < 0
    triangles = primitive.triangles[:, ::-1] if mirrored else primitive.triangles
    normals = primitive.normals
    if normals is not None:
        # Cofactors are the inverse transpose times the determinant, and exist for flattening transforms too.
        cofactors = np.stack(
            [np.cross(linear[1], linear[2]), np.cross(linear[2], linear[0]), np.cross(linear[0], linear[1])]
        )
        turned = normals.astype(np.float64) @ cofactors.T * (-1.0 if mirrored else 1.0)
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        normals = (turned / np.where(length > 0, length, 1.0)).astype(np.float32)
    return replace(
        primitive,
        positions=positions.astype(np.float32),
        triangles=np.ascontiguousarray(triangles),
        normals=normals,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Soup:
    """All parts in one vertex list."""

    positions: NDArray[np.float32]
    triangles: NDArray[np.int32]
    normals: NDArray[np.float32] | None
    """None unless every part has them."""
    colours: NDArray[np.float32] | None
    """(V, 4) linear vertex colours times material colour; None where all of it is opaque white."""
    uvs: NDArray[np.float32] | None
    """UVs of the base colour textures, texture transforms applied; None without textures."""
    textures: tuple[Texture, ...]
    """Distinct base colour textures."""
    texture_of_triangle: NDArray[np.int32]
    """(F,) index into `textures`, -1 for none."""


def join(parts: list[Part]) -> Soup:
    """Merge parts, with what a material adds to the look of a vertex baked into its colour."""
    textures: list[Texture] = []
    textured = any(part.material.base_colour_texture for part in parts)
    uvs, texture_of = [], []
    for part in parts:
        uv, index = np.zeros((len(part.primitive.positions), 2), dtype=np.float32), -1
        texture = part.material.base_colour_texture
        if texture is not None and texture.uv_set < len(part.primitive.uvs):
            uv = part.primitive.uvs[texture.uv_set]
            uv = uv if texture.transform is None else texture.transform.apply(uv)
            index = next((i for i, t in enumerate(textures) if t.image.data == texture.image.data), len(textures))
            if index == len(textures):
                textures.append(texture)
        uvs.append(uv)
        texture_of.append(np.full(len(part.primitive.triangles), index, dtype=np.int32))
    offsets = np.cumsum([0] + [len(part.primitive.positions) for part in parts])
    normals = [part.primitive.normals for part in parts]
    colours = np.concatenate([_shown_colours(part) for part in parts])
    return Soup(
        positions=np.concatenate([part.primitive.positions for part in parts]),
        triangles=np.concatenate(
            [part.primitive.triangles + np.int32(o) for part, o in zip(parts, offsets[:-1], strict=True)]
        ),
        normals=None if any(n is None for n in normals) else np.concatenate([n for n in normals if n is not None]),
        colours=None if bool((colours == 1).all()) else colours,
        uvs=np.concatenate(uvs) if textured and textures else None,
        textures=tuple(textures),
        texture_of_triangle=np.concatenate(texture_of),
    )


def _shown_colours(part: Part) -> NDArray[np.float32]:
    colours = part.primitive.colours
    if colours is None:
        colours = np.ones((len(part.primitive.positions), 4), dtype=np.float32)
    baked = (colours * np.asarray(part.material.base_colour, dtype=np.float32)).astype(np.float32)
    if part.material.alpha_mode == "OPAQUE":
        # glTF ignores alpha in opaque materials; formats without such a mode would show it.
        baked[:, 3] = 1
    return baked


def report_losses(parts: list[Part], losses: LossReport, suffix: str, kept: frozenset[str]) -> None:
    """Record which features of the scene a format cannot express.

    Parameters
    ----------
    suffix : the format's suffix, for messages.
    kept : features the writer takes care of itself.
    """
    found: dict[str, int] = {}
    for part in parts:
        for feature in _features(part):
            found[feature] = found.get(feature, 0) + 1
    for feature, count in found.items():
        if feature not in kept:
            noun = "part uses" if count == 1 else "parts use"
            losses.add(feature, f"{suffix} has no {feature.replace('-', ' ')}: {count} {noun} it", stage="write")


def _features(part: Part) -> Iterator[str]:
    """Stable names of everything beyond bare triangles that a part has."""
    primitive, material = part.primitive, part.material
    default = Material()
    textures = {
        "base-colour-texture": material.base_colour_texture,
        "metallic-roughness-map": material.metallic_roughness_texture,
        "normal-map": material.normal_texture,
        "occlusion-map": material.occlusion_texture,
        "emissive-map": material.emissive_texture,
    }
    yield from (name for name, texture in textures.items() if texture is not None)
    used = {texture.uv_set for texture in textures.values() if texture is not None}
    if len(primitive.uvs) > 1 or len(used) > 1:
        yield "second-uv-set"
    if primitive.uvs:
        yield "uv-coordinates"
    if primitive.normals is not None:
        yield "normals"
    if primitive.colours is not None:
        yield "vertex-colours"
        if material.alpha_mode != "OPAQUE" and (primitive.colours[:, 3] < 1).any():
            yield "vertex-alpha"
    for texture in textures.values():
        if texture is not None:
            if texture.wrap != (Wrap.REPEAT, Wrap.REPEAT):
                yield "texture-wrap"
            if texture.transform is not None:
                yield "texture-transform"
                if texture.transform.rotation:
                    yield "texture-rotation"
    if material.base_colour[:3] != (1.0, 1.0, 1.0) or (
        material.base_colour[3] != 1.0 and material.alpha_mode != "OPAQUE"
    ):
        yield "base-colour"
    # A fully rough dielectric is how formats without materials look; the default material says nothing.
    plain = {(default.metallic, default.roughness), (0.0, 1.0)}
    if (material.metallic, material.roughness) not in plain:
        yield "metallic-roughness"
    if any(material.emissive):
        yield "emissive-colour"
    if material.alpha_mode != "OPAQUE":
        yield "alpha-mask" if material.alpha_mode == "MASK" else "alpha-blend"
    if material.double_sided:
        yield "double-sided"
    if material.unlit:
        yield "unlit"
    if material.name:
        yield "material-name"
    if part.name:
        yield "object-name"


_SUFFIX_BY_MIME = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/ktx2": ".ktx2",
    "image/vnd-ms.dds": ".dds",
}


class SideImages:
    """Names for the image files next to a main file; equal images share one."""

    def __init__(self, main_name: str) -> None:
        self._stem = main_name.rsplit(".", 1)[0]
        self._names: dict[bytes, str] = {}

    def name_of(self, texture: Texture) -> str:
        """File name of a texture's image; `model_0.png`, `model_1.jpg` ... in order of first use."""
        image = texture.image
        if image.data not in self._names:
            own = "." + image.name.rsplit(".", 1)[-1].lower() if "." in image.name else ""
            suffix = _SUFFIX_BY_MIME.get(image.mime) or (own if own[1:].isalnum() and len(own) <= 5 else ".bin")
            self._names[image.data] = f"{self._stem}_{len(self._names)}{suffix}"
        return self._names[image.data]

    def files(self) -> dict[str, bytes]:
        """Contents by name."""
        return {name: data for data, name in self._names.items()}
