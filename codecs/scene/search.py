"""Settings for a target size: a ladder of operating points, then the quality of textures fills what is left.

A rung is coarser than the one before in everything at once. What the user set is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from squeeze3d.codecs.scene.build import SceneBuilder
from squeeze3d.codecs.scene.options import SceneOptions, TextureFormat

_RUNGS: tuple[tuple[float, float, float, int, int], ...] = (
    (2e-5, 0.2, 2.0**-14, 95, 0),
    (5e-5, 0.35, 2.0**-13, 90, 0),
    (1e-4, 0.5, 2.0**-13, 80, 0),
    (1.5e-4, 0.7, 2.0**-12, 70, 0),
    (2e-4, 1.0, 2.0**-12, 60, 2048),
    (3e-4, 1.0, 2.0**-11, 50, 1024),
    (4e-4, 1.5, 2.0**-11, 50, 768),
    (6e-4, 2.0, 2.0**-11, 50, 512),
    (8e-4, 2.5, 2.0**-10, 45, 384),
    (1e-3, 3.0, 2.0**-10, 45, 256),
    (1.5e-3, 4.0, 2.0**-9, 40, 192),
    (2e-3, 5.0, 2.0**-9, 40, 128),
    (4e-3, 8.0, 2.0**-8, 30, 64),
    (8e-3, 12.0, 2.0**-7, 20, 32),
)
"""(distance, normals, uv, texture quality, largest side) from fine to coarse."""
_NAMES = ("distance", "normals", "uv", "texture", "max_texture")


def rungs(options: SceneOptions) -> Iterator[SceneOptions]:
    """Operating points from fine to coarse; options that differ from their defaults stay."""
    defaults = SceneOptions()
    free = [name for name in _NAMES if getattr(options, name) == getattr(defaults, name)]
    seen = set()
    for rung in _RUNGS:
        values: dict[str, Any] = {k: v for k, v in zip(_NAMES, rung, strict=True) if k in free}
        if "distance" in values:
            coarser = max(1.0, rung[0] / defaults.distance)
            for name, most in (("rotation", 5.0), ("colours", 0.05), ("weights", 0.05)):
                if getattr(options, name) == getattr(defaults, name):
                    values[name] = min(most, getattr(defaults, name) * min(coarser, 16.0))
        made = dataclasses.replace(options, **values)
        if made not in seen:
            seen.add(made)
            yield made


class Ladder:
    """Search for the finest operating point that fits."""

    def __init__(self, builder: SceneBuilder, options: SceneOptions, measure: Callable[[SceneOptions], int]) -> None:
        self._options = options
        self._points = list(rungs(options))
        self._has_textures = bool(builder.textures) and options.texture_format is not TextureFormat.KEEP
        self._measure = measure
        self._sizes: dict[SceneOptions, int] = {}

    def size(self, options: SceneOptions) -> int:
        """Bytes of the file at an operating point."""
        if options not in self._sizes:
            self._sizes[options] = self._measure(options)
        return self._sizes[options]

    def best(self, target: int, *, exact: bool) -> SceneOptions | None:
        """Finest point within a target; None if not even the coarsest is."""
        low, high = 0, len(self._points) - 1
        if self.size(self._points[high]) > target:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.size(self._points[middle]) <= target:
                high = middle
            else:
                low = middle + 1
        found = self._points[low]
        return self._filled(found, target) if exact and low > 0 else found

    def _filled(self, found: SceneOptions, target: int) -> SceneOptions:
        """The point with as good textures as still fit."""
        if not self._has_textures or self._options.texture != SceneOptions().texture:
            return found
        low, high = found.texture, 95
        while high - low > 3:
            middle = (low + high + 1) // 2
            candidate = dataclasses.replace(found, texture=middle)
            if self.size(candidate) <= target:
                low = middle
            else:
                high = middle
        return dataclasses.replace(found, texture=low)
