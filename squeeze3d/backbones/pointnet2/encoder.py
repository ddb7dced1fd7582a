"""The network from the published file: float32, frozen, on one device."""

from __future__ import annotations

from pathlib import Path

import torch

from squeeze3d.backbones.pointnet2.network import PointNet2
from squeeze3d.backbones.published import Shape, fill, shapes_of

COUNTERS: dict[str, Shape] = {
    f"{name}.num_batches_tracked": ()
    for name in (*(f"sa{stage}.mlp_bns.{layer}" for stage in (1, 2, 3) for layer in range(3)), "bn1", "bn2")
}
"""What the file also holds: how many batches each norm saw in training."""


def load_network(path: str | Path, device: str | torch.device = "cpu", *, whole: bool = False) -> PointNet2:
    """The encoder out of `best_model.pth`, converted to safetensors; see `PointNet2` for `whole`.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file, or its keys, shapes or values are not what they should be. The message
        names file and key.
    """
    with torch.device("meta"):
        network = PointNet2(whole=whole)
        known = shapes_of(PointNet2(whole=True)) | COUNTERS
    fill(network, path, known=known, device=device)
    return network
