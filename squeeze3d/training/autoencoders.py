"""Training of the networks that ship with the program, by the codec they belong to."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from pathlib import Path

from squeeze3d.errors import UsageError
from squeeze3d.training.log import Say

TRAINABLE = {
    "mesh.lite": "squeeze3d.training.mesh_lite",
    "points.lite": "squeeze3d.training.points_lite",
    "field.lite": "squeeze3d.training.field_lite",
}
"""Modules with a function `train(data, output, *, steps, seed, export, leave_out, say)`."""


def train_autoencoder(
    codec: str,
    data: Path,
    output: Path,
    *,
    steps: int | None,
    seed: int,
    export: Path | None,
    leave_out: Collection[str] = (),
    say: Say,
) -> None:
    """Train, or go on with the runs in `output`. Parameters as those of the module's `train`.

    Raises UsageError for a codec without networks of its own.
    """
    if codec not in TRAINABLE:
        raise UsageError(f"`{codec}` has no networks to train here", hint=f"one of {', '.join(TRAINABLE)}")
    module = importlib.import_module(TRAINABLE[codec])
    module.train(data, output, steps=steps, seed=seed, export=export, leave_out=leave_out, say=say)
