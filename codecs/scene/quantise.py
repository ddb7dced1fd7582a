"""Floats to integers within an error, and back: lattices, and unit vectors on an octahedron.

Only integers are coded; floats appear when values leave the decoder, and decide nothing that is read.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.scene.adjacency import Integers

Floats = NDArray[np.float64]

MAX_LEVELS = 1 << 15
"""Largest half width of the octahedral grid."""


def power_step(error: float) -> float:
    """Largest power of two whose half is at most an error: a lattice that keeps 0, 1/2, 1 ... exactly."""
    return 2.0 ** math.floor(math.log2(2 * error))


def to_lattice(values: NDArray[np.floating], step: float, origin: Floats | float = 0.0) -> Integers | None:
    """Nearest lattice points origin + n step; None if there are none, as for NaN and for values far too large."""
    with np.errstate(all="ignore"):
        cells = np.rint((values.astype(np.float64) - origin) / step)
    if not (np.abs(cells) < 1 << 40).all():
        return None
    return cells.astype(np.int64)


def from_lattice(cells: Integers, step: float, origin: Floats | float = 0.0) -> NDArray[np.float32]:
    """Values of lattice points; what does not fit float32 becomes infinite."""
    with np.errstate(all="ignore"):
        return (cells * step + origin).astype(np.float32)


def to_octahedron(vectors: NDArray[np.floating], levels: int) -> Integers:
    """(N, 2) grid points, -levels to levels, nearest to the directions of (N, 3) vectors; (0, 0, 0) counts as +z."""
    with np.errstate(all="ignore"):
        directions = np.nan_to_num(vectors.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        # Scaled first, so that squares neither vanish nor overflow.
        directions /= np.maximum(np.abs(directions).max(axis=1, keepdims=True, initial=0), 1e-300)
        length = np.abs(directions).sum(axis=1, keepdims=True)
    directions = np.where(length > 0, directions, np.array([0.0, 0.0, 1.0]))
    directions /= np.abs(directions).sum(axis=1, keepdims=True)
    flat = directions[:, :2]
    folded = (1 - np.abs(flat[:, ::-1])) * np.where(flat >= 0, 1.0, -1.0)
    plane = np.where(directions[:, 2:] < 0, folded, flat) * levels
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    best, score = np.zeros((len(plane), 2), np.int64), np.full(len(plane), -2.0)
    low = np.floor(plane).astype(np.int64)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        candidate = np.clip(low + np.array(corner), -levels, levels)
        near = np.einsum("ij,ij->i", from_octahedron(candidate, levels), unit)
        better = near > score
        best[better], score[better] = candidate[better], near[better]
    return best


def from_octahedron(points: Integers, levels: int) -> Floats:
    """(N, 3) unit vectors of (N, 2) grid points."""
    flat = points / levels
    z = 1 - np.abs(flat).sum(axis=1)
    folded = (1 - np.abs(flat[:, ::-1])) * np.where(flat >= 0, 1.0, -1.0)
    vectors = np.concatenate([np.where(z[:, None] < 0, folded, flat), z[:, None]], axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def angles(one: NDArray[np.floating], other: NDArray[np.floating]) -> Floats:
    """(N,) angles in degrees between (N, 3) vectors."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    cross = np.linalg.norm(np.cross(a, b), axis=1)
    return np.degrees(np.arctan2(cross, np.einsum("ij,ij->i", a, b)))


def levels_for(vectors: NDArray[np.floating], degrees: float) -> tuple[int, Integers] | None:
    """Coarsest octahedral grid that keeps (N, 3) directions within an angle, and the points; None if none does."""
    levels = max(1, math.floor(0.8 / math.radians(degrees)))
    while levels <= MAX_LEVELS:
        points = to_octahedron(vectors, levels)
        if not len(points) or angles(vectors, from_octahedron(points, levels)).max() <= degrees:
            return levels, points
        levels += max(1, levels // 12)
    return None


def project(vectors: Integers, levels: int) -> Integers:
    """(N, 2) octahedral grid points of (N, 3) integer vectors, by integer arithmetic; (0, 0, 0) gives (0, 0)."""
    vectors = vectors.copy()
    while len(vectors) and (large := np.abs(vectors).max(axis=1) >= 1 << 40).any():
        vectors[large] //= 16
    length = np.maximum(np.abs(vectors).sum(axis=1, keepdims=True), 1)
    flat = (2 * vectors[:, :2] * levels + length) // (2 * length)
    folded = (levels - np.abs(flat[:, ::-1])) * np.where(flat >= 0, 1, -1)
    return np.where(vectors[:, 2:] < 0, folded, flat)


def weights_to_lattice(weights: NDArray[np.floating], total: int) -> Integers | None:
    """Joint weights (N, 4) as integers whose rows add up to `total` where the weights add up to about 1."""
    exact = weights.astype(np.float64) * total
    if not ((exact >= 0) & (exact <= 2 * total)).all():
        return None
    cells = np.floor(exact)
    aim = np.rint(exact.sum(axis=1))
    aim = np.where(np.abs(aim - total) <= 2, total, aim)
    missing = aim - cells.sum(axis=1)
    rank = np.argsort(np.argsort(cells - exact, axis=1, kind="stable"), axis=1)
    cells += rank < missing[:, None]
    return cells.astype(np.int64)
