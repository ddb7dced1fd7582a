"""Networks from the published checkpoint: the half that is wanted, by its own keys."""

from __future__ import annotations

from pathlib import Path

import torch

from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
from squeeze3d.backbones.nerfmae.network import NerfMaeDecoder, NerfMaeEncoder
from squeeze3d.backbones.published import Shape, fill, shapes_of


def checkpoint_shapes(config: NerfMaeConfig) -> dict[str, Shape]:
    """Key and shape of everything that a checkpoint holds."""
    with torch.device("meta"):
        return {
            **shapes_of(NerfMaeEncoder(config)),
            **shapes_of(NerfMaeDecoder(config)),
            **config.unused_shapes(),
        }


def load_encoder(path: str | Path, config: NerfMaeConfig, device: str = "cpu") -> NerfMaeEncoder:
    """The encoder out of a safetensors file, float32, frozen.

    Raises InputError where the file cannot be read, FormatError where it is no such file, one of the network's keys is
    missing, or any key is misshapen or no part of such a checkpoint.
    """
    with torch.device("meta"):
        network = NerfMaeEncoder(config)
    fill(network, path, known=checkpoint_shapes(config), device=device)
    return network


def load_decoder(path: str | Path, config: NerfMaeConfig, device: str = "cpu") -> NerfMaeDecoder:
    """The last blocks of the decoder. File and errors as of `load_encoder`."""
    with torch.device("meta"):
        network = NerfMaeDecoder(config)
    fill(network, path, known=checkpoint_shapes(config), device=device)
    return network
