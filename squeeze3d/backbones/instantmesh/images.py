"""Images as InstantMesh's encoder and the multi-view diffusion in front of it want them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from squeeze3d.backbones.instantmesh.config import IMAGE_SIZE
from squeeze3d.errors import InputError

TILES = (3, 2)
"""Rows and columns of views in one image of Zero123++."""
OBJECT_SHARE = 0.85
"""Share of the side of an input image of Zero123++ that the object takes."""

_Pixel = TypeVar("_Pixel", bound=np.generic)


def prepare_views(views: NDArray[np.uint8] | NDArray[np.floating], size: int = IMAGE_SIZE) -> Tensor:
    """Views (V, 3, size, size), float32 in 0..1 on white.

    Parameters
    ----------
    views : (V, H, W, 3) RGB or (V, H, W, 4) RGBA, not premultiplied; uint8, or floats in 0..1. Other sizes are
        resampled (bicubic, antialiased).
    size : side; 320 for the published encoders.

    Raises InputError for arrays that are no images.
    """
    if views.ndim != 4 or views.shape[3] not in (3, 4) or not views.size:
        raise InputError(f"views are arrays (V, H, W, 3) or (V, H, W, 4), not {views.shape}")
    pixels = torch.from_numpy(np.ascontiguousarray(views)).movedim(3, 1).to(torch.float32)
    if views.dtype == np.uint8:
        pixels = pixels / 255
    if pixels.shape[1] == 4:
        colour, alpha = pixels[:, :3], pixels[:, 3:]
        pixels = colour * alpha + (1 - alpha)
    if pixels.shape[2:] != (size, size):
        pixels = functional.interpolate(pixels, (size, size), mode="bicubic", align_corners=False, antialias=True)
    return pixels.clamp(0, 1)


def split_tiles(image: NDArray[_Pixel]) -> NDArray[_Pixel]:
    """(6, h, w, C) views of one image (3 h, 2 w, C) of Zero123++, row by row.

    Raises InputError for an image that does not divide.
    """
    rows, columns = TILES
    if image.ndim != 3 or image.shape[0] % rows or image.shape[1] % columns:
        raise InputError(f"an image of {rows} x {columns} views does not have the shape {image.shape}")
    height, width, channels = image.shape[0] // rows, image.shape[1] // columns, image.shape[2]
    tiles = image.reshape(rows, height, columns, width, channels).swapaxes(1, 2)
    return tiles.reshape(rows * columns, height, width, channels)


def frame_object(image: NDArray[np.uint8], share: float = OBJECT_SHARE) -> NDArray[np.uint8]:
    """A square image with the object in the middle, as Zero123++ is shown it, from an RGBA image (H, W, 4).

    The box of the pixels that are not transparent is cut out, without its last row and column, as the published code
    does; what is added is transparent.

    Raises InputError if there is nothing to cut out.
    """
    rows, columns = np.nonzero(image[..., 3])
    if not len(rows) or rows.min() == rows.max() or columns.min() == columns.max():
        raise InputError("the image shows nothing: all of it is transparent, or all but a line")
    cut = image[rows.min() : rows.max(), columns.min() : columns.max()]
    side = max(cut.shape[:2])
    return _padded(_padded(cut, side), int(side / share))


def _padded(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    missing = [side - size for size in image.shape[:2]]
    return np.pad(image, [*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)])
