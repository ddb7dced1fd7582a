"""Still pictures as bare AV1 key frames: what an AVIF file holds beside 280 bytes that say nothing new.

```text
pixels ─► AVIF by Pillow ─► sequence header, frame ─► bytes          bytes ─► put back into an AVIF file ─► pixels
```

Whoever decodes knows width, height and subsampling already; everything else in the boxes of an AVIF file follows from
them and from the sequence header (AV1 Image File Format 1.1; AV1 bitstream specification, section 5.5).
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, MissingExtraError

SPEED = 6
"""Of libaom, where speed matters; 0 is slowest."""
TUNING = {"tune": "psnr"}
"""Of libaom. Otherwise it favours the sharpness of pictures seen at their own size, at a cost of 0.5 to 2.9 dB."""
UNITS = 2
"""A sequence header and a frame; each carries its size."""
_TEMPORAL_DELIMITER = 2
_NCLX = b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)
"""BT.709 primaries, sRGB, BT.601 matrix, full range: what Pillow writes."""


def encode_still(pixels: NDArray[np.uint8], quality: int, *, subsampled: bool, speed: int = SPEED) -> bytes:
    """Code (H, W, 3) sRGB pixels.

    Parameters
    ----------
    quality : 0 to 100.
    subsampled : whether colour has half the resolution (4:2:0).

    Raises MissingExtraError if Pillow was built without AVIF.
    """
    import PIL.Image

    _check_support()
    file = io.BytesIO()
    subsampling = "4:2:0" if subsampled else "4:4:4"
    PIL.Image.fromarray(pixels).save(
        file, "AVIF", quality=quality, speed=speed, subsampling=subsampling, max_threads=1, advanced=TUNING
    )
    return _units(_item(file.getvalue()))


def decode_still(data: bytes, width: int, height: int, *, subsampled: bool) -> NDArray[np.uint8]:
    """Inverse of `encode_still`: (height, width, 3) sRGB pixels.

    Raises FormatError where the bytes are no such picture, MissingExtraError as `encode_still`.
    """
    import PIL.Image

    _check_support()
    try:
        with PIL.Image.open(io.BytesIO(_file(data, width, height, subsampled))) as image:
            if image.size != (width, height):
                raise FormatError(f"a picture has {image.width} x {image.height} pixels, not {width} x {height}")
            return np.asarray(image.convert("RGB"), dtype=np.uint8).copy()
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, PIL.Image.DecompressionBombError) as error:
        raise FormatError(f"the picture of the surface cannot be decoded: {error}") from None


def _check_support() -> None:
    from PIL import features

    if not features.check("avif"):
        raise MissingExtraError("Pillow here cannot read AVIF", hint="pip install 'Pillow>=11.3'")


def _boxes(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Where the content of each box lies; the last of a kind."""
    found = {}
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        assert size >= 8, "Pillow writes no boxes of other kinds"
        found[data[start + 4 : start + 8]] = (start + 8, start + size)
        start += size
    return found


def _item(file: bytes) -> bytes:
    """The one item of an AVIF file."""
    start, end = _boxes(file, 0, len(file))[b"mdat"]
    return file[start:end]


def _units(item: bytes) -> bytes:
    """Sequence header and frame; a still picture needs no temporal delimiter."""
    kept = []
    at = 0
    while at < len(item):
        kind = item[at] >> 3 & 15
        assert item[at] & 6 == 2, "units carry their size and have no extension"
        size, length = 0, 1
        while True:
            byte = item[at + length]
            size |= (byte & 127) << 7 * (length - 1)
            length += 1
            if byte < 128:
                break
        if kind != _TEMPORAL_DELIMITER:
            kept.append(item[at : at + length + size])
        at += length + size
    assert len(kept) == UNITS, "a still picture has one frame"
    return b"".join(kept)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)


def _file(data: bytes, width: int, height: int, subsampled: bool) -> bytes:
    """An AVIF file around a key frame."""
    if len(data) < 4:
        raise FormatError("the picture of the surface is cut short")
    # Profile and level are in the first byte and a bit of the sequence header, behind its type and size.
    profile, level = data[2] >> 5, (data[2] & 7) << 2 | data[3] >> 6
    config = bytes([0x81, profile << 5 | level, 0x0C if subsampled else 0, 0])
    properties = _box(
        b"ipco",
        _full(b"ispe", struct.pack(">II", width, height)),
        _full(b"pixi", bytes([3, 8, 8, 8])),
        _box(b"av1C", config),
        _box(b"colr", _NCLX),
    )
    uses = _full(b"ipma", struct.pack(">IHB4B", 1, 1, 4, 1, 2, 0x83, 4))
    kind = _box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")

    def meta(offset: int) -> bytes:
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full(b"pitm", struct.pack(">H", 1)),
            _full(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(data))),
            _full(b"iinf", struct.pack(">H", 1), _full(b"infe", struct.pack(">HH", 1, 0), b"av01", b"\0", version=2)),
            _box(b"iprp", properties, uses),
        )

    offset = len(kind) + len(meta(0)) + 8
    return kind + meta(offset) + _box(b"mdat", data)
