"""Outside and inside of any triangle soup: a ball of radius tau rolls in from infinity.

Where the ball's centre can go is flooded. Around every flooded place a ball up to the surface is empty; what these
balls cover is outside, everything else is inside, however many holes narrower than 2 tau the surface has. Only
distances are needed: no normals, no closed mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.lattice import read

DEPTH = 0.75
"""Depth below the outside up to which `Outside.depth` is right, in units of the lattice's coordinates."""
_UNIT = 1 / 256
"""Of the 16-bit numbers that hold squared distances."""
_FAR = 20_000
"""Stands for far away; three squared reaches more still fit 16 bits."""


@dataclass(frozen=True, eq=False)
class Outside:
    """Which places the empty balls cover, from a lattice of distances."""

    tau: float
    low: float
    """Place of lattice point (0, 0, 0) on every axis."""
    spacing: float
    power: NDArray[np.int16]
    """Squared distance to the centre of an empty ball minus its squared radius, the least over all balls, at each
    lattice point: negative where covered."""

    @classmethod
    def flood(cls, distance: NDArray[np.float32], tau: float, low: float, spacing: float) -> Outside:
        """Flood the places farther than `tau` from the surface, starting at lattice point (0, 0, 0).

        The flood takes face steps; none crosses the surface while the spacing is below 2 `tau`.
        """
        from scipy.ndimage import label

        assert spacing < 2 * tau
        labels, _ = label(distance > tau)
        flooded = labels == labels[0, 0, 0]
        largest = tau + spacing  # larger balls cover little more, but take longer
        radius = np.minimum(distance, np.float32(largest))
        power = np.where(flooded, np.rint(radius * radius / -_UNIT), _FAR).astype(np.int16)
        reach = int(np.ceil((largest + DEPTH) / spacing))
        for axis in range(3):
            power = _lowest_parabola(power, axis, reach, spacing)
        return cls(tau, low, spacing, power)

    def at(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """`power` at (N, 3) points, in squared units of length."""
        return read(self.power, self.low, self.spacing, points) * np.float32(_UNIT)

    def lattice(self) -> NDArray[np.float32]:
        """`power` at all lattice points, in squared units of length."""
        return self.power.astype(np.float32) * np.float32(_UNIT)

    def depth(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far below what the balls cover places with these powers are, at most DEPTH; negative where covered.

        The power alone does not tell which ball it is; the one taken has a radius between the least and the largest.
        """
        radius = np.float32(self.tau + self.spacing / 2)
        depth = np.sqrt(np.maximum(power + radius * radius, 0)) - radius
        result: NDArray[np.float32] = np.minimum(depth, np.float32(DEPTH))
        return result


def _lowest_parabola(power: NDArray[np.int16], axis: int, reach: int, spacing: float) -> NDArray[np.int16]:
    """One axis of a separable minimum of value plus squared distance, over at most `reach` steps."""
    result = power.copy()
    values, lowest = np.moveaxis(power, axis, 0), np.moveaxis(result, axis, 0)
    for step in range(1, min(reach, len(values) - 1) + 1):
        moved = values + np.int16(round((step * spacing) ** 2 / _UNIT))
        np.minimum(lowest[step:], moved[:-step], out=lowest[step:])
        np.minimum(lowest[:-step], moved[step:], out=lowest[:-step])
    return np.minimum(result, np.int16(_FAR))
