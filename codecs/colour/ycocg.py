"""Integer YCoCg: the lossless lifting YCoCg-R (Malvar & Sullivan 2003), and the same without rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rgb_to_ycocg(rgb: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, 3) integers in [0, 255] to Y in [0, 255], Co and Cg in [-255, 255]; lossless."""
    r, g, b = np.asarray(rgb, dtype=np.int64).T
    co = r - b
    base = b + (co >> 1)
    cg = g - base
    return np.stack([base + (cg >> 1), co, cg], axis=1)


def ycocg_to_rgb(ycocg: NDArray[np.integer]) -> NDArray[np.int64]:
    """Inverse of `rgb_to_ycocg`."""
    y, co, cg = np.asarray(ycocg, dtype=np.int64).T
    base = y - (cg >> 1)
    g = cg + base
    b = base - (co >> 1)
    return np.stack([b + co, g, b], axis=1)


def exact_ycocg(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) sRGB to YCoCg without rounding; inverse of `display`."""
    r, g, b = rgb.T
    co = r - b
    cg = g - (r + b) / 2
    return np.stack([(r + b) / 2 + cg / 2, co, cg], axis=1)


def display(ycocg: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 3) YCoCg of any fineness to sRGB in [0, 255]."""
    y, co, cg = np.asarray(ycocg, dtype=np.float64).T
    base = y - cg / 2
    rgb = np.stack([base + co / 2, y + cg / 2, base - co / 2], axis=1)
    return np.clip(rgb, 0.0, 255.0)
