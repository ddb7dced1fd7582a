"""Materials, textures and images of a glTF file."""

from __future__ import annotations

import io
import warnings
from urllib.parse import unquote

from squeeze3d.assets.gltf_container import Buffers, is_data_uri
from squeeze3d.assets.gltf_json import Item, describe, printable
from squeeze3d.assets.gltf_losses import Tally
from squeeze3d.assets.image import Image, Texture, TextureTransform, Wrap, sniff_mime
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import AlphaMode, Material
from squeeze3d.errors import FormatError

_ALPHA_MODES: dict[str, AlphaMode] = {"OPAQUE": "OPAQUE", "MASK": "MASK", "BLEND": "BLEND"}
_FILTERS = (9728, 9729, 9984, 9985, 9986, 9987)
_IMAGE_EXTENSIONS = ("EXT_texture_avif", "EXT_texture_webp")
_UNDECODABLE = ("image/ktx2", "image/vnd-ms.dds")


class MaterialReader:
    """Reads materials by index. Images used twice become one `Image` object."""

    def __init__(self, buffers: Buffers, losses: LossReport, tally: Tally) -> None:
        self._buffers = buffers
        self._document = buffers.document
        self._losses = losses
        self._tally = tally
        self._images: dict[int, Image | None] = {}

    def read(self, index: int) -> Material:
        """Material `index`; what `Material` cannot hold is reported."""
        item = self._document.array("materials")[index]
        name = item.text("name")
        pbr = item.child("pbrMetallicRoughness") or Item({}, "`pbrMetallicRoughness`", item)
        base_colour = pbr.numbers("baseColorFactor", 4, (1.0, 1.0, 1.0, 1.0))
        base_texture = self._texture(pbr, "baseColorTexture")
        metallic, roughness = pbr.number("metallicFactor", 1.0), pbr.number("roughnessFactor", 1.0)
        metallic_texture = self._texture(pbr, "metallicRoughnessTexture")
        glossy = item.extension("KHR_materials_pbrSpecularGlossiness")
        if glossy is not None:
            text = "KHR_materials_pbrSpecularGlossiness, kept as diffuse colour and roughness,"
            self._tally.note("specular-glossiness", text, "material", name)
            base_colour = glossy.numbers("diffuseFactor", 4, (1.0, 1.0, 1.0, 1.0))
            base_texture = self._texture(glossy, "diffuseTexture")
            metallic, roughness = 0.0, 1.0 - glossy.number("glossinessFactor", 1.0)
            metallic_texture = None
        red, green, blue, alpha = (_unit(x) for x in base_colour)
        return Material(
            name=name,
            base_colour=(red, green, blue, alpha),
            base_colour_texture=base_texture,
            metallic=_unit(metallic),
            roughness=_unit(roughness),
            metallic_roughness_texture=metallic_texture,
            normal_texture=self._scaled_texture(item, "normalTexture", "scale", "normal-scale"),
            occlusion_texture=self._scaled_texture(item, "occlusionTexture", "strength", "occlusion-strength"),
            emissive=_emissive(item),
            emissive_texture=self._texture(item, "emissiveTexture"),
            alpha_mode=_alpha_mode(item),
            alpha_cutoff=max(item.number("alphaCutoff", 0.5), 0.0),
            double_sided=item.flag("doubleSided"),
            unlit=item.extension("KHR_materials_unlit") is not None,
        )

    def _scaled_texture(self, item: Item, key: str, factor: str, feature: str) -> Texture | None:
        """A texture whose reference carries a factor that `Material` has no field for."""
        reference = item.child(key)
        if reference is not None and (value := reference.number(factor, 1.0)) != 1.0:
            self._tally.note(feature, f"{key} {factor} {value:g}", "material", item.text("name"))
        return self._texture(item, key)

    def _texture(self, owner: Item, key: str) -> Texture | None:
        """The texture that `owner[key]` refers to, or None if there is none that can be used."""
        reference = owner.child(key)
        if reference is None:
            return None
        found = self._document.follow(reference, "index", "textures")
        if found is None:
            raise reference.error("`index` is missing")
        texture = found[1]
        image = self._texture_image(texture)
        if image is None:
            return None
        uv_set = reference.integer("texCoord", 0)
        transform = None
        placed = reference.extension("KHR_texture_transform")
        if placed is not None:
            uv_set = placed.integer("texCoord", uv_set)
            transform = _transform(placed)
        wrap, filters = self._sampler(texture)
        return Texture(image, uv_set, wrap, transform, filters)

    def _texture_image(self, texture: Item) -> Image | None:
        """The best image that can be used: newer encodings first, then the plain one."""
        sources = [x for name in _IMAGE_EXTENSIONS if (x := texture.extension(name)) is not None]
        for holder in (*sources, texture):
            found = self._document.follow(holder, "source", "images")
            if found is not None and (image := self._image(*found)) is not None:
                return image
        if not sources and "source" not in texture:
            names = ", ".join(map(printable, texture.extension_names())) or "no image"
            detail = f"{texture.where} has only {names[:80]}, which cannot be read; dropped"
            self._losses.add("unsupported-texture", detail, warning=True)
        return None

    def _image(self, index: int, item: Item) -> Image | None:
        if index not in self._images:
            self._images[index] = self._load_image(item)
        return self._images[index]

    def _load_image(self, item: Item) -> Image | None:
        """The encoded image, or None with a warning if it is missing or cannot be decoded."""
        name, uri = item.text("name"), item.text("uri")
        data: bytes | None
        if uri:
            try:
                data = self._buffers.resource(item)
            except FormatError as error:
                self._losses.add("missing-texture", f"{error.message}; dropped", warning=True)
                return None
            if not is_data_uri(uri):
                name = name or unquote(uri)
        else:
            data = bytes(self._buffers.view(item.integer("bufferView"), item).data)
        label = f"{item.where} ({printable(name)[:80]})" if name else item.where
        if not data:
            problem = "is empty" if data is not None else "is missing"
            self._losses.add("missing-texture", f"{label} {problem}; dropped", warning=True)
            return None
        mime = sniff_mime(data)
        if mime in _UNDECODABLE:
            self._losses.add("unsupported-texture", f"{label} is {mime}, which cannot be read", warning=True)
            return None
        problem = _header_problem(data)
        if problem:
            self._losses.add("missing-texture", f"{label} cannot be decoded: {problem}; dropped", warning=True)
            return None
        return Image(data, mime if mime.startswith("image/") else item.text("mimeType"), name)

    def _sampler(self, texture: Item) -> tuple[tuple[Wrap, Wrap], tuple[int | None, int | None]]:
        """Wrap modes and (magnification, minification) filters of a texture."""
        found = self._document.follow(texture, "sampler", "samplers")
        if found is None:
            return (Wrap.REPEAT, Wrap.REPEAT), (None, None)
        sampler = found[1]
        return (
            (self._wrap(sampler, "wrapS"), self._wrap(sampler, "wrapT")),
            (self._filter(sampler, "magFilter"), self._filter(sampler, "minFilter")),
        )

    def _wrap(self, sampler: Item, key: str) -> Wrap:
        value = sampler.integer(key, int(Wrap.REPEAT))
        if value in tuple(Wrap):
            return Wrap(value)
        # Old exporters write other OpenGL constants here; viewers fall back to repeating as well.
        self._tally.note("invalid-sampler", f"{key} {value} read as REPEAT", "sampler", warning=True)
        return Wrap.REPEAT

    def _filter(self, sampler: Item, key: str) -> int | None:
        if key not in sampler:
            return None
        value = sampler.integer(key)
        if value in _FILTERS:
            return value
        self._tally.note("invalid-sampler", f"{key} {value} ignored", "sampler", warning=True)
        return None


