"""Fixtures recorded from the published architectures, and the rule their weights are made by.

`tests/data/parity/squeeze3d` holds `<name>.manifest.json` (configuration, and shape of every parameter) and
`<name>.npz` (inputs and recorded outputs). Weights are not stored: each is a function of its key and shape. `full_*`
manifests describe published checkpoints at their full size and have no arrays.

`parity_muon.npz` is cut: of the parameter `huge` (10000, 2) and its gradients only the first 16 rows are kept. AdamW,
which updates it, treats every number by itself, so rows of zeros may stand for the others.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "parity" / "squeeze3d"


def filled(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weight of one key, float32.

    Standard-normal numbers n from PCG64, seeded with the CRC-32 of the key. Biases are n / 10, other vectors
    (scales of norms) 1 + n / 10, and anything larger n / sqrt(fan-in), the fan-in being all dimensions but the first.
    """
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        scaled = noise / np.sqrt(math.prod(shape[1:]))
    elif key.endswith("bias"):
        scaled = noise / 10
    else:
        scaled = 1 + noise / 10
    return scaled.astype(np.float32)


def manifest(name: str) -> dict[str, Any]:
    """Configuration and `state_dict`: {key: {"shape": ..., "dtype": ...}}."""
    return json.loads((FOLDER / f"{name}.manifest.json").read_text())


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter."""
    return {key: tuple(entry["shape"]) for key, entry in manifest(name)["state_dict"].items()}


def weights(name: str) -> dict[str, np.ndarray]:
    """Value of every parameter."""
    return {key: filled(key, shape) for key, shape in shapes(name).items()}


def arrays(name: str) -> dict[str, np.ndarray]:
    """Recorded inputs and outputs."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)
