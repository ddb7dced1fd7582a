"""Weight files of the pair of radiance fields in the published layouts, of any size.

All numbers are filled (`filled`): a field comes back as noise. Quality means nothing, while sizes, seconds and memory
are those of the real networks.
"""

from __future__ import annotations

from pathlib import Path

from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
from squeeze3d.bench.filled import filled, write_filled


def write_nerfmae(path: Path, config: NerfMaeConfig) -> None:
    """A pickle as published, with what training keeps beside the weights."""
    import torch

    from squeeze3d.backbones.nerfmae.loading import checkpoint_shapes
    from squeeze3d.backbones.nerfmae.network import place_code
    from squeeze3d.backbones.nerfmae.swin import bias_index

    index = bias_index(config.window).flatten()
    state = {
        key: index if key.endswith("index") else torch.from_numpy(filled(key, shape))
        for key, shape in checkpoint_shapes(config).items()
    }
    state["pos_embed"] = place_code(config)
    torch.save({"epoch": 1, "state_dict": state, "train_args": {"backbone": "swin_s"}}, path)


def write_conv_mapping(path: Path, latent: tuple[int, ...], code: int) -> None:
    """A mapping network between latents of a shape, with a code of so many numbers: safetensors."""
    import torch

    from squeeze3d.backbones.published import shapes_of
    from squeeze3d.mapping.networks import build_mapping

    with torch.device("meta"):
        network = build_mapping("conv3d", encoder_shape=latent, generator_shape=latent, code_size=code)
    write_filled(path, {**shapes_of(network.forward_map), **shapes_of(network.reverse_map)})
