"""Weight files in the published layouts whose generators make a known shape, of any size.

The shape is an ellipsoid in the generator's frame, tall along z and bulging towards the front. The last bias of the
mapping network holds it, as planes, as points or not at all; the generator's network that tells inside from outside is
set to read it. All else is filled (`filled`), and what a code adds is little noise. So anything comes back as that
ellipsoid: quality means nothing, while sizes, seconds and memory are those of the real networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
from squeeze3d.backbones.lion.config import CHANNELS, LionConfig
from squeeze3d.backbones.meshanything.config import MeshAnythingConfig
from squeeze3d.backbones.openlrm.config import OpenLRMConfig
from squeeze3d.backbones.shape.config import GENERATED, ShapeConfig
from squeeze3d.bench.filled import filled, write_filled

Array = NDArray[np.float32]
Shape = tuple[int, ...]

TALL, WIDE, DEEP = 0.8, 0.5, 0.4
"""Half axes along up, side and front."""
FORWARD = 0.15
"""Of the centre, towards the front."""
NOISE = 0.02
"""Of what a code adds to planes."""
_OFFSET = 2.0
"""Taken off two of the planes, so that places beyond them, which read zeros, are outside."""
_HIDDEN = 64


@dataclass(frozen=True)
class MappingSizes:
    """Sizes of a mapping network."""

    feature: Shape
    latent: Shape
    code: int


def quadric(up: NDArray[np.float64], side: NDArray[np.float64], front: NDArray[np.float64]) -> NDArray[np.float64]:
    """Negative within the ellipsoid."""
    return (up / TALL) ** 2 + (side / WIDE) ** 2 + ((front - FORWARD) / DEEP) ** 2 - 1


Sides = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Front and side of x and y in a generator's frame."""


