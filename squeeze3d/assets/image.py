"""Images and textures as assets hold them: encoded bytes first, pixels on demand."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import InputError, LimitError

MAX_PIXELS = 1 << 28
"""Largest image that is decoded: 16384 x 16384. Guards against decompression bombs."""

_MIME_BY_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\xabKTX 20\xbb", "image/ktx2"),
    (b"DDS ", "image/vnd-ms.dds"),
)


def sniff_mime(data: bytes) -> str:
    """Media type of an encoded image from its first bytes; `application/octet-stream` when unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return next((mime for magic, mime in _MIME_BY_MAGIC if data.startswith(magic)), "application/octet-stream")


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An encoded image exactly as a file holds it, so that nothing is lost until somebody asks for pixels."""

    data: bytes
    """Encoded bytes (PNG, JPEG, WebP, AVIF ...)."""
    mime: str = ""
    """Media type; sniffed from `data` when empty."""
    name: str = ""
    """Name or file name in the source; may be empty."""

    def __post_init__(self) -> None:
        if not self.mime:
            object.__setattr__(self, "mime", sniff_mime(self.data))

    def pixels(self) -> NDArray[np.uint8]:
        """Decode to (H, W, 4) uint8 RGBA, sRGB as stored, row 0 at the top.

        Raises
        ------
        InputError : the bytes are not an image Pillow can read.
        LimitError : the image has more than `MAX_PIXELS` pixels.
        """
        import PIL.Image

        label = self.name or self.mime
        try:
            with PIL.Image.open(io.BytesIO(self.data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise LimitError(f"image `{label}` is {image.width} x {image.height}: over {MAX_PIXELS} pixels")
                if image.mode.startswith("I;16"):
                    # Pillow clips 16-bit grey to 255 when converting; keep the high byte instead.
                    grey = (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)
                    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])
                return np.asarray(image.convert("RGBA"), dtype=np.uint8).copy()
        except PIL.Image.DecompressionBombError as error:
            raise LimitError(f"image `{label}` is too large: {error}") from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise InputError(
                f"image `{label}` cannot be decoded: {error}", hint="re-export the asset with PNG or JPEG textures"
            ) from None

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.uint8], *, name: str = "", mime: str = "image/png") -> Image:
        """Encode (H, W, 3 or 4) uint8 pixels, losslessly as PNG by default."""
        import PIL.Image

        out = io.BytesIO()
        PIL.Image.fromarray(pixels).save(out, format=mime.removeprefix("image/").upper())
        return cls(out.getvalue(), mime, name)


class Wrap(IntEnum):
    """Texture addressing outside [0, 1]; values are the OpenGL constants glTF uses."""

    REPEAT = 10497
    CLAMP = 33071
    MIRROR = 33648


@dataclass(frozen=True, slots=True)
class TextureTransform:
    """KHR_texture_transform: uv' = translation · rotation · scale · uv."""

    offset: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    """Radians, counter-clockwise."""
    scale: tuple[float, float] = (1.0, 1.0)

    def apply(self, uv: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform (N, 2) coordinates as the extension's specification defines it."""
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        u, v = uv[:, 0] * self.scale[0], uv[:, 1] * self.scale[1]
        moved = np.stack([c * u + s * v + self.offset[0], -s * u + c * v + self.offset[1]], axis=1)
        return moved.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """How a material reads an image.

    UV convention: glTF's. (0, 0) is the top left corner of the image; v grows downwards. Readers of formats with
    the origin at the bottom (OBJ, PLY) flip v, their writers flip it back.
    """

    image: Image
    uv_set: int = 0
    """Which of a primitive's `uvs` it reads."""
    wrap: tuple[Wrap, Wrap] = (Wrap.REPEAT, Wrap.REPEAT)
    """Addressing along u and v."""
    transform: TextureTransform | None = None
    filters: tuple[int | None, int | None] = field(default=(None, None))
    """glTF magnification and minification filters; kept, not interpreted."""
