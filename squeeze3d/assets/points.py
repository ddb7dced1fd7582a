"""`PointCloud`: positions with optional colours and normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PointCloud:
    """Points in space. Order carries no meaning."""

    positions: NDArray[np.float32]
    """(N, 3), in the units of the file."""
    colours: NDArray[np.uint8] | None = None
    """(N, 4) **sRGB** RGBA, as PLY files store it."""
    normals: NDArray[np.float32] | None = None
    """(N, 3) unit vectors."""

    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) minimum and maximum."""
        return np.stack([self.positions.min(axis=0), self.positions.max(axis=0)]).astype(np.float64)
