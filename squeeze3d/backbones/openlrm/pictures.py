"""Pictures as OpenLRM sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from squeeze3d.errors import InputError


def prepare_picture(picture: NDArray[Any], side: int) -> Tensor:
    """(1, 3, side, side), RGB in [0, 1] on white, for `ImageToPlanes`.

    The network was trained with the object's outline in the middle, filling 80 % of the square. Colours are not
    normalised further.

    Parameters
    ----------
    picture : (H, W, 3 or 4), sRGB, uint8 or floats in [0, 1]; alpha is straight.
    side : in pixels; `OpenLRMConfig.picture`.

    Raises InputError for anything else.
    """
    if picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise InputError(f"a picture has the shape (height, width, 3 or 4), not {picture.shape}")
    scaled = picture / np.float32(255) if picture.dtype == np.uint8 else picture
    values = torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32)).permute(2, 0, 1)[None]
    if not torch.isfinite(values).all():
        raise InputError("the picture has pixels that are not finite")
    if values.shape[1] == 4:
        alpha = values[:, 3:]
        values = values[:, :3] * alpha + (1 - alpha)
    resized = functional.interpolate(values, size=(side, side), mode="bicubic", align_corners=True)
    return resized.clamp(0, 1)
