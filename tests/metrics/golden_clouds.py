"""Recorded clouds and scores in `tests/data/metrics`, shared by the point-cloud tests."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import PointCloud

_FOLDER = Path(__file__).parents[1] / "data" / "metrics"
GOLDEN: dict[str, Any] = json.loads((_FOLDER / "golden.json").read_text())


@lru_cache(maxsize=1)
def arrays() -> dict[str, NDArray[Any]]:
    with np.load(_FOLDER / "clouds.npz") as data:
        return dict(data)


def cloud(name: str, *, shuffle: int | None = None) -> PointCloud:
    stored = arrays()
    positions, colours = stored[f"{name}_xyz"], stored[f"{name}_rgb"]
    opaque = np.full((len(colours), 1), 255, dtype=np.uint8)
    order = np.arange(len(positions)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(positions))
    normals = stored.get(f"{name}_normal")
    return PointCloud(
        positions[order], np.hstack([colours, opaque])[order], None if normals is None else normals[order]
    )


def random_cloud(count: int, seed: int, *, colours: bool = True, normals: bool = False) -> PointCloud:
    """Points near a sphere, with smooth colours."""
    random = np.random.default_rng(seed)
    direction = random.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shade = np.clip(127 + 100 * direction + random.normal(size=(count, 3)) * 5, 0, 255)
    rgba = np.hstack([shade, np.full((count, 1), 255)]).astype(np.uint8)
    positions = direction * (1 + 0.02 * random.normal(size=(count, 1)))
    return PointCloud(
        positions.astype(np.float32), rgba if colours else None, direction.astype(np.float32) if normals else None
    )
