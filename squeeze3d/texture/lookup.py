"""Texture lookup on the CPU: bilinear, with glTF's wrap modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import Wrap


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Decoded texture pixels with their addressing."""

    pixels: NDArray[np.uint8]
    """(H, W, 4) RGBA, row 0 at the top."""
    wrap: tuple[Wrap, Wrap] = (Wrap.REPEAT, Wrap.REPEAT)

    def sample(self, uv: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bilinear lookup at (N, 2) glTF coordinates; (N, 4) in [0, 1], as encoded in the image."""
        height, width = self.pixels.shape[:2]
        x0, x1, fx = _neighbours(uv[:, 0], width, self.wrap[0])
        y0, y1, fy = _neighbours(uv[:, 1], height, self.wrap[1])
        fx, fy = fx[:, None], fy[:, None]
        top = self.pixels[y0, x0] * (1 - fx) + self.pixels[y0, x1] * fx
        bottom = self.pixels[y1, x0] * (1 - fx) + self.pixels[y1, x1] * fx
        return ((top * (1 - fy) + bottom * fy) / 255).astype(np.float32)


def _neighbours(
    coordinate: NDArray[np.floating], size: int, wrap: Wrap
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two pixels around each coordinate and the weight of the second."""
    # Reduce to one period first: large coordinates would lose the fraction in float32.
    unit = coordinate.astype(np.float64)
    if wrap is Wrap.REPEAT:
        unit = unit - np.floor(unit)
    elif wrap is Wrap.MIRROR:
        unit = unit - 2 * np.floor(unit / 2)
    else:
        unit = np.clip(unit, 0.0, 1.0)
    place = unit * size - 0.5
    low = np.floor(place)
    fraction = (place - low).astype(np.float32)
    first = low.astype(np.int64)
    return _wrap(first, size, wrap), _wrap(first + 1, size, wrap), fraction


def _wrap(index: NDArray[np.int64], size: int, wrap: Wrap) -> NDArray[np.int64]:
    if wrap is Wrap.REPEAT:
        return index % size
    if wrap is Wrap.MIRROR:
        period = index % (2 * size)
        return np.where(period < size, period, 2 * size - 1 - period)
    return np.clip(index, 0, size - 1)
