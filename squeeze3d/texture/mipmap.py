"""Mip maps: a texture seen from afar is averaged instead of sampled at single texels.

Without them a 4096 x 4096 texture in a 256 x 256 image is noise, and a measure of two such images measures that noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from squeeze3d.texture.lookup import PixelGrid


class Levels:
    """Pixels and their halved versions, which are made when first needed. Threads may ask for them at once."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._made = [pixels]
        self._lock = Lock()

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        with self._lock:
            while len(self._made) <= number:
                self._made.append(_halved(self._made[-1]))
            return self._made[number]


@dataclass(frozen=True, eq=False)
class MipMap:
    """A texture and its halved versions.

    Averages are over encoded values, as `PixelGrid.sample` interpolates them: a texture that an image program has
    scaled down looks the same. Each level is half the one below, rounded down, and never less than one pixel.
    """

    base: PixelGrid
    levels: Levels
    """Textures that differ in nothing but their addressing share them."""

    @classmethod
    def of(cls, base: PixelGrid) -> MipMap:
        """Of a texture that shares its levels with no other."""
        return cls(base, Levels(base.pixels))

    @property
    def top(self) -> int:
        """Number of the last level: one pixel."""
        return max(self.base.pixels.shape[:2]).bit_length() - 1

    def level(self, number: int) -> PixelGrid:
        """Level `number`, 0 is the texture itself."""
        return PixelGrid(self.levels[number], self.base.wrap)

    def sample(self, uv: NDArray[np.floating], footprint: NDArray[np.floating]) -> NDArray[np.float32]:
        """Trilinear lookup: bilinear in the two nearest levels, and between them.

        Parameters
        ----------
        uv : (N, 2) glTF coordinates.
        footprint : (N,) side of the area to average, in texels of level 0. Up to 1 it is plain bilinear lookup.

        Returns
        -------
        (N, 4) in [0, 1], as encoded in the image.
        """
        place = np.log2(np.clip(footprint, 1.0, 2.0**self.top)).astype(np.float32)
        result = np.zeros((len(uv), 4), dtype=np.float32)
        if not len(uv):
            return result
        for number in range(int(place.min()), int(np.ceil(place.max())) + 1):
            self.level(number).add(uv, np.maximum(1 - np.abs(place - number), 0), result)
        return result


def _halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import PIL.Image

    height, width = pixels.shape[:2]
    size = (max(1, width // 2), max(1, height // 2))
    # Pillow weights RGBA by alpha, which would change the colour of texels that opaque materials show. CMYK is four
    # plain bands.
    image = PIL.Image.fromarray(np.ascontiguousarray(pixels), mode="CMYK")
    if height % 2 == 0 and width % 2 == 0:
        image = image.reduce(2)  # four times as fast as `resize`
    else:
        image = image.resize(size, PIL.Image.Resampling.BOX)
    return np.asarray(image, dtype=np.uint8)
