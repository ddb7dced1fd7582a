"""Small fields for the tests of `field.blocks`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField

LOW, HIGH = np.full(3, -1, np.float32), np.ones(3, np.float32)


def places(*shape: int) -> NDArray[np.float64]:
    """(X, Y, Z, 3) middles of cells in [-1, 1]."""
    return np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * 2 / n - 1 for n in shape], indexing="ij"), axis=3)


def ball(size: int = 24, *, density: float = 60.0, is_log: bool = False) -> RadianceField:
    """A ball with a soft border and a checked surface."""
    place = places(size, size, size)
    radius = np.linalg.norm(place, axis=3)
    sigma = density * np.clip((0.75 - radius) * size / 4 + 0.5, 0, 1)
    dark = (np.floor(3 * place).astype(int).sum(axis=3) % 2)[..., None]
    rgb = np.clip((place + 1) / 2 - 0.3 * dark, 0, 1)
    if is_log:
        sigma = np.where(sigma > 0, np.log(np.maximum(sigma, 1e-12)), -30.0)
    grid = np.concatenate([rgb, sigma[..., None]], axis=3).astype(np.float32)
    return RadianceField(grid, LOW, HIGH)


def of_grid(
    grid: NDArray[np.floating], low: NDArray[np.float32] = LOW, high: NDArray[np.float32] = HIGH
) -> RadianceField:
    """A field of a grid."""
    return RadianceField(np.asarray(grid, dtype=np.float32), low, high)


def solid_mask(seed: int, *shape: int) -> NDArray[np.bool_]:
    """Blobs of cells."""
    numbers = np.random.Generator(np.random.PCG64(seed))
    coarse = numbers.random([(n + 2) // 3 for n in shape]) < 0.4
    mask = np.kron(coarse, np.ones((3, 3, 3), dtype=bool))[: shape[0], : shape[1], : shape[2]]
    mask[shape[0] // 2, shape[1] // 2, shape[2] // 2] = True
    return mask.astype(bool)
