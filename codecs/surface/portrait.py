"""Pictures of the original on a quantised shape: laid flat, painted, coded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.atlas import TEXELS, Atlas
from squeeze3d.codecs.surface.baking import Colours, bake
from squeeze3d.codecs.surface.charts import MOST_FACES, Charts
from squeeze3d.codecs.surface.picture import Picture, layout, pieces
from squeeze3d.codecs.surface.shapes import Shape
from squeeze3d.geometry.sampling import face_areas
from squeeze3d.texture.av1 import encode_still
from squeeze3d.threads import Kept, unlocked_property

FINEST_PICTURE = 63
"""Highest quality: the coder knows so many quantisers."""


@dataclass(frozen=True, eq=False)
class Sitting:
    """What a picture should show."""

    texel: int
    layout: Atlas
    pixels: NDArray[np.uint8]
    """(H, W, 3)."""

    def picture(self, quality: int, *, subsampled: bool, speed: int) -> Picture:
        """The colours, coded; `quality` from 0 to `FINEST_PICTURE`, all of them different."""
        data = encode_still(self.pixels, round(quality * 100 / FINEST_PICTURE), subsampled=subsampled, speed=speed)
        return Picture(self.texel, subsampled, data, self.layout)


class Portraitist:
    """Paints pictures of one shape.

    Parameters
    ----------
    colours : of the original, at triangles and barycentric coordinates of the shape.
    """

    def __init__(self, shape: Shape, colours: Colours) -> None:
        self.shape, self.colours = shape, colours
        self._sittings: Kept[tuple[int, int], Sitting | None] = Kept()

    @unlocked_property
    def pieces(self) -> Charts:
        """The shape, laid flat."""
        return pieces(self.shape.triangles, self.shape.cells)

    def texel(self, texels: float) -> int:
        """Number of the texel size that lays about so many texels on the shape."""
        area = face_areas(self.shape.cells.astype(np.float64), self.shape.triangles).sum()
        side = 64 * np.sqrt(area / max(texels, 1))
        return int(np.clip(np.rint(4 * (np.log2(max(side, 1)) - 4)), 0, len(TEXELS) - 1))

    def sitting(self, texel: int, samples: int) -> Sitting | None:
        """The colours in texels of at least a size, each from `samples` squared places; None if it cannot be."""
        return self._sittings.get((texel, samples), lambda: self._painted(texel, samples))

    def _painted(self, texel: int, samples: int) -> Sitting | None:
        # Thin and crooked pieces may need larger texels to fit at all.
        while texel < len(TEXELS) and len(self.shape.triangles) <= MOST_FACES:
            found = layout(self.pieces, texel)
            if found is not None:
                values = bake(found, self.colours, samples)
                return Sitting(texel, found, np.clip(np.rint(values), 0, 255).astype(np.uint8))
            texel += 1
        return None
