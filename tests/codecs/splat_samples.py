"""Scenes of splats for tests."""

from __future__ import annotations

import numpy as np

from squeeze3d.assets.splats import Splats


def scene(count: int, *, degree: int = 0, seed: int = 0) -> Splats:
    """Flat splats on a ball, coloured by place, each a little off."""
    numbers = np.random.Generator(np.random.PCG64(seed))
    bands = (degree + 1) ** 2 - 1
    normals = numbers.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    size = np.log(1.5 / np.sqrt(count))
    scales = size + np.array([0.0, -0.5, -2.5]) + 0.2 * numbers.normal(size=(count, 3))
    return Splats(
        positions=normals.astype(np.float32),
        sh_dc=(1.5 * normals + 0.1 * numbers.normal(size=(count, 3))).astype(np.float32),
        sh_rest=(0.1 * numbers.normal(size=(count, 3, bands))).astype(np.float32),
        opacity=(2 + numbers.normal(size=count)).astype(np.float32),
        scales=scales.astype(np.float32),
        rotations=_facing(normals, numbers).astype(np.float32),
    )


def _facing(normals: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    """(N, 4) quaternions that turn z to the normals."""
    # Half way between z and the normal is half the turn.
    w = np.sqrt(np.maximum((1 + normals[:, 2]) / 2, 1e-6))
    turn = np.stack([w, -normals[:, 1] / (2 * w), normals[:, 0] / (2 * w), np.zeros(len(w))], axis=1)
    angle = numbers.uniform(0, np.pi, len(w))
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    w, x, y, z = turn.T
    return np.stack([w * c - z * s, x * c + y * s, y * c - x * s, z * c + w * s], axis=1)
