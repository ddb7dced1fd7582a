"""Networks from a published checkpoint: only the wanted part is built and read.

A checkpoint holds everything, up to 1.8 GB; a decoder of planes needs 0.1 MB of it.
"""

from __future__ import annotations

from pathlib import Path

import torch

from squeeze3d.backbones.openlrm.config import OpenLRMConfig
from squeeze3d.backbones.openlrm.decoder import PlaneDecoder
from squeeze3d.backbones.openlrm.planes import ImageToPlanes
from squeeze3d.backbones.published import fill, shapes_of

_DECODER = "synthesizer.decoder."
"""What precedes the names of `PlaneDecoder` in a checkpoint."""


def checkpoint_shapes(config: OpenLRMConfig) -> dict[str, tuple[int, ...]]:
    """Key and shape of everything that a checkpoint of a size holds."""
    with torch.device("meta"):
        decoder = {_DECODER + key: shape for key, shape in shapes_of(PlaneDecoder(config)).items()}
        return {**shapes_of(ImageToPlanes(config)), **decoder}


def load_decoder(path: str | Path, config: OpenLRMConfig, device: str = "cpu") -> PlaneDecoder:
    """Decoder of planes, frozen, from a safetensors file: a checkpoint, or the decoder's tensors alone.

    Raises InputError where the file cannot be read, FormatError where it is no such file, one of the network's keys is
    missing, or any key is misshapen or no part of such a checkpoint.
    """
    with torch.device("meta"):
        network = PlaneDecoder(config)
    names = {key: _DECODER + key for key in network.state_dict()}
    fill(network, path, names=names, known=checkpoint_shapes(config), device=device)
    return network


def load_image_to_planes(path: str | Path, config: OpenLRMConfig, device: str = "cpu") -> ImageToPlanes:
    """Network from pictures to planes, frozen. File and errors as of `load_decoder`."""
    with torch.device("meta"):
        network = ImageToPlanes(config)
    fill(network, path, known=checkpoint_shapes(config), device=device)
    return network
