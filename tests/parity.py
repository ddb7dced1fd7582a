"""Fixtures recorded from the published architectures, and the rule their weights are made by.

`tests/data/parity/<network>` holds `<name>.manifest.json` (configuration, and shape of every parameter) and
`<name>.npz` (inputs and recorded outputs). Weights are not stored: each is a function of its key, shape and dtype.
Manifests without arrays (`full_*` of squeeze3d) describe published checkpoints at their full size.

`squeeze3d/parity_muon.npz` is cut: of the parameter `huge` (10000, 2) and its gradients only the first 16 rows are
kept. AdamW, which updates it, treats every number by itself, so rows of zeros may stand for the others.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent / "data" / "parity"
FOLDER = ROOT / "squeeze3d"


def filled(key: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Weight of one key: float32, or int64 zeros where `dtype` is no floating type.

    Standard-normal numbers n from PCG64, seeded with the CRC-32 of the key. Running variances are 1 + |n| / 10,
    anything of two or more dimensions n / sqrt(fan-in), the fan-in being all dimensions but the first, biases and
    running means n / 10, and other vectors and scalars (scales of norms) 1 + n / 10.
    """
    if not dtype.startswith(("float", "bfloat")):
        return np.zeros(shape, np.int64)
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape, dtype=np.float32)
    noise = np.asarray(noise, np.float32)
    if key.rsplit(".", 1)[-1] == "running_var":
        scaled = 1 + np.abs(noise) / 10
    elif noise.ndim > 1:
        scaled = noise / np.sqrt(max(math.prod(shape[1:]), 1))
    elif key.endswith(("bias", "running_mean")):
        scaled = noise / 10
    else:
        scaled = 1 + noise / 10
    return scaled.astype(np.float32)


def manifest(name: str, network: str = "squeeze3d") -> dict[str, Any]:
    """Configuration and `state_dict`: {key: {"shape": ..., "dtype": ...}}."""
    return json.loads((ROOT / network / f"{name}.manifest.json").read_text())


def shapes(name: str, network: str = "squeeze3d") -> dict[str, tuple[int, ...]]:
    """Shape of every parameter."""
    return {key: tuple(entry["shape"]) for key, entry in manifest(name, network)["state_dict"].items()}


def weights(name: str, network: str = "squeeze3d") -> dict[str, np.ndarray]:
    """Value of every parameter."""
    entries = manifest(name, network)["state_dict"]
    return {key: filled(key, tuple(entry["shape"]), entry.get("dtype", "float32")) for key, entry in entries.items()}


def arrays(name: str, network: str = "squeeze3d") -> dict[str, np.ndarray]:
    """Recorded inputs and outputs."""
    with np.load(ROOT / network / f"{name}.npz") as file:
        return dict(file)