def front_x(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """InstantMesh."""
    return x, y


def front_below(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """OpenLRM: -y."""
    return -y, x


def planes(shape: Shape, sides: Sides) -> Array:
    """(3, C, H, W) planes whose first channels add up to the quadric less twice the offset, up being z."""
    cells = shape[2]
    place = (np.arange(cells) + 0.5) * (2 / cells) - 1
    rows, columns = np.meshgrid(place, place, indexing="ij")
    ahead, side = sides(columns, rows)
    made = np.zeros(shape, dtype=np.float32)
    made[0, 0] = quadric(np.zeros_like(ahead), side, ahead) - _OFFSET
    made[1, 0] = (rows / TALL) ** 2 - _OFFSET
    return made


def reading(prefix: str, features: int, outputs: int, scale: float, bias: float) -> dict[str, Array]:
    """Four layers that give `scale` times the planes' quadric, plus `bias`, and zeros beside it."""
    layers: list[Array] = [
        np.zeros(shape, np.float32)
        for shape in ((_HIDDEN, features), (_HIDDEN, _HIDDEN), (_HIDDEN, _HIDDEN), (outputs, _HIDDEN))
    ]
    channels = features // 3
    layers[0][0, ::channels], layers[0][1, ::channels] = 1, -1
    for layer in layers[1:3]:
        layer[0, 0] = layer[1, 1] = 1
    layers[3][0, 0], layers[3][0, 1] = scale, -scale
    made: dict[str, Array] = {f"{prefix}{2 * number}.weight": layer for number, layer in enumerate(layers)}
    made |= {f"{prefix}{2 * number}.bias": np.zeros(len(layer), np.float32) for number, layer in enumerate(layers)}
    made[f"{prefix}6.bias"][0] = bias + scale * 2 * _OFFSET
    return made


def write_mapping(path: Path, sizes: MappingSizes, bias: Array) -> None:
    """A mapping network that makes `bias` and a little noise."""
    inputs, outputs, code = math.prod(sizes.feature), math.prod(sizes.latent), sizes.code
    shapes: dict[str, Shape] = {
        "fc1.weight": (code, inputs),
        "fc2.weight": (code, code),
        "fc3.weight": (outputs, code),
        "fc3.bias": (outputs,),
    }
    shapes |= {f"{name}.{part}": (code,) for name in ("ln1", "ln2") for part in ("weight", "bias")}
    shapes |= {f"{name}.bias": (code,) for name in ("fc1", "fc2")}
    write_filled(path, shapes, {"fc3.bias": bias.reshape(-1)}, {"fc3.weight": NOISE})


def write_deep_mapping(path: Path, sizes: MappingSizes, bias: Array) -> None:
    """A mapping network of the point pairs that makes `bias` and a little noise."""
    import torch

    from squeeze3d.backbones.published import shapes_of
    from squeeze3d.mapping.networks import build_mapping

    with torch.device("meta"):
        network = build_mapping(
            "deep-mlp", encoder_shape=sizes.feature, generator_shape=sizes.latent, code_size=sizes.code
        )
    shapes = {**shapes_of(network.forward_map), **shapes_of(network.reverse_map)}
    write_filled(path, shapes, {"output_layer.bias": bias.reshape(-1)}, {"output_layer.weight": NOISE})


def write_encoder(path: Path, config: MeshAnythingConfig) -> None:
    """MeshAnything's point encoder: safetensors, whatever the suffix."""
    import torch

    from squeeze3d.backbones.meshanything.network import MeshAnythingEncoder
    from squeeze3d.backbones.published import shapes_of

    with torch.device("meta"):
        shapes = shapes_of(MeshAnythingEncoder(config, whole=True))
    write_filled(path, shapes)


def write_instantmesh(path: Path, config: InstantMeshConfig, *, bias: float = 0.0) -> Array:
    """A pickle as published; returns what the mapping has to add. A positive `bias` shrinks the shape, 1 to nothing."""
    from squeeze3d.backbones.instantmesh.weights import DECODER_PREFIX, layout

    fixed = reading(f"{DECODER_PREFIX}net_sdf.", 3 * config.channels, 1, 0.3, 0.3 * bias)
    _pickle(path, layout(config), fixed, wrapped=True)
    return planes(config.planes_shape, front_x)


def write_openlrm(path: Path, config: OpenLRMConfig) -> Array:
    """A pickle as published, or a safetensors file, by the suffix; returns what the mapping has to add."""
    from squeeze3d.backbones.openlrm.config import THRESHOLD
    from squeeze3d.backbones.openlrm.loading import checkpoint_shapes

    level = 1 + math.log(math.expm1(THRESHOLD))
    fixed = reading("synthesizer.decoder.net.", 3 * config.channels, 4, -5.0, level)
    if path.suffix == ".safetensors":
        write_filled(path, checkpoint_shapes(config), fixed)
    else:
        _pickle(path, checkpoint_shapes(config), fixed, wrapped=False)
    return planes(config.planes_shape, front_below)


def write_shape(path: Path, config: ShapeConfig) -> Array:
    """Shap-E's decoder in the layout of diffusers; returns what the mapping has to add, zeros.

    silu(t) + silu(-t) is t^2 / 2 for small t, and silu(t + 10) about t + 10.
    """
    import torch
    from safetensors.numpy import save_file

    from squeeze3d.backbones.published import shapes_of
    from squeeze3d.backbones.shape.decoder import LAYOUTS, unused_shapes
    from squeeze3d.backbones.shape.network import ShapeNetwork

    with torch.device("meta"):
        state = {key: np.zeros(shape, np.float32) for key, shape in shapes_of(ShapeNetwork(config)).items()}
    small, lift = 0.2, 10.0
    for layer in range(GENERATED):
        weight = np.zeros(config.layer_shape(layer), np.float32)
        if layer == 0:
            # Side x, front -y, up z.
            for axis, scale in enumerate((1 / WIDE, -1 / DEEP, 1 / TALL)):
                weight[2 * axis, axis], weight[2 * axis + 1, axis] = small * scale, -small * scale
            shift = small * FORWARD / DEEP
            state["mlp.mlp.0.bias"][2:4] = -shift, shift
        elif layer == 1:
            weight[0, :6] = 2 / small**2
            state["mlp.mlp.1.bias"][0] = lift
        else:
            weight[0, 0] = 1
        prefix = f"params_proj.projections.nerstf__mlp__{layer}__weight."
        state[prefix + "proj.bias"] = weight.reshape(-1)
        state[prefix + "proj.weight"] = _filled(prefix + "proj.weight", state[prefix + "proj.weight"].shape)
        state[prefix + "norm.weight"] += 1e-4
    state["mlp.mlp.4.weight"][0, 0] = state["mlp.mlp.5.weight"][0, 0] = 1
    state["mlp.mlp.6.weight"][0, 0] = -0.5
    state["mlp.mlp.6.bias"][0] = 0.5 * (lift + 1)
    others: dict[str, NDArray[np.generic]] = {
        "void.background": np.full(3, 255.0, np.float32),
        "mesh_decoder.cases": np.zeros((256, 5, 3), np.int64),
        "mesh_decoder.masks": np.zeros((256, 5), np.bool_),
    }
    unused = unused_shapes(LAYOUTS["diffusers"], config)
    others |= {key: np.zeros(shape, np.float32) for key, shape in unused.items() if key not in others}
    save_file({**state, **others}, path)
    return np.zeros(config.latent_shape, np.float32)


def write_pointnet2(path: Path) -> None:
    """A pickle as published, with scores that are numbers of NumPy."""
    import torch

    from squeeze3d.backbones.pointnet2.encoder import COUNTERS
    from squeeze3d.backbones.pointnet2.network import PointNet2
    from squeeze3d.backbones.published import shapes_of

    with torch.device("meta"):
        shapes = shapes_of(PointNet2(whole=True))
    state = {key: torch.from_numpy(_filled(key, shape)) for key, shape in shapes.items()}
    state |= {key: torch.zeros((), dtype=torch.int64) for key in COUNTERS}
    torch.save({"epoch": 1, "instance_acc": np.float64(0.5), "model_state_dict": state}, path)


def write_lion(path: Path, config: LionConfig) -> Array:
    """A pickle as published; returns what the mapping has to add: latent points on the ellipsoid, here along y."""
    import torch

    from squeeze3d.backbones.lion.network import LionNetwork
    from squeeze3d.backbones.lion.priors import Priors
    from squeeze3d.backbones.published import shapes_of

    with torch.device("meta"):
        networks = {"vae_state_dict": LionNetwork(config), "dae_state_dict": Priors(config)}
    answers = "decoder.layers.classifier.2.weight"
    state = {
        name: {
            key: torch.from_numpy(_filled(key, shape) * np.float32(NOISE if key == answers else 1))
            for key, shape in shapes_of(network).items()
        }
        for name, network in networks.items()
    }
    torch.save({"epoch": 1, **state, "vae_optimizer": {"state": {0: torch.zeros(3)}}}, path)
    number = np.arange(config.points)
    height = 1 - (2 * number + 1) / config.points
    turn, around = number * (np.pi * (3 - np.sqrt(5))), np.sqrt(1 - height**2)
    latent = np.zeros((config.points, CHANNELS), np.float32)
    latent[:, :3] = np.stack([WIDE * around * np.cos(turn), TALL * height, DEEP * around * np.sin(turn)], axis=1)
    latent[:, 2] += FORWARD
    # Neighbours in the file are not neighbours in space, as in what the prior draws.
    latent = latent[np.random.Generator(np.random.PCG64(0)).permutation(config.points)]
    return np.concatenate([np.zeros(config.style, np.float32), latent.reshape(-1)])


def _filled(key: str, shape: Shape) -> Array:
    return filled(key, shape).astype(np.float32, copy=False)


def _pickle(path: Path, shapes: Mapping[str, Shape], fixed: Mapping[str, Array], *, wrapped: bool) -> None:
    import torch

    state = {
        key: torch.from_numpy(fixed[key] if key in fixed else _filled(key, shape)) for key, shape in shapes.items()
    }
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
