"""Fixtures recorded from the published architectures, and the rule their weights are made by.

`tests/data/parity/<network>` holds `<name>.manifest.json` (configuration, and shape of every parameter) and
`<name>.npz` (inputs and recorded outputs). Weights are not stored: each is a function of its key, shape and dtype.
Manifests without arrays (`full_*` of squeeze3d) describe published checkpoints at their full size.

`squeeze3d/parity_muon.npz` is cut: of the parameter `huge` (10000, 2) and its gradients only the first 16 rows are
kept. AdamW, which updates it, treats every number by itself, so rows of zeros may stand for the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from squeeze3d.bench.filled import filled

__all__ = ["arrays", "filled", "manifest", "shapes", "weights"]

ROOT = Path(__file__).parent / "data" / "parity"
FOLDER = ROOT / "squeeze3d"


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
