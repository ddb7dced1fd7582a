"""Settings for a target size: one ladder for geometry, one for textures, and the best pair of rungs that fits.

Walking from coarse to fine geometry, the finest textures that still fit get coarser; the pair with the least expected
error in views wins. The sizes of the two parts add up, so every rung is made once at most.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from squeeze3d.codecs.scene.build import SceneBuilder, Settings
from squeeze3d.codecs.scene.options import SceneOptions, TextureFormat

_GEOMETRY: tuple[tuple[float, float, float], ...] = (
    (2e-5, 0.2, 2.0**-14),
    (5e-5, 0.35, 2.0**-13),
    (1e-4, 0.5, 2.0**-13),
    (2e-4, 0.8, 2.0**-12),
    (3e-4, 1.2, 2.0**-12),
    (5e-4, 2.0, 2.0**-11),
    (8e-4, 3.0, 2.0**-10),
    (1.5e-3, 4.0, 2.0**-9),
    (3e-3, 6.0, 2.0**-8),
    (8e-3, 12.0, 2.0**-7),
)
"""(distance, normals, uv) from fine to coarse."""
_TEXTURES: tuple[tuple[int, int], ...] = (
    (95, 0),
    (90, 0),
    (82, 0),
    (75, 0),
    (60, 0),
    (70, 1024),
    (50, 1024),
    (60, 768),
    (60, 512),
    (60, 384),
    (50, 256),
    (50, 192),
    (40, 128),
    (30, 64),
    (20, 32),
)
"""(quality, largest side) from fine to coarse."""
FINEST, CLOSE = 95, 3
"""Best quality of textures, and how near to the best that fits is near enough."""
_SLACK = 64
"""Bytes by which the sum of the parts may be off."""
_COARSEST = {"rotation": 5.0, "colours": 0.05, "weights": 0.05}
_SHIFT, _SHADE, _BLUR = 0.3, 0.25, 0.1
"""Mean squared error in views, roughly: for each unit of distance, which moves edges; of the root for each radian of
normals; and the part of a texture's own error that is left where views are smaller than textures."""
_NUMBERS = 0.3
"""Weight of textures that hold other things than colours."""


class Ladder:
    """Search for the operating point that looks best within a target.

    Parameters
    ----------
    measure : bytes of the file at an operating point.

    Options that differ from their defaults stay as they are.
    """

    def __init__(self, builder: SceneBuilder, options: SceneOptions, measure: Callable[[SceneOptions], int]) -> None:
        self._builder = builder
        self._measure = measure
        self._geometry = _rungs(options, ("distance", "normals", "uv"), _GEOMETRY)
        has_textures = bool(builder.textures) and options.texture_format is not TextureFormat.KEEP
        self._textures = _rungs(options, ("texture", "max_texture"), _TEXTURES) if has_textures else [{}]
        self._options = options
        self._geometry_bytes: dict[int, int] = {}
        self._texture_parts: dict[int, tuple[int, float]] = {}

    def best(self, target: int, *, exact: bool) -> SceneOptions | None:
        """The point within a target; None if not even the coarsest is. `exact` spends what is left on textures."""
        best, least = None, math.inf
        texture = 0
        for geometry in reversed(range(len(self._geometry))):
            room = target - self._size_of_geometry(geometry) - _SLACK
            while texture < len(self._textures) and self._texture(texture)[0] > room:
                texture += 1
            if texture == len(self._textures):
                break
            error = self._error_of_geometry(geometry) + self._texture(texture)[1]
            if error < least:
                best, least = (geometry, texture), error
            elif error > 1.5 * least:
                break
        if best is not None:
            found = self._point(*best)
            if self._measure(found) <= target:
                return self._filled(found, target) if exact else found
        coarsest = self._point(len(self._geometry) - 1, len(self._textures) - 1)
        return coarsest if self._measure(coarsest) <= target else None

    def _filled(self, found: SceneOptions, target: int) -> SceneOptions:
        """The point with textures of as good a quality as still fits."""
        if "texture" not in self._textures[0]:
            return found
        low, high = found.texture, FINEST + 1
        while high - low > CLOSE:
            middle = (low + high) // 2
            if self._measure(dataclasses.replace(found, texture=middle)) <= target:
                low = middle
            else:
                high = middle
        return dataclasses.replace(found, texture=low)

    def _point(self, geometry: int, texture: int) -> SceneOptions:
        return dataclasses.replace(self._options, **self._geometry[geometry], **self._textures[texture])

    def _size_of_geometry(self, rung: int) -> int:
        """Bytes of the file without images."""
        if rung not in self._geometry_bytes:
            last = len(self._textures) - 1
            self._geometry_bytes[rung] = self._measure(self._point(rung, last)) - self._texture(last)[0]
        return self._geometry_bytes[rung]

    def _texture(self, rung: int) -> tuple[int, float]:
        """Bytes of all images, and the error they are expected to make in views."""
        if rung not in self._texture_parts:
            images = self._builder.images(Settings(self._point(0, rung)))
            error = weights = 0.0
            for index, image in images.items():
                weight = 1.0 if self._builder.textures[index].colours else _NUMBERS
                error += weight * 10 ** (-image.psnr / 10)
                weights += weight
            size = sum(len(image.data) for image in images.values())
            self._texture_parts[rung] = size, _BLUR * error / max(weights, 1e-9)
        return self._texture_parts[rung]

    def _error_of_geometry(self, rung: int) -> float:
        point = self._point(rung, 0)
        return _SHIFT * point.distance + (_SHADE * math.radians(point.normals)) ** 2


def _rungs(options: SceneOptions, names: Sequence[str], ladder: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Changes of the options from fine to coarse, without those that the user made."""
    defaults = SceneOptions()
    free = {name for name in (*names, *_COARSEST) if getattr(options, name) == getattr(defaults, name)}
    rungs: list[dict[str, Any]] = []
    for rung in ladder:
        values = {name: value for name, value in zip(names, rung, strict=True) if name in free}
        if "distance" in values:
            factor = min(max(1.0, values["distance"] / defaults.distance), 16.0)
            values |= {k: min(most, factor * getattr(defaults, k)) for k, most in _COARSEST.items() if k in free}
        if values not in rungs:
            rungs.append(values)
    return rungs
