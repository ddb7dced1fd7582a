"""Materials, textures, samplers and images of a glTF file that is written, each stored once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material
from squeeze3d.errors import InputError, LimitError

Json = dict[str, Any]

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/avif": ".avif"}
_EXTENSIONS = {"image/webp": "EXT_texture_webp", "image/avif": "EXT_texture_avif"}


class MaterialWriter:
    """Collects the JSON of materials and everything they refer to.

    `add_image(image, number, suffix)` stores the encoded bytes and returns the glTF image object.
    """

    def __init__(self, losses: LossReport, add_image: Callable[[Image, int, str], Json]) -> None:
        self._losses = losses
        self._add_image = add_image
        self._materials: list[Json] = []
        self._textures: list[Json] = []
        self._samplers: list[Json] = []
        self._images: list[Json] = []
        self._image_of: dict[int, tuple[int, str] | None] = {}
        self._kept: list[Image] = []
        self._texture_of: dict[tuple[int, object], int] = {}
        self._sampler_of: dict[object, int] = {}
        self._used: set[str] = set()
        self._required: set[str] = set()

    def arrays(self) -> Json:
        """The top-level arrays, without empty ones."""
        arrays = {
            "materials": self._materials,
            "textures": self._textures,
            "samplers": self._samplers,
            "images": self._images,
        }
        return {key: values for key, values in arrays.items() if values}

    def extension_lists(self) -> Json:
        """`extensionsUsed` and `extensionsRequired`, where there are any."""
        lists = {"extensionsUsed": sorted(self._used), "extensionsRequired": sorted(self._required)}
        return {key: values for key, values in lists.items() if values}

    def add(self, material: Material) -> None:
        """Append one material; members at their default are left out."""
        pbr = _without_defaults(
            {
                "baseColorFactor": (list(material.base_colour), [1.0, 1.0, 1.0, 1.0]),
                "baseColorTexture": (self._texture_info(material.base_colour_texture), None),
                "metallicFactor": (material.metallic, 1.0),
                "roughnessFactor": (material.roughness, 1.0),
                "metallicRoughnessTexture": (self._texture_info(material.metallic_roughness_texture), None),
            }
        )
        extensions: Json = {}
        emissive = list(material.emissive)
        if max(emissive) > 1:
            # A power of two: factor times strength gives back exactly the same floats.
            strength = 2.0 ** math.ceil(math.log2(max(emissive)))
            emissive = [x / strength for x in emissive]
            extensions["KHR_materials_emissive_strength"] = {"emissiveStrength": strength}
        if material.unlit:
            extensions["KHR_materials_unlit"] = {}
        self._used |= extensions.keys()
        self._materials.append(
            _without_defaults(
                {
                    "name": (material.name, ""),
                    "pbrMetallicRoughness": (pbr, {}),
                    "normalTexture": (self._texture_info(material.normal_texture), None),
                    "occlusionTexture": (self._texture_info(material.occlusion_texture), None),
                    "emissiveTexture": (self._texture_info(material.emissive_texture), None),
                    "emissiveFactor": (emissive, [0.0, 0.0, 0.0]),
                    # The schema wants `alphaMode` spelled out next to a cutoff.
                    "alphaMode": (material.alpha_mode, "OPAQUE" if material.alpha_cutoff == 0.5 else ""),
                    "alphaCutoff": (material.alpha_cutoff, 0.5),
                    "doubleSided": (material.double_sided, False),
                    "extensions": (extensions, {}),
                }
            )
        )

    def _texture_info(self, texture: Texture | None) -> Json | None:
        """The reference to a texture, with its UV set and transform."""
        if texture is None:
            return None
        image = self._image(texture.image)
        if image is None:
            return None
        info: Json = {"index": self._texture(image, texture)}
        if texture.uv_set:
            info["texCoord"] = texture.uv_set
        if texture.transform is not None:
            moved = _without_defaults(
                {
                    "offset": (list(texture.transform.offset), [0.0, 0.0]),
                    "rotation": (texture.transform.rotation, 0.0),
                    "scale": (list(texture.transform.scale), [1.0, 1.0]),
                }
            )
            if moved:
                info["extensions"] = {"KHR_texture_transform": moved}
                self._used.add("KHR_texture_transform")
        return info

    def _texture(self, image: tuple[int, str], texture: Texture) -> int:
        key = (image[0], (texture.wrap, texture.filters))
        if key not in self._texture_of:
            written: Json = {}
            sampler = self._sampler(texture)
            if sampler is not None:
                written["sampler"] = sampler
            extension = _EXTENSIONS.get(image[1])
            if extension is None:
                written["source"] = image[0]
            else:
                written["extensions"] = {extension: {"source": image[0]}}
                self._used.add(extension)
                self._required.add(extension)
            self._texture_of[key] = len(self._textures)
            self._textures.append(written)
        return self._texture_of[key]

    def _sampler(self, texture: Texture) -> int | None:
        """Index of the sampler; None for glTF's default one."""
        sampler = _without_defaults(
            {
                "magFilter": (texture.filters[0], None),
                "minFilter": (texture.filters[1], None),
                "wrapS": (int(texture.wrap[0]), int(Wrap.REPEAT)),
                "wrapT": (int(texture.wrap[1]), int(Wrap.REPEAT)),
            }
        )
        if not sampler:
            return None
        key = tuple(sampler.items())
        if key not in self._sampler_of:
            self._sampler_of[key] = len(self._samplers)
            self._samplers.append(sampler)
        return self._sampler_of[key]

    def _image(self, image: Image) -> tuple[int, str] | None:
        """(index, media type) of an image; None if it cannot be stored."""
        if id(image) not in self._image_of:
            self._kept.append(image)  # keeps the id from being reused
            allowed = self._allowed(image)
            if allowed is None:
                self._image_of[id(image)] = None
            else:
                number = len(self._images)
                self._image_of[id(image)] = number, allowed.mime
                self._images.append(self._add_image(allowed, number, _SUFFIXES[allowed.mime]))
        return self._image_of[id(image)]

    def _allowed(self, image: Image) -> Image | None:
        """The image in an encoding glTF allows, as PNG if need be; None with a loss if that fails."""
        if image.mime in _SUFFIXES:
            return image
        label = f"image `{image.name or image.mime}`"
        try:
            converted = Image.from_pixels(image.pixels(), name=image.name)
        except (InputError, LimitError) as error:
            detail = f"{label} cannot be stored in glTF: {error.message}"
            self._losses.add("unsupported-texture", detail, stage="write", warning=True)
            return None
        self._losses.add("texture-encoding", f"{label} stored as PNG instead of {image.mime}", stage="write")
        return converted


def _without_defaults(members: dict[str, tuple[Any, Any]]) -> Json:
    """Keep the members of {name: (value, default)} that differ from their default."""
    return {key: value for key, (value, default) in members.items() if value != default}
