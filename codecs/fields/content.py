"""A field as the encoder sees it: opacities of cells, colours, and how much of each is seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import densities
from squeeze3d.codecs.fields.head import MAX_SIDE, Shape
from squeeze3d.codecs.fields.light import FULL, OPAQUE, arriving
from squeeze3d.codecs.fields.rebuild import opacity_of
from squeeze3d.errors import InputError

UNSEEN = 1e-4
"""Light below which a cell shows nothing."""


@dataclass(frozen=True, eq=False)
class Content:
    """A field made ready."""

    box: NDArray[np.float32]
    """(2, 3) minimum and maximum corner."""
    opacity: NDArray[np.float32]
    """(X, Y, Z) of one cell along an axis, 0 to 1."""
    rgb: NDArray[np.float32]
    """(X, Y, Z, 3) sRGB in [0, 255]."""
    is_log: bool
    clipped: int
    """Colours of cells with density that were out of range."""

    @classmethod
    def of(cls, field: RadianceField) -> Content:
        """Read a field of finite numbers.

        Raises InputError for a grid without cells, one that is too large, or a box that is none.
        """
        shape = field.rgbsigma.shape[:3]
        if min(shape) < 1:
            raise InputError(f"the field has a grid of {shape} cells: nothing to encode")
        if max(shape) > MAX_SIDE:
            raise InputError(f"a field of {shape} cells is too large: at most {MAX_SIDE} along each axis")
        box = np.stack([field.bbox_min, field.bbox_max]).astype(np.float32)
        if not np.isfinite(box).all() or (box[0] > box[1]).any():
            raise InputError("the box of the field is not a finite minimum and maximum")
        values, is_log = densities(field)
        colours = field.rgbsigma[..., :3].astype(np.float32)
        filled = values > 0
        clipped = int(np.count_nonzero(((colours < 0) | (colours > 1))[filled].any(axis=1)))
        opacity = opacity_of(values, max(shape))
        return cls(box, opacity, np.clip(colours, 0, 1) * np.float32(255), is_log, clipped)

    @property
    def shape(self) -> Shape:
        """Cells of the grid."""
        x, y, z = self.opacity.shape
        return x, y, z

    @cached_property
    def arriving(self) -> NDArray[np.float32]:
        """(X, Y, Z) part of the light that reaches each cell."""
        exact = np.rint(self.opacity.astype(np.float64) * OPAQUE).astype(np.int64)
        return (arriving(exact) / FULL).astype(np.float32)

    @cached_property
    def light(self) -> NDArray[np.float32]:
        """(X, Y, Z) part of the light that each cell sends."""
        result: NDArray[np.float32] = self.arriving * self.opacity
        return result
