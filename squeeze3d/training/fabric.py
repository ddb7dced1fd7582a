"""Device, precision and processes of a training run, carried by Lightning Fabric."""

from __future__ import annotations

import logging
from typing import Any

from squeeze3d import device as devices_of
from squeeze3d.errors import MissingExtraError, UsageError
from squeeze3d.training.presets import Precision

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}


def make_fabric(device: str, *, devices: int = 1, nodes: int = 1, precision: Precision = "32") -> Any:
    """A `lightning_fabric.Fabric`, launched: with several devices or nodes, one process each that train together.

    Raises
    ------
    MissingExtraError : Lightning Fabric is not installed.
    UnsupportedError : the device is not there. UsageError : more devices than there are.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise MissingExtraError(
            "training needs Lightning Fabric, which is not installed",
            hint='install it with `pip install "squeeze3d[train]"`',
        ) from None
    # It reports every choice; who trains has made them. Warnings stay.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    name = devices_of.resolve(device)
    if name == "cuda":
        import torch

        if devices > torch.cuda.device_count():
            raise UsageError(f"`--devices {devices}`: this machine has {torch.cuda.device_count()} of them")
    if name == "mps" and devices * nodes > 1:
        raise UsageError("several devices cannot train together on `mps`", hint="leave out `--devices`")
    together = devices * nodes > 1
    fabric = Fabric(
        accelerator=name,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if together else "auto",
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )
    if together:
        fabric.launch()
    return fabric
