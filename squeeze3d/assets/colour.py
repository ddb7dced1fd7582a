"""Colour conversions at the edge of the asset types.

Meshes hold linear colours, as glTF does; PLY, OBJ and OFF files hold sRGB display values. The two functions
pairs here are each other's inverse on all 256 byte values, so a byte that goes through a mesh comes back
unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(values: NDArray[Any]) -> NDArray[np.float64]:
    """Display values in [0, 1] to linear light, after IEC 61966-2-1."""
    clipped = np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)
    return np.where(clipped <= 0.04045, clipped / 12.92, ((clipped + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: NDArray[Any]) -> NDArray[np.float64]:
    """Linear light in [0, 1] to display values; inverse of `srgb_to_linear`."""
    clipped = np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)
    return np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)


def linear_colours(display: NDArray[Any]) -> NDArray[np.float32]:
    """Vertex colours of a mesh from display colours.

    Parameters
    ----------
    display : (N, 3 or 4) sRGB values, uint8 or floats in [0, 1]; a missing alpha is opaque.
    """
    scaled = display / 255.0 if display.dtype == np.uint8 else np.asarray(display, dtype=np.float64)
    colours = np.ones((len(display), 4), dtype=np.float32)
    colours[:, :3] = srgb_to_linear(scaled[:, :3])
    if scaled.shape[1] == 4:
        colours[:, 3] = np.clip(scaled[:, 3], 0.0, 1.0)
    return colours


def display_bytes(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 4) linear vertex colours to (N, 4) sRGB bytes; inverse of `linear_colours` on bytes."""
    display = np.empty(linear.shape, dtype=np.float64)
    display[:, :3] = linear_to_srgb(linear[:, :3])
    display[:, 3] = np.clip(linear[:, 3], 0.0, 1.0)
    return np.rint(display * 255.0).astype(np.uint8)


def bytes_from_numbers(columns: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[NDArray[np.uint8], bool]:
    """Display colours in any number type to bytes, and whether that was exact.

    uint8 and wider integers that stay below 256 are bytes; other uint16 use the full 16-bit range. Floats are
    in [0, 1] unless one exceeds 1, in which case the file means 0 to 255.
    """
    numbers = np.nan_to_num(columns, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(numbers.max(initial=0.0))
    scale = 1.0
    if dtype.kind == "f":
        scale = 255.0 if largest <= 1.0 else 1.0
    elif dtype == np.uint16 and largest > 255:
        scale = 1 / 257.0
    scaled = np.clip(numbers * scale, 0.0, 255.0)
    result = np.rint(scaled).astype(np.uint8)
    return result, bool(np.abs(scaled - result).max(initial=0.0) < 1e-3)
