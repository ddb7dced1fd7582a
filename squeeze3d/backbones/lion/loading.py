"""Networks from the published checkpoint, converted to safetensors: only the wanted part is read.

The file holds the VAE, the priors, and what their training needed. The decoder is a small part of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from squeeze3d.backbones.lion.config import PRIORS, PUBLISHED, VAE, LionConfig, prefix_of
from squeeze3d.backbones.lion.network import LionNetwork, PointDecoder
from squeeze3d.backbones.lion.priors import Priors
from squeeze3d.backbones.published import fill
from squeeze3d.mapping.checkpoint import read_shapes

_Network = TypeVar("_Network", bound=nn.Module)


def load_decoder(
    path: str | Path, device: str | torch.device = "cpu", *, config: LionConfig = PUBLISHED
) -> PointDecoder:
    """The decoder: float32, frozen. 16-bit weights are widened.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file, or the decoder's keys, shapes or values are not what they should be. The
        message names file and key.
    """
    with torch.device("meta"):
        network = PointDecoder(config)
    return _filled(network, path, VAE, "decoder.", ("decoder.",), device)


def load_vae(path: str | Path, device: str | torch.device = "cpu", *, config: LionConfig = PUBLISHED) -> LionNetwork:
    """Encoders and decoder, as `load_decoder`."""
    with torch.device("meta"):
        network = LionNetwork(config)
    return _filled(network, path, VAE, "", ("style_encoder.", "encoder.", "decoder."), device)


def load_priors(path: str | Path, device: str | torch.device = "cpu", *, config: LionConfig = PUBLISHED) -> Priors:
    """The priors, as `load_decoder`."""
    with torch.device("meta"):
        network = Priors(config)
    return _filled(network, path, PRIORS, "", ("0.", "1."), device)


def _filled(
    network: _Network,
    path: str | Path,
    part: str,
    inner: str,
    owned: tuple[str, ...],
    device: str | torch.device,
) -> _Network:
    prefix = prefix_of(read_shapes(path), part)
    names = {key: prefix + inner + key for key in network.state_dict()}
    fill(network, path, names=names, owned=tuple(prefix + each for each in owned), device=device)
    return network
