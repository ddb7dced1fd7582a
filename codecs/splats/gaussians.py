"""`Gaussians`: splats after activation, each in the one spelling of its shape that the codec uses.

A PLY spells one ellipsoid in 48 ways (6 orders of the axes, 4 turns by half, 2 signs of the quaternion). Here the axes
are in order of length, so what is left to say of the orientation is the shortest axis, as a line without a direction,
and the angle of the longest one around it, as a line again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.splats import Splats

C0 = 0.28209479177387814
"""Spherical harmonic of degree 0."""
MIN_ALPHA = 1 / 255
"""Opacity below which renderers draw nothing."""
MAX_ALPHA = 0.995
"""Highest opacity that is written: renderers stop at 0.99, and the logarithm of the odds stays finite."""
LARGEST_LOG = 40.0
"""Bound for logarithms of sizes, so that their exponentials stay finite as float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Gaussians:
    """N splats as numbers that add up in pictures."""

    centres: NDArray[np.float64]
    """(N, 3)."""
    alpha: NDArray[np.float64]
    """(N,) opacity, 0 to 1."""
    logs: NDArray[np.float64]
    """(N, 3) natural logarithms of the standard deviations, largest first."""
    axes: NDArray[np.float64]
    """(N, 3, 3) unit vectors along them, as columns of a rotation."""
    colours: NDArray[np.float64]
    """(N, 3, 1 + K) spherical harmonics of R, G, B; those of degree 0 as the colour they give."""

    @property
    def count(self) -> int:
        """Number of splats N."""
        return len(self.alpha)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Gaussians:
        """Some of the splats, in the order of an index."""
        return Gaussians(
            self.centres[index], self.alpha[index], self.logs[index], self.axes[index], self.colours[index]
        )

    @property
    def areas(self) -> NDArray[np.float64]:
        """(N,) product of the two largest deviations: how much of a view a splat covers."""
        return np.exp(self.logs[:, 0] + self.logs[:, 1])


def from_splats(splats: Splats) -> Gaussians:
    """Activated splats, all of which must be finite."""
    logs = np.clip(splats.scales.astype(np.float64), -LARGEST_LOG, LARGEST_LOG)
    order = np.argsort(-logs, axis=1, kind="stable")
    axes = np.take_along_axis(_rotations(splats.rotations.astype(np.float64)), order[:, None, :], axis=2)
    # An odd permutation mirrors; a Gaussian looks the same in a mirror of its own axes.
    axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
    colours = np.concatenate([splats.sh_dc[:, :, None], splats.sh_rest], axis=2).astype(np.float64)
    colours[:, :, 0] = 0.5 + C0 * colours[:, :, 0]
    return Gaussians(
        splats.positions.astype(np.float64),
        1 / (1 + np.exp(-np.clip(splats.opacity.astype(np.float64), -60, 60))),
        np.take_along_axis(logs, order, axis=1),
        axes,
        colours,
    )


def to_splats(gaussians: Gaussians) -> Splats:
    """The attributes of a PLY."""
    alpha = np.clip(gaussians.alpha, MIN_ALPHA / 4, MAX_ALPHA)
    return Splats(
        positions=gaussians.centres.astype(np.float32),
        sh_dc=((gaussians.colours[:, :, 0] - 0.5) / C0).astype(np.float32),
        sh_rest=gaussians.colours[:, :, 1:].astype(np.float32),
        opacity=np.log(alpha / (1 - alpha)).astype(np.float32),
        scales=gaussians.logs.astype(np.float32),
        rotations=_quaternions(gaussians.axes).astype(np.float32),
    )


def _rotations(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) rotations of (N, 4) quaternions of any length; those of length 0 do not turn."""
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    w, x, y, z = np.where(length > 0, quaternions / np.where(length > 0, length, 1), [1.0, 0.0, 0.0, 0.0]).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def _quaternions(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4) unit quaternions w, x, y, z of (N, 3, 3) rotations."""
    m = rotations
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    # Four times the product of each pair of components: every row is the quaternion times one of them.
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    table = [
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    rows = np.stack([np.stack(row, axis=1) for row in table], axis=1)
    # The row of the largest component has the most digits.
    best = rows[np.arange(len(m)), np.diagonal(rows, axis1=1, axis2=2).argmax(axis=1)]
    unit: NDArray[np.float64] = best / np.linalg.norm(best, axis=1, keepdims=True)
    return unit
