"""Textures: re-encoded at a quality, or kept where that is smaller or asked.

What an image is for decides how. Colours become WebP. Normals, roughness and the like are numbers whose channels must
not blur into each other, but WebP halves the resolution of colour: a noisy normal map stays at 23 dB whatever the
quality, where AVIF reaches 27 dB in fewer bytes. WebP keeps an alpha channel exactly, and the colours below it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import MAX_PIXELS, sniff_mime
from squeeze3d.codecs.scene.document import Json, Scene, add_extension_name
from squeeze3d.codecs.scene.options import TextureFormat
from squeeze3d.codecs.scene.structure import objects

if TYPE_CHECKING:
    import PIL.Image

COLOURS = frozenset(
    {
        "baseColorTexture",
        "emissiveTexture",
        "diffuseTexture",
        "sheenColorTexture",
        "specularColorTexture",
        "specularGlossinessTexture",
        "diffuseTransmissionColorTexture",
    }
)
"""Slots of materials that hold colours; all others hold numbers."""
EXTENSIONS = {"image/webp": "EXT_texture_webp", "image/avif": "EXT_texture_avif"}
PEAK = 99.0
"""PSNR in dB that stands for equal images."""
_ENOUGH, _DOUBLING = 60.0, 6.0
"""PSNR from which no more is wanted, and dB that are worth twice the bytes."""
_AVIF_SCALE = 0.74
"""Quality of AVIF that looks about like one of WebP: 55 like 75."""
_MAX_WEBP = 16383
_EFFORT = 4
_SPEED = 7


@dataclass(frozen=True)
class TextureSettings:
    """How textures are encoded."""

    quality: int
    format: TextureFormat
    side: int
    """Largest side in pixels; 0 keeps sizes."""


@dataclass(frozen=True)
class CodedImage:
    """One image as it is stored."""

    data: bytes
    mime: str
    psnr: float
    """Against the original, in dB; `PEAK` where nothing changed."""
    remark: str = ""
    """What else changed, or why it is kept."""


class Texture:
    """One image of a scene; encodings are remembered."""

    def __init__(self, data: bytes, mime: str, *, colours: bool) -> None:
        self.data = data
        self.mime = mime
        self.colours = colours
        self.size: tuple[int, int] | None = None
        self._reason = ""
        self._pixels: NDArray[np.uint8] | None = None
        self._known: dict[tuple[int, int, str], CodedImage] = {}
        self._open()

    def _open(self) -> None:
        import PIL.Image

        try:
            with PIL.Image.open(io.BytesIO(self.data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    self._reason = "it is too large"
                    return
                if image.mode.startswith(("I", "F")):
                    self._reason = "it has more than 8 bits a channel"
                    return
                alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                pixels = np.asarray(image.convert("RGBA" if alpha else "RGB"), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError, EOFError, PIL.Image.DecompressionBombError):
            self._reason = "it cannot be decoded"
            return
        if pixels.shape[2] == 4 and pixels[:, :, 3].min() == 255:
            pixels = pixels[:, :, :3]
        self._pixels = np.ascontiguousarray(pixels)
        self.size = pixels.shape[1], pixels.shape[0]

    def encode(self, settings: TextureSettings) -> CodedImage:
        """The image at some settings."""
        kept = CodedImage(self.data, self.mime, PEAK)
        if settings.format is TextureFormat.KEEP:
            return kept
        if self._pixels is None or self.size is None:
            return CodedImage(self.data, self.mime, PEAK, f"kept as it is: {self._reason}")
        side = settings.side if 0 < settings.side < max(self.size) else 0
        formats = self._formats() if settings.format is TextureFormat.AUTO else [str(settings.format)]
        found = [self._encoded(settings.quality, side, each) for each in formats]
        best = min(found, key=lambda coded: len(coded.data) * 2 ** (-min(coded.psnr, _ENOUGH) / _DOUBLING))
        return kept if not side and len(kept.data) <= len(best.data) else best

    def _formats(self) -> list[str]:
        """What to try for this image."""
        import PIL.features
        import PIL.Image

        assert self._pixels is not None
        if self.colours or self._pixels.shape[2] == 4 or not PIL.features.check("avif"):
            return ["webp"]
        return ["avif", "webp"] if _is_flat(PIL.Image.fromarray(self._pixels)) else ["avif"]

    def _encoded(self, quality: int, side: int, kind: str) -> CodedImage:
        key = quality, side, kind
        if key not in self._known:
            self._known[key] = self._encode(quality, side, kind)
        return self._known[key]

    def _encode(self, quality: int, side: int, kind: str) -> CodedImage:
        import PIL.Image

        assert self._pixels is not None
        assert self.size is not None
        image = PIL.Image.fromarray(self._pixels)
        remark = ""
        if side:
            factor = side / max(self.size)
            size = max(1, round(self.size[0] * factor)), max(1, round(self.size[1] * factor))
            image = _resized(image, size)
            remark = f"{self.size[0]} x {self.size[1]} pixels made {size[0]} x {size[1]}"
        if kind == "webp" and max(image.size) > _MAX_WEBP:
            return CodedImage(self.data, self.mime, PEAK, "kept as it is: WebP holds no image so large")
        data = _webp(image, quality, colours=self.colours) if kind == "webp" else _avif(image, quality, self.colours)
        return CodedImage(data, f"image/{kind}", self._psnr(data), remark)

    def _psnr(self, data: bytes) -> float:
        import PIL.Image

        assert self._pixels is not None
        with PIL.Image.open(io.BytesIO(data)) as image:
            decoded = image.convert("RGB" if self._pixels.shape[2] == 3 else "RGBA")
            if decoded.size != self.size:
                decoded = decoded.resize(self.size or decoded.size, PIL.Image.Resampling.BICUBIC)
            back = np.asarray(decoded)
        total = 0.0
        for start in range(0, len(back), 256):  # A few rows at a time: the difference of a large image is larger still.
            part = slice(start, start + 256)
            difference = back[part].astype(np.float32) - self._pixels[part].astype(np.float32)
            total += float((difference**2).sum(dtype=np.float64))
        mean = total / back.size
        return PEAK if mean == 0 else min(PEAK, 10 * math.log10(255**2 / mean))


def _resized(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    """Channels are resized on their own: colours below transparent alpha may be seen by opaque materials."""
    import PIL.Image

    channels = [channel.resize(size, PIL.Image.Resampling.LANCZOS) for channel in image.split()]
    return PIL.Image.merge(image.mode, channels)


def _webp(image: PIL.Image.Image, quality: int, *, colours: bool) -> bytes:
    """The smaller of lossy and lossless WebP: flat palettes are both smaller and exact without loss."""
    lossy, exact = io.BytesIO(), io.BytesIO()
    more: dict[str, Any] = {} if colours else {"use_sharp_yuv": True}
    image.save(lossy, "WEBP", quality=quality, method=_EFFORT, alpha_quality=100, exact=True, **more)
    if _is_flat(image):
        image.save(exact, "WEBP", lossless=True, quality=80, method=_EFFORT, exact=True)
        if exact.tell() <= 1.1 * lossy.tell():
            return exact.getvalue()
    return lossy.getvalue()


def _is_flat(image: PIL.Image.Image) -> bool:
    """Whether there are so few colours that lossless coding may pay."""
    return image.getcolors(min(4096, image.width * image.height // 8)) is not None


def _avif(image: PIL.Image.Image, quality: int, colours: bool) -> bytes:
    out = io.BytesIO()
    quality = max(1, round(_AVIF_SCALE * quality))
    image.save(out, "AVIF", quality=quality, speed=_SPEED, subsampling="4:2:0" if colours else "4:4:4", max_threads=1)
    return out.getvalue()


def textures_of(scene: Scene) -> dict[int, Texture]:
    """Images of a scene that have bytes."""
    slots = image_slots(scene.root)
    return {
        index: Texture(
            data,
            str(objects(scene.root, "images")[index].get("mimeType") or sniff_mime(data)),
            colours=slots.get(index, {"?"}) <= COLOURS,
        )
        for index, data in scene.images.items()
    }


def image_slots(root: Json) -> dict[int, set[str]]:
    """Names of the material slots that read each image."""
    textures = objects(root, "textures")
    found: dict[int, set[str]] = {}
    pending: list[Any] = list(objects(root, "materials"))
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        if not isinstance(value, dict):
            continue
        for key, inner in value.items():
            number = inner.get("index") if key.endswith("Texture") and isinstance(inner, dict) else None
            if type(number) is int and 0 <= number < len(textures):
                for image in _sources(textures[number]):
                    found.setdefault(image, set()).add(key)
            if key != "extras":
                pending.append(inner)
    return found


def _sources(texture: Json) -> list[int]:
    owners = [texture, *(texture.get("extensions") or {}).values()]
    return [owner["source"] for owner in owners if isinstance(owner, dict) and type(owner.get("source")) is int]


def point_textures(root: Json, mimes: dict[int, str]) -> None:
    """Make textures refer to images that became WebP or AVIF by the extension which that takes.

    Parameters
    ----------
    mimes : new media type by image, for those that changed.
    """
    for texture in objects(root, "textures"):
        source = texture.get("source")
        extension = EXTENSIONS.get(mimes.get(source, "")) if type(source) is int else None
        extensions = texture.get("extensions") or {}
        if extension is not None and extension not in extensions:
            del texture["source"]
            texture["extensions"] = {**extensions, extension: {"source": source}}
            add_extension_name(root, extension, required=True)
        for old in EXTENSIONS.values():
            inner = (texture.get("extensions") or {}).get(old)
            image = inner.get("source") if isinstance(inner, dict) else None
            new = EXTENSIONS.get(mimes.get(image, "")) if type(image) is int else None
            if new is not None and new != old:
                # A fallback for viewers without the old extension says nothing about the new one.
                texture["extensions"][new] = texture["extensions"].pop(old)
                add_extension_name(root, new, required=True)
    for index, mime in mimes.items():
        objects(root, "images")[index]["mimeType"] = mime
