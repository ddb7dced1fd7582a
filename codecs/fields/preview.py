"""What a decoded field looks like from where the encoder looks: the renderer of the program, few and small views that
are none of the measuring rig.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import densities
from squeeze3d.codecs.fields.distances import window_of
from squeeze3d.metrics.image import psnr
from squeeze3d.render.camera import preview_rig
from squeeze3d.render.field import Density, FieldRenderer

RESOLUTION = 96
VIEWS = slice(0, None, 2)
"""Five of the nine views of `preview_rig`."""
MARGIN = 8
"""Views show what is filled and a part of the longest side, one in so many cells, around it: the rest of a decoded
field is empty, or nearly so, and preparing it takes longer than drawing it."""


class Preview:
    """Views of an original, rendered on first use."""

    def __init__(self, field: RadianceField) -> None:
        values, is_log = densities(field)
        self._field = field
        self._density: Density = "log" if is_log else "linear"
        self._window = window_of(values > 0, max(values.shape) // MARGIN + 1)
        low, high = (np.asarray(corner, dtype=np.float64) for corner in field.bounds())
        self._unit = float((high - low).max())
        cell = (high - low) / values.shape
        self._box = [
            (low + cell * [getattr(part, end) for part in self._window]).astype(np.float32) for end in ("start", "stop")
        ]
        self._box[1] = np.minimum(self._box[1], field.bbox_max)
        self._cameras = preview_rig(field.bounds(), resolution=RESOLUTION)[VIEWS]

    def error(self, decoded: RadianceField) -> float:
        """Mean squared error of a channel in [0, 1], over all pixels."""
        return float(10 ** (-psnr(self._views[0], self._rendered(decoded)[0]).value / 10))

    @cached_property
    def covered(self) -> float:
        """Mean square of the coverage of pixels: what an error of all colours makes of all pixels."""
        return float(np.square(self._views[1]).mean())

    @cached_property
    def _views(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._rendered(self._field)

    def _rendered(self, field: RadianceField) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        part = RadianceField(field.rgbsigma[self._window], *self._box)
        renderer = FieldRenderer(part, density=self._density, unit=self._unit)
        images = renderer.render(self._cameras, channels=("albedo", "mask"))
        return images.channel("albedo"), images.channel("mask")
