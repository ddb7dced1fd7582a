"""Texture lookup on the CPU: bilinear, with glTF's wrap modes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import Wrap
from squeeze3d.compiled import compiled

_WRAPS = (Wrap.REPEAT, Wrap.MIRROR, Wrap.CLAMP)
"""By the numbers that compiled code knows."""
_MIRROR, _CLAMP = 1, 2


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Decoded texture pixels with their addressing."""

    pixels: NDArray[np.uint8]
    """(H, W, 4) RGBA, row 0 at the top."""
    wrap: tuple[Wrap, Wrap] = (Wrap.REPEAT, Wrap.REPEAT)

    def sample(self, uv: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bilinear lookup at (N, 2) glTF coordinates; (N, 4) in [0, 1], as encoded in the image."""
        result = np.zeros((len(uv), 4), dtype=np.float32)
        self.add(uv, np.ones(len(uv), dtype=np.float32), result)
        return result

    def add(self, uv: NDArray[np.floating], weights: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """Add what `sample` gives, times (N,) weights, to (N, 4) numbers. Weights of 0 take no time."""
        across, down = (_WRAPS.index(wrap) for wrap in self.wrap)
        _add(self.pixels, np.asarray(uv, dtype=np.float64), across, down, weights, result)


@compiled
def _add(pixels, uv, across, down, weights, result):  # type: ignore[no-untyped-def]
    height, width, channels = pixels.shape
    for n in range(len(uv)):
        if weights[n] == 0:
            continue
        left, right, fx = _neighbours(uv[n, 0], width, across)
        top, bottom, fy = _neighbours(uv[n, 1], height, down)
        share = weights[n] / np.float32(255)
        for channel in range(channels):
            above = pixels[top, left, channel] * (1 - fx) + pixels[top, right, channel] * fx
            below = pixels[bottom, left, channel] * (1 - fx) + pixels[bottom, right, channel] * fx
            result[n, channel] += (above * (1 - fy) + below * fy) * share


@compiled
def _neighbours(coordinate, size, wrap):  # type: ignore[no-untyped-def]
    """The two pixels around a coordinate and the weight of the second."""
    # Reduce to one period first: large coordinates have no fraction left otherwise, and their pixels no number.
    if wrap == _CLAMP:
        unit = min(max(coordinate, 0.0), 1.0)
    elif wrap == _MIRROR:
        unit = coordinate - 2 * np.floor(coordinate / 2)
    else:
        unit = coordinate - np.floor(coordinate)
    place = unit * size - 0.5
    low = int(np.floor(place))
    return _wrapped(low, size, wrap), _wrapped(low + 1, size, wrap), place - low


@compiled
def _wrapped(index, size, wrap):  # type: ignore[no-untyped-def]
    if wrap == _CLAMP:
        return min(max(index, 0), size - 1)
    if wrap == _MIRROR:
        index %= 2 * size
        return index if index < size else 2 * size - 1 - index
    return index % size
