"""What peers have in common that make a small glTF file of a glTF file.

```text
mesh ─► colour textures made small (WebP) ─► GLB ─► simplified, quantised, compressed by the tool ─► zstd
```

Both tools are used as a user of them would who is after bytes: only colour textures are kept, and the file that a
server sends is compressed once more. Textures are made small beforehand, with Pillow: gltfpack of npm cannot, and
gltf-transform needs a native library for it.
"""

from __future__ import annotations

import io
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from squeeze3d.assets.formats import load, write_files
from squeeze3d.assets.image import Image
from squeeze3d.assets.mesh import Material, Mesh
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.preview import Preview
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import Sq3Error, TargetSizeError

FILE = "asset.glb.zst"
BITS = (8, 10, 12)
"""Of positions."""
PICTURES = ((8, 60), (32, 30), (64, 30), (64, 70), (128, 40), (128, 80), (256, 50), (512, 60), (1024, 75))
"""Sides of textures and qualities of WebP; the side never grows."""
SHARES = (0.02, 0.7)
"""Parts of the bytes that textures may take."""
RATIOS = tuple(1.1**-step for step in range(75))
"""Ratios of simplification."""
_LEVEL = 19
_MOST = 1 << 32


@dataclass(frozen=True)
class Choice:
    """One way to run a tool."""

    ratio: float
    bits: int
    picture: tuple[int, int]


class GltfTool(Contender):
    """Searches ratios, bits and textures; the best by its looks on a preview within the bytes."""

    kinds = frozenset({Kind.MESH})

    @abstractmethod
    def pack(self, source: Path, target: Path, ratio: float, bits: int) -> None:
        """Run the tool on a GLB. Raises InputError."""

    def encode(self, source: Path, setting: Setting) -> Encoded:
        mesh = load(source)
        assert isinstance(mesh, Mesh)
        assert setting.size is not None
        preview = Preview(mesh)
        best: tuple[float, Choice, bytes] | None = None
        for choice, data in self._fitting(_Small(mesh), setting.size):
            try:
                score = preview.score(self.decode({FILE: data}))
            except Sq3Error:
                continue  # Simplified to nothing.
            if best is None or score > best[0]:
                best = score, choice, data
        if best is None:
            raise TargetSizeError(f"nothing that {self.id} makes fits into {setting.size} bytes")
        _, choice, data = best
        notes = {"ratio": round(choice.ratio, 4), "bits": choice.bits, "texture": choice.picture[0]}
        return Encoded({FILE: data}, {**notes, "quality": choice.picture[1]})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        return load(zstandard.ZstdDecompressor().decompress(files[FILE], max_output_size=_MOST))

    def _fitting(self, small: _Small, size: int) -> Iterator[tuple[Choice, bytes]]:
        """For each number of bits and each texture, what has the most triangles within the bytes."""
        weights = {picture: small.weight(picture) for picture in PICTURES} if small.images else {PICTURES[0]: 0}
        low, high = SHARES
        kept = {p: weight for p, weight in weights.items() if low * size <= weight <= high * size} or {
            p: weight for p, weight in weights.items() if weight == min(weights.values())
        }
        for bits in BITS:
            bare: dict[int, int] = {}
            for picture, weight in kept.items():
                rung = self._rung(small, bits, size - weight, bare)
                # The texture's bytes are those of the smallest one and a difference, give or take a few.
                for lower in range(rung, min(rung + 3, len(RATIOS))):
                    choice = Choice(RATIOS[lower], bits, picture)
                    data = self._packed(small, choice)
                    if data is not None and len(data) <= size:
                        yield choice, data
                        break

    def _rung(self, small: _Small, bits: int, room: float, known: dict[int, int]) -> int:
        """Place in `RATIOS` of the largest whose file without textures fits the room, as if sizes fell evenly.

        Parameters
        ----------
        known : sizes without textures by place; gets those that are found out.
        """
        low, high = 0, len(RATIOS)
        while low < high:
            middle = (low + high) // 2
            if middle not in known:
                data = self._packed(small, Choice(RATIOS[middle], bits, PICTURES[0]))
                # What tools refuse is too little.
                known[middle] = 0 if data is None else len(data) - small.weight(PICTURES[0])
            if known[middle] <= room:
                high = middle
            else:
                low = middle + 1
        return low

    def _packed(self, small: _Small, choice: Choice) -> bytes | None:
        """None where the tool refuses."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.glb"), Path(folder, "out.glb")
            source.write_bytes(small.file(choice.picture))
            try:
                self.pack(source, target, choice.ratio, choice.bits)
                data = target.read_bytes()
            except (Sq3Error, OSError):
                return None
            return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


class _Small:
    """A mesh with nothing but colours, in textures of any size; each is made once."""

    def __init__(self, mesh: Mesh) -> None:
        textures = [material.base_colour_texture for material in mesh.materials]
        self.images = {id(texture.image): texture.image for texture in textures if texture is not None}
        self._mesh = mesh
        self._pixels = {key: image.pixels() for key, image in self.images.items()}
        self._made: dict[tuple[int, int], tuple[bytes, int]] = {}

    def weight(self, picture: tuple[int, int]) -> int:
        """Bytes of the textures."""
        return self._of(picture)[1]

    def file(self, picture: tuple[int, int]) -> bytes:
        """A GLB."""
        return self._of(picture)[0]

    def _of(self, picture: tuple[int, int]) -> tuple[bytes, int]:
        if picture not in self._made:
            images = {key: Image(_webp(pixels, *picture), "image/webp") for key, pixels in self._pixels.items()}
            nodes = tuple(replace(node, name="") for node in self._mesh.nodes)
            materials = tuple(_bare(material, images) for material in self._mesh.materials)
            mesh = replace(self._mesh, materials=materials, nodes=nodes)
            data = write_files(mesh, "in.glb")["in.glb"]
            self._made[picture] = data, sum(len(image.data) for image in images.values())
        return self._made[picture]


def _bare(material: Material, images: Mapping[int, Image]) -> Material:
    """Without maps other than colours, which come from `images` by the identity of the original."""
    texture = material.base_colour_texture
    return replace(
        material,
        name="",
        base_colour_texture=None if texture is None else replace(texture, image=images[id(texture.image)]),
        metallic_roughness_texture=None,
        normal_texture=None,
        occlusion_texture=None,
        emissive_texture=None,
    )


def _webp(pixels: NDArray[np.uint8], side: int, quality: int) -> bytes:
    import PIL.Image

    picture = PIL.Image.fromarray(pixels if (pixels[:, :, 3] < 255).any() else pixels[:, :, :3])
    picture.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, format="WEBP", quality=quality, method=6)
    return out.getvalue()
