"""`Splats`: a 3D Gaussian Splatting scene with the attributes of the reference PLY files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Splats:
    """Anisotropic Gaussians, values stored exactly as the PLY holds them (before activation).

    Source: Kerbl et al., 3D Gaussian Splatting for Real-Time Radiance Field Rendering, SIGGRAPH 2023.
    """

    positions: NDArray[np.float32]
    """(N, 3) centres: `x, y, z`."""
    sh_dc: NDArray[np.float32]
    """(N, 3) degree-0 spherical harmonics: `f_dc_0..2`."""
    sh_rest: NDArray[np.float32]
    """(N, 3, K) higher bands, K = 0, 3, 8 or 15: `f_rest_*`, channel-major as in the PLY."""
    opacity: NDArray[np.float32]
    """(N,) logit of the opacity."""
    scales: NDArray[np.float32]
    """(N, 3) natural logarithm of the standard deviations: `scale_0..2`."""
    rotations: NDArray[np.float32]
    """(N, 4) quaternion w, x, y, z, not necessarily normalised: `rot_0..3`."""

    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) minimum and maximum of the centres."""
        return np.stack([self.positions.min(axis=0), self.positions.max(axis=0)]).astype(np.float64)
