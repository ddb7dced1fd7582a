"""`Preview`: what an attempt looks like, at a glance.

```text
original ─► a few small views ─┐
                               ├─► decibels        (none of the views that results are measured on)
attempt ─────► the same views ─┘
```

An encoder compares dozens of attempts. Views of 96 x 96 pixels with one ray each rank them as the large ones do, in a
tenth of a second.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material
from squeeze3d.geometry.surface import Surface, SurfaceMaterial
from squeeze3d.render import Channel, Images, MeshRenderer, preview_rig

RESOLUTION = 96
CAP = 60.0
"""Decibels of a picture without any error."""
CHANNELS: tuple[Channel, ...] = ("albedo", "shaded")


class Preview:
    """Views of one original.

    Parameters
    ----------
    unlit : whether attempts will be unlit.
    """

    def __init__(self, surface: Surface, *, unlit: bool) -> None:
        self._surface = surface
        self._material = SurfaceMaterial(Material(metallic=0.0, double_sided=True, unlit=unlit), None)
        self._cameras = preview_rig(surface.bounds, resolution=RESOLUTION)

    def score(
        self,
        positions: NDArray[np.floating],
        triangles: NDArray[np.integer],
        normals: NDArray[np.float32],
        rgb: NDArray[np.floating],
    ) -> float:
        """Mean of the PSNR of colours and of lit colours, in dB.

        Parameters
        ----------
        positions, triangles : (V, 3) in the original's frame, (F, 3).
        normals, rgb : (V, 3) of the vertices; sRGB in [0, 1].
        """
        count = len(triangles)
        colours = np.ones((len(positions), 4), dtype=np.float32)
        colours[:, :3] = srgb_to_linear(rgb)
        surface = Surface(
            np.asarray(positions, dtype=np.float64),
            np.asarray(triangles, dtype=np.int64),
            np.zeros((count, 3, 2), dtype=np.float32),
            colours[triangles],
            normals[triangles],
            np.zeros(count, dtype=np.int32),
            (self._material,),
        )
        views = self._render(surface)
        return sum(_decibels(self._original.channel(name), views.channel(name)) for name in CHANNELS) / len(CHANNELS)

    @cached_property
    def _original(self) -> Images:
        return self._render(self._surface)

    def _render(self, surface: Surface) -> Images:
        return MeshRenderer(surface).render(self._cameras, channels=CHANNELS)


def _decibels(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    difference = (one - other).reshape(-1).astype(np.float64)
    error = float(difference @ difference) / difference.size
    return min(CAP, -10 * math.log10(max(error, 1e-30)))
