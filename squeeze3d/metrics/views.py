"""Checks shared by all image metrics.

A set of views is an (N, H, W, 3) array of sRGB-encoded colours: uint8, or floats in [0, 1]. 8-bit values count as
value / 255, so the two kinds may be compared with each other. A set of silhouettes is an (N, H, W) Boolean array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import UsageError

Views = NDArray[np.uint8] | NDArray[np.floating]
"""(N, H, W, 3), uint8 or floats in [0, 1]."""
Masks = NDArray[np.bool_]
"""(N, H, W), true where the object is."""

_SLACK = 1e-5
"""Floats may leave [0, 1] by this much, as rounding in a renderer does; metrics clip them."""


def check_views(reference: Views, test: Views) -> tuple[Views, Views]:
    """Return both sets as arrays, or raise UsageError where a metric would make no sense."""
    first, second = _views(reference, "reference"), _views(test, "test")
    if first.shape != second.shape:
        raise UsageError(f"reference views have shape {first.shape}, test views {second.shape}; they must agree")
    return first, second


def check_masks(reference: Masks, test: Masks) -> tuple[Masks, Masks]:
    """Return both sets as arrays, or raise UsageError."""
    first, second = _masks(reference, "reference"), _masks(test, "test")
    if first.shape != second.shape:
        raise UsageError(f"reference masks have shape {first.shape}, test masks {second.shape}; they must agree")
    return first, second


def unit_floats(pixels: Views) -> NDArray[np.float64]:
    """Pixels of checked views as float64 in [0, 1]."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float64) / 255.0
    return np.clip(pixels.astype(np.float64), 0.0, 1.0)


def _views(images: Any, name: str) -> Views:
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[3] != 3 or array.size == 0:
        raise UsageError(f"{name} views must have shape (views, height, width, 3), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"{name} views must be uint8, or floats in [0, 1], not {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        view = int(np.argmax(~np.isfinite(array).all(axis=(1, 2, 3))))
        raise UsageError(f"{name} view {view} holds values that are not finite")
    if low < -_SLACK or high > 1 + _SLACK:
        raise UsageError(f"{name} views must lie in [0, 1], but span [{low:.6g}, {high:.6g}]")
    return array


def _masks(masks: Any, name: str) -> Masks:
    array = np.asarray(masks)
    if array.ndim != 3 or array.size == 0:
        raise UsageError(f"{name} masks must have shape (views, height, width), not {array.shape}")
    if array.dtype != np.bool_:
        raise UsageError(f"{name} masks must be Boolean, not {array.dtype}", hint="compare coverage with a threshold")
    return array
