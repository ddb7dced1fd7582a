"""A contact sheet: original, decoded and their difference, side by side, as a PNG.

```text
caption: names, bytes, ratio, figures
          albedo                          shaded (meshes)
view 1    original  decoded  difference   original  decoded  difference
view 4    ...
scale of the difference
```

The pictures are those that the figures are computed from, pixel for pixel.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.quality.report import Comparison, Side, format_ratio

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

EVERY = 3
"""Every third of the twelve views: two from above, two from below, a quarter turn or more apart."""
AMPLIFIED = 4
"""How much stronger than the real one the difference is shown."""

_GAP, _GROUP_GAP, _MARGIN = 8, 28, 24
_TITLE, _TEXT = 22, 16
_INK, _SOFT = (24, 28, 36), (92, 99, 112)
_FRAME = (226, 229, 235)

# White, yellow, orange, dark red, black: even steps of lightness, readable without seeing colour.
_STOPS = np.array([(255, 255, 255), (253, 216, 120), (240, 110, 50), (134, 18, 62), (12, 6, 20)], dtype=np.float64)


def contact_sheet(comparison: Comparison) -> bytes:
    """The sheet as a PNG file."""
    buffer = io.BytesIO()
    draw_sheet(comparison).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def draw_sheet(comparison: Comparison) -> Image:
    """The sheet as a Pillow image."""
    from PIL import Image, ImageDraw

    groups = _tiles(comparison)
    rows, size = len(groups[0][1]), groups[0][1][0][0].shape[0]
    columns = ("original", "decoded" if comparison.other.codec else "other", f"difference x{AMPLIFIED}")
    group_width = len(columns) * size + (len(columns) - 1) * _GAP
    width = 2 * _MARGIN + len(groups) * group_width + (len(groups) - 1) * _GROUP_GAP
    top = _MARGIN + 2 * 30 + 24 + 2 * 26
    height = top + rows * (size + _GAP) + 44 + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    _caption(draw, comparison, width)
    for group, (title, pictures) in enumerate(groups):
        left = _MARGIN + group * (group_width + _GROUP_GAP)
        _write(draw, (left, top - 54), title, _TEXT, _INK)
        draw.line((left, top - 30, left + group_width - 1, top - 30), fill=_FRAME)
        for column, heading in enumerate(columns):
            x = left + column * (size + _GAP)
            _write(draw, (x, top - 25), heading, _TEXT, _SOFT)
            for row, tiles in enumerate(pictures):
                y = top + row * (size + _GAP)
                sheet.paste(Image.fromarray(tiles[column]), (x, y))
                draw.rectangle((x - 1, y - 1, x + size, y + size), outline=_FRAME)
    _scale(sheet, draw, top + rows * (size + _GAP) + 12)
    return sheet


def difference(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W, 3) picture of the largest absolute difference of any channel, amplified; white is none."""
    error = np.clip(np.abs(first.astype(np.float64) - second).max(axis=2) * AMPLIFIED, 0, 1)
    return _heat(error)


def _heat(error: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of values in [0, 1]."""
    place = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(error, place, _STOPS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _tiles(comparison: Comparison) -> list[tuple[str, list[tuple[NDArray[np.uint8], ...]]]]:
    """Per group a title, and per view original, decoded and difference."""
    ours, theirs = comparison.reference.images, comparison.views
    groups: list[tuple[str, list[tuple[NDArray[np.uint8], ...]]]] = []
    for channel, title in (("albedo", "albedo (unlit colour)"), ("shaded", "shaded (headlight)")):
        a, b = getattr(ours, channel), getattr(theirs, channel)
        if a is None or b is None:
            continue
        if len(comparison.reference.channels) == 2:
            title = "as seen"
        views = range(0, len(a), EVERY)
        groups.append((title, [(_bytes(a[i]), _bytes(b[i]), difference(a[i], b[i])) for i in views]))
    return groups


def _bytes(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _caption(draw: ImageDraw, comparison: Comparison, width: int) -> None:
    room = width - 2 * _MARGIN
    sides = [_side(side) for side in (comparison.original, comparison.other)]
    ratio = "" if comparison.ratio is None else f"    {format_ratio(comparison.ratio)}"
    share = (room - _length(draw, f"  ->  {ratio}", _TITLE)) / 2
    names = [_fitted(draw, name, share - _length(draw, rest, _TITLE), _TITLE) + rest for name, rest in sides]
    _write(draw, (_MARGIN, _MARGIN - 4), f"{names[0]}  ->  {names[1]}{ratio}", _TITLE, _INK)
    keys = ("psnr", "ms_ssim", "shaded_psnr", "object_psnr", "flip", "d1_psnr")
    parts = [f"{comparison[key].label} {comparison[key].text}" for key in keys if key in comparison]
    while len(parts) > 2 and _length(draw, "    ".join(parts), _TEXT) > room:
        parts.pop()
    _write(draw, (_MARGIN, _MARGIN + 30), "    ".join(parts), _TEXT, _SOFT)


def _side(side: Side) -> tuple[str, str]:
    size = f"  {format_bytes(side.size)}" if side.size else ""
    return side.title, size


def _scale(sheet: Image, draw: ImageDraw, top: int) -> None:
    """What the colours of the difference mean."""
    from PIL import Image

    bar = np.broadcast_to(_heat(np.linspace(0, 1, 180)), (14, 180, 3))
    x = _MARGIN
    label = "difference:  0"
    _write(draw, (x, top), label, _TEXT, _SOFT)
    x += math.ceil(_length(draw, label, _TEXT)) + 8
    sheet.paste(Image.fromarray(np.ascontiguousarray(bar)), (x, top + 3))
    draw.rectangle((x - 1, top + 2, x + 180, top + 17), outline=_FRAME)
    text = f"{255 // AMPLIFIED} of 255 levels and more, largest of red, green and blue"
    _write(draw, (x + 190, top), _fitted(draw, text, sheet.width - x - 190 - _MARGIN, _TEXT), _TEXT, _SOFT)


def _font(size: int) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _drawable(text: str, size: int) -> str:
    """Text with what Pillow's own font lacks replaced by question marks."""
    font = _font(size)
    missing = bytes(font.getmask("\uffff"))
    known = {c: c == " " or bytes(font.getmask(c)) != missing for c in set(text)}
    return "".join(c if known[c] else "?" for c in text)


def _write(draw: ImageDraw, place: tuple[float, float], text: str, size: int, ink: tuple[int, int, int]) -> None:
    draw.text(place, _drawable(text, size), font=_font(size), fill=ink)


def _length(draw: ImageDraw, text: str, size: int) -> float:
    return float(draw.textlength(_drawable(text, size), font=_font(size)))


def _fitted(draw: ImageDraw, text: str, room: float, size: int) -> str:
    """Text with its middle left out where it is too long."""
    if _length(draw, text, size) <= room:
        return text
    keep = len(text)
    while keep > 4 and _length(draw, _shortened(text, keep), size) > room:
        keep -= 1
    return _shortened(text, keep)


def _shortened(text: str, keep: int) -> str:
    return f"{text[: keep // 2]}...{text[len(text) - keep // 2 :]}"
