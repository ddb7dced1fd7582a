"""Values on regular lattices: doubling the density, and reading between the points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def lattice_points(
    low: float, spacing: float, shape: tuple[int, ...], flat: NDArray[np.integer]
) -> NDArray[np.float32]:
    """(N, 3) places of the points with C-order indices `flat`, where point (0, 0, 0) sits at `low` on every axis."""
    index = np.stack(np.unravel_index(flat, shape), axis=1)
    return (low + spacing * index).astype(np.float32)


def doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear interpolation at the centres of the eight octants of every cell: (X, Y, Z) to (2X, 2Y, 2Z).

    Values sit at cell centres, so the new ones lie a quarter of a cell to each side. Outside, the border repeats.
    """
    for axis in (2, 1, 0):
        values = _doubled_along(values, axis)
    return values


def _doubled_along(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    # Four axes: what is before the axis, the axis, its two halves, what is after.
    before, count, after = int(np.prod(values.shape[:axis])), values.shape[axis], int(np.prod(values.shape[axis + 1 :]))
    flat = values.reshape(before, count, after)
    result = np.empty((before, count, 2, after), dtype=np.float32)
    own, quarter = flat * np.float32(0.75), flat * np.float32(0.25)
    np.add(own[:, 1:], quarter[:, :-1], out=result[:, 1:, 0])
    np.add(own[:, :-1], quarter[:, 1:], out=result[:, :-1, 1])
    result[:, 0, 0] = flat[:, 0]
    result[:, -1, 1] = flat[:, -1]
    return result.reshape(*values.shape[:axis], 2 * count, *values.shape[axis + 1 :])


def read(
    values: NDArray[np.float32] | NDArray[np.int16], low: float, spacing: float, points: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Trilinear values at (N, 3) points of a lattice whose point (0, 0, 0) sits at `low` on every axis."""
    from scipy.ndimage import map_coordinates

    places = ((np.asarray(points, dtype=np.float32) - np.float32(low)) / np.float32(spacing)).T
    result: NDArray[np.float32] = map_coordinates(values, places, order=1, mode="nearest", output=np.float32)
    return result
