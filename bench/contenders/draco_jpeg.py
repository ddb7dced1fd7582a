"""`draco-jpeg`: the baseline of the Squeeze3D paper. Meshes as they are through Draco, textures as JPEG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import display_bytes, linear_colours
from squeeze3d.assets.flatten import join, world_parts
from squeeze3d.assets.formats import load
from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.draco_stream import Arrays, Bits
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError

LEVELS: Mapping[str, Bits] = {
    "14-14-14-14": Bits(14, 14, 14),
    "11-10-8-8": Bits(11, 10, 8),
    "7-7-7-7": Bits(7, 7, 7),
    "4-4-4-4": Bits(4, 4, 4),
}
"""Bits of positions, texture coordinates and normals by the paper's names, which give those of generic attributes
last: DracoPy sets none for these, and all there are here are integers that Draco would not quantise either."""
QUALITY = 75
"""Of JPEG: the default of libjpeg. The paper does not say."""
STREAM, WRAPS, PICTURE = "mesh.drc", "wraps.bin", "texture-{}.jpg"
WRAP = tuple(product(Wrap, Wrap))
"""How textures go on outside of [0, 1]: a byte for each in `WRAPS`."""
NO_TEXTURE = 255
"""Mark of triangles that show none."""


class DracoJpeg(Contender):
    """Draco at compression level 10 with the paper's four sets of bits, JPEG of quality 75 in the textures' own size.

    Counted are the stream, and a JPEG and a byte for each base-colour texture; no container. Kept are positions,
    normals, texture coordinates, and vertex colours times base colours. Other maps are not written, which costs
    nothing in the figures, and transparency of textures is lost, which JPEG cannot hold. Textures that are JPEG files
    already stay what they are where that is smaller.
    """

    id = "draco-jpeg"
    summary = "Draco level 10, textures as JPEG of quality 75: the baseline of the Squeeze3D paper"
    kinds = frozenset({Kind.MESH})
    packages = ("DracoPy", "Pillow")

    def missing(self) -> str | None:
        return draco_stream.missing()

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting(label) for label in LEVELS]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        mesh = load(source)
        assert isinstance(mesh, Mesh)
        parts = world_parts(mesh)
        if not parts:
            raise InputError("the mesh has no triangles")
        soup = join(parts)
        if len(soup.textures) > NO_TEXTURE:
            raise InputError(f"{len(soup.textures)} textures are more than marks of 8 bits tell apart")
        owners = np.where(soup.texture_of_triangle < 0, NO_TEXTURE, soup.texture_of_triangle).astype(np.uint8)
        marks = None
        if soup.textures and len(np.unique(owners)) > 1:
            # No two parts share a vertex.
            marks = np.full(len(soup.positions), NO_TEXTURE, dtype=np.uint8)
            marks[soup.triangles] = owners[:, None]
        data = draco_stream.encode(
            Arrays(
                soup.positions,
                soup.triangles,
                None if soup.uvs is None else np.nan_to_num(soup.uvs),
                None if soup.normals is None else np.nan_to_num(soup.normals),
                None if soup.colours is None else _bytes(soup.colours),
                marks,
            ),
            LEVELS[setting.label],
        )
        pictures = {PICTURE.format(index): _jpeg(texture.image) for index, texture in enumerate(soup.textures)}
        if pictures:
            pictures[WRAPS] = bytes(WRAP.index(texture.wrap) for texture in soup.textures)
        return Encoded({STREAM: data, **pictures}, {"faces": len(soup.triangles), "quality": QUALITY})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        arrays = draco_stream.decode(files[STREAM])
        assert arrays.triangles is not None
        materials = [Material(metallic=0.0, double_sided=True)]
        for index, wrap in enumerate(files.get(WRAPS, b"")):
            texture = Texture(Image(files[PICTURE.format(index)], "image/jpeg"), wrap=WRAP[wrap])
            materials.append(Material(base_colour_texture=texture, metallic=0.0, double_sided=True))
        only = 0 if len(materials) > 1 else NO_TEXTURE
        marks = np.full(len(arrays.positions), only, dtype=np.uint8) if arrays.marks is None else arrays.marks
        owners = marks[arrays.triangles[:, 0]]
        primitives = [
            Primitive(
                arrays.positions.astype(np.float32),
                arrays.triangles[owners == owner].astype(np.int32),
                None if arrays.normals is None else arrays.normals.astype(np.float32),
                () if arrays.uvs is None else (arrays.uvs.astype(np.float32),),
                None if arrays.colours is None else linear_colours(arrays.colours),
                0 if owner == NO_TEXTURE else int(owner) + 1,
            )
            for owner in np.unique(owners)
        ]
        return Mesh(tuple(primitives), tuple(materials))


def _bytes(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(V, 3 or 4) sRGB bytes of (V, 4) linear colours."""
    shown = display_bytes(np.nan_to_num(colours))
    return shown if (shown[:, 3] < 255).any() else np.ascontiguousarray(shown[:, :3])


def _jpeg(image: Image) -> bytes:
    import PIL.Image

    out = io.BytesIO()
    PIL.Image.fromarray(image.pixels()[:, :, :3]).save(out, format="JPEG", quality=QUALITY, optimize=True)
    ours = out.getvalue()
    return image.data if image.mime == "image/jpeg" and len(image.data) < len(ours) else ours
