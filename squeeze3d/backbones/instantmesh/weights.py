"""Networks from files in the layout of the published InstantMesh checkpoints.

```text
lrm_generator.encoder.*               ImagesToPlanes     114.8 M numbers   views to tokens
lrm_generator.transformer.*           ImagesToPlanes     263.7 M           tokens to planes
lrm_generator.synthesizer.decoder.*   FlexiDecoder         0.2 M           planes to mesh
```

A network reads its own part only. Files may lack the other parts, but what they hold must be right: a file of the other
size is an error even where the part that is read fits. Keys without the prefix are left alone, as are the cameras that
some files carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from squeeze3d.backbones.instantmesh.config import CONFIGS, InstantMeshConfig
from squeeze3d.backbones.instantmesh.decoder import FlexiDecoder, NerfDecoder
from squeeze3d.backbones.instantmesh.network import ImagesToPlanes
from squeeze3d.errors import FormatError
from squeeze3d.mapping.checkpoint import read_shapes, read_tensors

PREFIX = "lrm_generator."
DECODER_PREFIX = PREFIX + "synthesizer.decoder."
Shape = tuple[int, ...]

_CAMERAS = "source_camera"
_NAMED = 8
"""Keys of each kind that a message names."""


def layout(config: InstantMeshConfig) -> dict[str, Shape]:
    """Shape of every tensor of a whole checkpoint, by its published key."""
    return dict(_layout(config))


def load_images_to_planes(
    path: str | Path, config: InstantMeshConfig, device: str | torch.device = "cpu"
) -> ImagesToPlanes:
    """Encoder and transformer: evaluation mode, float32, no gradients. Parameters are views of the mapped file.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : keys, shapes or types are not those of the network, or weights are not finite or absurdly large. The
        message names the keys.
    """
    with torch.device("meta"):
        network = ImagesToPlanes(config)
    _fill(network, PREFIX, path, config, device)
    return network


def load_decoder(path: str | Path, config: InstantMeshConfig, device: str | torch.device = "cpu") -> FlexiDecoder:
    """The decoder of a mesh model, as `load_images_to_planes`."""
    decoder = _decoder(replace(config, nerf=False))
    assert isinstance(decoder, FlexiDecoder)
    _fill(decoder, DECODER_PREFIX, path, decoder.config, device)
    return decoder


def load_nerf_decoder(path: str | Path, config: InstantMeshConfig, device: str | torch.device = "cpu") -> NerfDecoder:
    """The decoder of a NeRF model, as `load_images_to_planes`."""
    decoder = _decoder(replace(config, nerf=True))
    assert isinstance(decoder, NerfDecoder)
    _fill(decoder, DECODER_PREFIX, path, decoder.config, device)
    return decoder


def check_layout(
    path: str | Path, found: Mapping[str, Shape], needed: Iterable[str], config: InstantMeshConfig
) -> None:
    """Raise FormatError, naming the keys, unless a file has the needed keys, none that is unknown, and right shapes.

    `path` is what messages call the file.
    """
    expected = _layout(config)
    missing = [f"`{key}`" for key in needed if key not in found]
    unknown = [repr(key[:100]) for key in sorted(_known(found)) if key not in expected]
    misshapen = [
        f"`{key}` has shape {found[key]}, expected {shape}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    complaints = [
        f"{len(keys)} {'key' if len(keys) == 1 else 'keys'} {what} ({', '.join(keys[:_NAMED])}"
        f"{', ...' if len(keys) > _NAMED else ''})"
        for what, keys in (("missing", missing), ("unexpected", unknown), ("of the wrong shape", misshapen))
        if keys
    ]
    if complaints:
        raise FormatError(f"`{path}`: {'; '.join(complaints)}", hint=_hint(found))


def _fill(
    network: nn.Module, prefix: str, path: str | Path, config: InstantMeshConfig, device: str | torch.device
) -> None:
    found = read_shapes(path)
    names = {prefix + key: key for key in network.state_dict()}
    check_layout(path, found, names, config)
    tensors = read_tensors(path, found, list(names), device=device)
    network.load_state_dict({names[name]: tensor for name, tensor in tensors.items()}, assign=True)
    network.requires_grad_(False).eval()


@lru_cache(maxsize=8)
def _layout(config: InstantMeshConfig) -> Mapping[str, Shape]:
    with torch.device("meta"):
        parts = {PREFIX: ImagesToPlanes(config), DECODER_PREFIX: _decoder(config)}
    return {prefix + key: tuple(x.shape) for prefix, part in parts.items() for key, x in part.state_dict().items()}


def _decoder(config: InstantMeshConfig) -> FlexiDecoder | NerfDecoder:
    with torch.device("meta"):
        return NerfDecoder(config) if config.nerf else FlexiDecoder(config)


def _known(keys: Iterable[str]) -> list[str]:
    """Keys that are part of the model."""
    return [key for key in keys if key.startswith(PREFIX) and _CAMERAS not in key]


def _hint(found: Mapping[str, Shape]) -> str:
    kept = _known(found)
    if not kept:
        return f"keys of InstantMesh start with `{PREFIX}`: the file belongs to another model"
    for name, config in CONFIGS.items():
        expected = _layout(config)
        if all(expected.get(key) == found[key] for key in kept):
            return f"the file is (part of) `{name}`; check the name of the model and the file"
    return "the file belongs to another model, or is damaged; fetch it again"
