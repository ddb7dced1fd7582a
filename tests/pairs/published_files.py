"""Small weight files in the published layouts, whose generators make a known shape.

The shape is an ellipsoid in the generator's frame, tall along z and bulging towards the front. Its planes (or, for
Shap-E, its network) are biases of the mapping's and the generator's last layers; what the code adds to them is little
noise. So any mesh comes back as that ellipsoid, upright and facing the front if the frames are right.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
from squeeze3d.backbones.meshanything.config import MeshAnythingConfig
from squeeze3d.backbones.openlrm.config import OpenLRMConfig, VisionConfig
from squeeze3d.backbones.shape.config import ShapeConfig
from squeeze3d.bench.filled import filled
from squeeze3d.weights.cache import bring_in
from squeeze3d.weights.registry import artefact

ENCODER = MeshAnythingConfig(width=64, heads=1, encoder_layers=1, decoder_layers=1, bottleneck=8, feature=16)
INSTANT = InstantMeshConfig(
    encoder_width=64,
    encoder_layers=1,
    encoder_heads=1,
    encoder_hidden=32,
    patch=16,
    native_image=32,
    width=64,
    layers=1,
    heads=1,
    channels=2,
)
LRM = OpenLRMConfig(
    VisionConfig(width=64, heads=1, depth=1, native=3),
    width=64,
    layers=1,
    heads=1,
    channels=2,
    picture=336,
    samples=96,
    camera_width=16,
)
IMPLICIT = ShapeConfig(latent=12, hidden=16)
CODE = 24

TALL, WIDE, DEEP = 0.8, 0.5, 0.4
"""Half axes along up, side and front."""
FORWARD = 0.15
"""Of the centre, towards the front."""
NOISE = 0.02
"""Of what a code adds to planes."""
_OFFSET = 2.0


def quadric(up: NDArray, side: NDArray, front: NDArray) -> NDArray:
    """Negative within the ellipsoid."""
    return (up / TALL) ** 2 + (side / WIDE) ** 2 + ((front - FORWARD) / DEEP) ** 2 - 1


def planes(channels: int, front: Callable[[NDArray, NDArray], tuple[NDArray, NDArray]]) -> NDArray[np.float32]:
    """(3, C, 64, 64) planes whose first channels add up to the quadric less `2 * _OFFSET`, up being z.

    `front` tells front and side of (x, y). What lies beyond the planes reads zeros, and must be outside.
    """
    place = (np.arange(64) + 0.5) / 32 - 1
    rows, columns = np.meshgrid(place, place, indexing="ij")
    ahead, side = front(columns, rows)
    made = np.zeros((3, channels, 64, 64), dtype=np.float32)
    made[0, 0] = quadric(np.zeros_like(ahead), side, ahead) - _OFFSET
    made[1, 0] = (rows / TALL) ** 2 - _OFFSET
    return made


def decoder(prefix: str, features: int, outputs: int, scale: float, bias: float) -> dict[str, torch.Tensor]:
    """Four layers that give `scale * (the sum of the first channels + 2 * _OFFSET) + bias` and, beside it, zeros."""
    channels = features // 3
    layers = [torch.zeros(64, features), torch.zeros(64, 64), torch.zeros(64, 64), torch.zeros(outputs, 64)]
    layers[0][0, ::channels] = 1
    layers[0][1, ::channels] = -1
    for layer in layers[1:3]:
        layer[0, 0] = layer[1, 1] = 1
    layers[3][0, 0], layers[3][0, 1] = scale, -scale
    tensors = {f"{prefix}{2 * number}.weight": layer for number, layer in enumerate(layers)}
    tensors |= {f"{prefix}{2 * number}.bias": torch.zeros(len(layer)) for number, layer in enumerate(layers)}
    tensors[f"{prefix}6.bias"][0] = bias + scale * 2 * _OFFSET
    return tensors


def fill(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(np.asarray(filled(key, shape))) for key, shape in shapes.items()}


def mapping(bias: NDArray[np.float32], *, feature: int = ENCODER.feature, code: int = CODE) -> dict[str, torch.Tensor]:
    """A mapping network with the published keys that makes `bias` and a little noise."""
    size = bias.size
    shapes = {
        "fc1.weight": (code, 257 * feature),
        "fc1.bias": (code,),
        "ln1.weight": (code,),
        "ln1.bias": (code,),
        "fc2.weight": (code, code),
        "fc2.bias": (code,),
        "ln2.weight": (code,),
        "ln2.bias": (code,),
        "fc3.weight": (size, code),
        "fc3.bias": (size,),
    }
    tensors = fill(shapes)
    tensors["fc3.weight"] *= NOISE
    tensors["fc3.bias"] = torch.from_numpy(bias.reshape(-1).astype(np.float32))
    return tensors


def encoder_file(folder: Path, config: MeshAnythingConfig = ENCODER) -> Path:
    """As published: safetensors under the suffix of a pickle, with tensors of other networks."""
    from squeeze3d.backbones.meshanything.network import MeshAnythingEncoder
    from squeeze3d.backbones.published import shapes_of

    with torch.device("meta"):
        shapes = shapes_of(MeshAnythingEncoder(config, whole=True))
    others = {"transformer.model.weight": torch.full((3,), float("nan")), "tokenizer.cond_proj.weight": torch.zeros(2)}
    path = folder / "MeshAnything_350m.pth"
    save_file({**fill(shapes), **others}, path)
    return path


def instantmesh_files(folder: Path, *, bias: float = 0.0, config: InstantMeshConfig = INSTANT) -> tuple[Path, Path]:
    """A pickle of the generator and a mapping network. A positive `bias` shrinks the shape, 1 and more to nothing."""
    from squeeze3d.backbones.instantmesh.weights import DECODER_PREFIX, layout

    state = fill(layout(config)) | decoder(f"{DECODER_PREFIX}net_sdf.", 3 * config.channels, 1, 0.3, 0.3 * bias)
    generator = folder / "instant_mesh_large.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, generator)
    # Front +x, side y.
    made = mapping(planes(config.channels, lambda x, y: (x, y)))
    save_file(made, folder / "mesh_ma_instantmesh.safetensors")
    return generator, folder / "mesh_ma_instantmesh.safetensors"


def openlrm_files(folder: Path) -> tuple[Path, Path]:
    """A flat pickle of the generator and a mapping network."""
    from squeeze3d.backbones.openlrm.config import THRESHOLD
    from squeeze3d.backbones.openlrm.loading import checkpoint_shapes

    level = 1 + math.log(math.expm1(THRESHOLD))
    state = fill(checkpoint_shapes(LRM)) | decoder("synthesizer.decoder.net.", 3 * LRM.channels, 4, -5.0, level)
    torch.save(state, folder / "pytorch_model.bin")
    # Front -y, side x.
    save_file(mapping(planes(LRM.channels, lambda x, y: (-y, x))), folder / "mesh_ma_lrm.safetensors")
    return folder / "pytorch_model.bin", folder / "mesh_ma_lrm.safetensors"


def shape_files(folder: Path) -> tuple[Path, Path]:
    """The decoder in the layout of diffusers and a mapping network.

    silu(t) + silu(-t) is t^2 / 2 for small t, and silu(t + 10) about t + 10.
    """
    from squeeze3d.backbones.shape.config import GENERATED
    from squeeze3d.backbones.shape.decoder import LAYOUTS, unused_shapes
    from squeeze3d.backbones.shape.network import ShapeNetwork

    network = ShapeNetwork(IMPLICIT)
    state = {key: torch.zeros_like(tensor) for key, tensor in network.state_dict().items()}
    small, lift = 0.2, 10.0
    for layer in range(GENERATED):
        weight = torch.zeros(IMPLICIT.layer_shape(layer))
        if layer == 0:
            # Side x, front -y, up z.
            for axis, scale in enumerate((1 / WIDE, -1 / DEEP, 1 / TALL)):
                weight[2 * axis, axis], weight[2 * axis + 1, axis] = small * scale, -small * scale
            shift = small * FORWARD / DEEP
            state["mlp.mlp.0.bias"][2], state["mlp.mlp.0.bias"][3] = -shift, shift
        elif layer == 1:
            weight[0, :6] = 2 / small**2
            state["mlp.mlp.1.bias"][0] = lift
        else:
            weight[0, 0] = 1
        prefix = f"params_proj.projections.nerstf__mlp__{layer}__weight."
        state[prefix + "proj.bias"] = weight.reshape(-1)
        key = prefix + "proj.weight"
        state[key] = torch.from_numpy(np.asarray(filled(key, tuple(state[key].shape))))
        state[prefix + "norm.weight"] += 1e-4
    state["mlp.mlp.4.weight"][0, 0] = state["mlp.mlp.5.weight"][0, 0] = 1
    state["mlp.mlp.6.weight"][0, 0] = -0.5
    state["mlp.mlp.6.bias"][0] = 0.5 * (lift + 1)
    constants = {
        "void.background": torch.full((3,), 255.0),
        "mesh_decoder.cases": torch.zeros(256, 5, 3, dtype=torch.int64),
        "mesh_decoder.masks": torch.zeros(256, 5, dtype=torch.bool),
    }
    placeholders = {
        key: torch.zeros(shape)
        for key, shape in unused_shapes(LAYOUTS["diffusers"], IMPLICIT).items()
        if key not in constants
    }
    save_file({**state, **placeholders, **constants}, folder / "diffusion_pytorch_model.safetensors")
    save_file(mapping(np.zeros(IMPLICIT.latent_shape, np.float32)), folder / "mesh_ma_shape.safetensors")
    return folder / "diffusion_pytorch_model.safetensors", folder / "mesh_ma_shape.safetensors"


def install(name: str, path: Path) -> None:
    """Import a small file under the name of a published one, whose size and hash it does not have."""
    bring_in(dataclasses.replace(artefact(name), size=None, sha256=None), path, force=True)