def _unit(value: float) -> float:
    """Clamp a factor to [0, 1], as the specification bounds it."""
    return min(max(value, 0.0), 1.0)


def _emissive(item: Item) -> tuple[float, float, float]:
    """Emissive factor times KHR_materials_emissive_strength."""
    strength = 1.0
    extension = item.extension("KHR_materials_emissive_strength")
    if extension is not None:
        strength = max(extension.number("emissiveStrength", 1.0), 0.0)
    red, green, blue = (_unit(x) * strength for x in item.numbers("emissiveFactor", 3, (0.0, 0.0, 0.0)))
    return red, green, blue


def _alpha_mode(item: Item) -> AlphaMode:
    mode = item.text("alphaMode", "OPAQUE")
    if mode not in _ALPHA_MODES:
        raise item.error(f"`alphaMode` must be OPAQUE, MASK or BLEND, not {describe(mode)}")
    return _ALPHA_MODES[mode]


def _transform(item: Item) -> TextureTransform | None:
    """A KHR_texture_transform; None where it changes nothing."""
    offset_u, offset_v = item.numbers("offset", 2, (0.0, 0.0))
    scale_u, scale_v = item.numbers("scale", 2, (1.0, 1.0))
    transform = TextureTransform((offset_u, offset_v), item.number("rotation", 0.0), (scale_u, scale_v))
    return None if transform == TextureTransform() else transform


def _header_problem(data: bytes) -> str:
    """Why Pillow cannot open an image, or nothing.

    Only the header and, for PNG, the checksums are looked at: decoding pixels of every texture would make
    reading ten times slower.
    """
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data)) as image:
                image.verify()
    except PIL.Image.DecompressionBombError:
        # Not damaged, only large; whoever asks for pixels gets the LimitError.
        return ""
    except PIL.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # Pillow plugins raise many kinds for damaged data
        return printable(str(error))[:80] or type(error).__name__
    return ""
