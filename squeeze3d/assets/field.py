"""`RadianceField`: a regular grid of colour and density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class RadianceField:
    """Colour and density samples on a regular grid, as in the NeRF-MAE data."""

    rgbsigma: NDArray[np.float32]
    """(X, Y, Z, 4): r, g, b in [0, 1] (sRGB) and sigma as the file stores it: density, or its logarithm in the
    NeRF-MAE data."""
    bbox_min: NDArray[np.float32]
    """(3,) corner of the box the grid fills."""
    bbox_max: NDArray[np.float32]
    """(3,) opposite corner."""

    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) minimum and maximum of the box."""
        return np.stack([self.bbox_min, self.bbox_max]).astype(np.float64)
