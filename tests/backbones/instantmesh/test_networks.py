"""InstantMesh's networks: the published numbers, keys and shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import parity
import pytest
import torch
from torch import Tensor, nn

from squeeze3d.backbones.instantmesh.cameras import input_cameras
from squeeze3d.backbones.instantmesh.config import BASE, CONFIGS, LARGE, TINY
from squeeze3d.backbones.instantmesh.decoder import WEIGHT_SCALE, FlexiDecoder, NerfDecoder
from squeeze3d.backbones.instantmesh.encoder import CameraViT
from squeeze3d.backbones.instantmesh.network import ImagesToPlanes
from squeeze3d.backbones.instantmesh.transformer import TriplaneTransformer
from squeeze3d.backbones.instantmesh.weights import layout
from squeeze3d.backbones.triplane_sampling import sample_planes

Network = TypeVar("Network", bound=nn.Module)


def filled(network: Network, name: str, prefix: str = "") -> tuple[Network, dict[str, Tensor]]:
    """A network with the weights of a fixture, exactly its keys below the prefix, and the recorded tensors."""
    weights = {key: torch.from_numpy(value) for key, value in parity.weights(name, "instantmesh").items()}
    ours = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    network.load_state_dict(ours)
    recorded = {key: torch.from_numpy(value) for key, value in parity.arrays(name, "instantmesh").items()}
    return network.eval(), recorded


def worst(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@torch.no_grad()
def test_encoder_gives_the_published_tokens():
    encoder, recorded = filled(CameraViT(TINY), "parity_encoder", "encoder.")
    tokens = encoder(recorded["images"], recorded["cameras"])
    assert tokens.shape[:2] == (2, 3)
    assert worst(tokens.flatten(0, 1), recorded["features"]) < 1e-5


@torch.no_grad()
def test_native_images_need_no_other_positions():
    encoder, recorded = filled(CameraViT(TINY), "parity_encoder", "encoder.")
    tokens = encoder(recorded["images_native"], recorded["cameras_native"])
    assert worst(tokens.flatten(0, 1), recorded["features_native"]) < 1e-5


@torch.no_grad()
def test_the_camera_matters_and_views_do_not_see_each_other():
    encoder, recorded = filled(CameraViT(TINY), "parity_encoder", "encoder.")
    images, cameras = recorded["images"], recorded["cameras"]
    tokens = encoder(images, cameras)
    turned = encoder(images, cameras.roll(1, dims=1))
    assert worst(tokens[0, :1], turned[0, :1]) > 1e-3
    assert worst(encoder(images[:, :1], cameras[:, :1]), tokens[:, :1]) < 1e-5


@torch.no_grad()
def test_transformer_gives_the_published_planes():
    transformer, recorded = filled(TriplaneTransformer(TINY), "parity_transformer", "transformer.")
    first = transformer.layers[0](transformer.pos_embed.expand(2, -1, -1), recorded["image_feats"])
    assert worst(first, recorded["after_layer0"]) < 1e-5
    planes = transformer(recorded["image_feats"])
    assert planes.shape[1:] == TINY.planes_shape
    assert worst(planes, recorded["planes"]) < 1e-5


@torch.no_grad()
def test_images_become_the_published_planes():
    network = ImagesToPlanes(TINY)
    name = "parity_images_to_planes"
    encoder, recorded = filled(network.encoder, name, "encoder.")
    filled(network.transformer, name, "transformer.")
    assert worst(network(recorded["images"], recorded["cameras"]), recorded["planes"]) < 1e-5
    assert worst(torch.from_numpy(input_cameras())[None], recorded["cameras"]) < 1e-6
    assert network.encoder is encoder


@torch.no_grad()
def test_decoder_says_the_published_numbers():
    decoder, recorded = filled(FlexiDecoder(TINY), "parity_decoder", "synthesizer.decoder.")
    planes, points = recorded["planes"], recorded["points"]
    features = sample_planes(planes, points)
    assert worst(features.unflatten(2, (3, -1)).movedim(1, 2), recorded["sampled_features"]) < 1e-6
    sdf, rgb = decoder(planes, points)
    assert worst(sdf, recorded["sdf"][..., 0]) < 1e-6
    assert worst(rgb, recorded["rgb"]) < 1e-6
    assert worst(decoder.net_deformation(features), recorded["deformation_raw"]) < 1e-6
    corners = features[:, recorded["cube_indices"].long()].flatten(2)
    assert worst(decoder.net_weight(corners) * WEIGHT_SCALE, recorded["weight"]) < 1e-6
    assert torch.equal(decoder.sdf(planes, points), sdf)
    assert torch.equal(decoder.rgb(planes, points), rgb)


def test_points_have_exact_gradients_with_respect_to_planes_and_places():
    decoder, recorded = filled(FlexiDecoder(TINY), "parity_decoder", "synthesizer.decoder.")
    decoder = decoder.double().requires_grad_(False)
    planes = recorded["planes"][:1].double().requires_grad_()
    points = recorded["points"][:1, :5].double().requires_grad_()
    assert torch.autograd.gradcheck(decoder, (planes, points), fast_mode=True)
    for values in decoder(planes, points):
        (gradient,) = torch.autograd.grad(values.sum(), planes, retain_graph=True)
        assert all(gradient[0, plane].abs().max() > 0 for plane in range(3))


@torch.no_grad()
def test_far_away_is_the_same_everywhere():
    decoder, recorded = filled(FlexiDecoder(TINY), "parity_decoder", "synthesizer.decoder.")
    half_cell = 1 / TINY.planes_shape[-1]
    places = torch.tensor([[1.001 + half_cell, 2, -3], [-4, 1.1 + half_cell, -1.001 - half_cell]])
    sdf, rgb = decoder(recorded["planes"], places.expand(2, -1, -1))
    assert worst(sdf, decoder.net_sdf(torch.zeros(2, 2, 18))[..., 0]) == 0
    assert torch.equal(rgb[0], rgb[1])


@torch.no_grad()
def test_nerf_decoder_reads_density_and_colour_from_one_network():
    decoder = NerfDecoder(replace(TINY, nerf=True))
    planes = torch.randn(1, *TINY.planes_shape, generator=torch.Generator().manual_seed(0))
    points = torch.rand(1, 9, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    raw = decoder.net(sample_planes(planes, points))
    density, rgb = decoder(planes, points)
    assert worst(density, torch.log1p(torch.exp(raw[..., 0] - 1))) < 1e-6
    assert worst(rgb, torch.sigmoid(raw[..., 1:]) * 1.002 - 0.001) < 1e-6
    assert torch.equal(decoder.rgb(planes, points), rgb)


@pytest.mark.parametrize(("name", "config"), [("instant_mesh_large", LARGE), ("instant_mesh_base", BASE)])
def test_keys_and_shapes_are_the_published_ones(name, config):
    said = parity.manifest(name, "instantmesh")["config"]
    assert layout(config) == parity.shapes(name, "instantmesh")
    assert CONFIGS[name] == config
    assert (config.layers, config.channels) == (said["transformer_layers"], said["triplane_dim"])
    assert (config.grid, config.grid_scale) == (said["grid_res"], said["grid_scale"])
    assert config.planes_shape[-1] == said["triplane_high_res"]


def test_nerf_models_differ_in_the_decoder_alone():
    mesh, nerf = layout(CONFIGS["instant_mesh_base"]), layout(CONFIGS["instant_nerf_base"])
    theirs = {key: nerf[key] for key in nerf if key not in mesh}
    assert set(theirs) == {
        f"lrm_generator.synthesizer.decoder.net.{k}.{kind}" for k in (0, 2, 4, 6) for kind in ("weight", "bias")
    }
    assert theirs["lrm_generator.synthesizer.decoder.net.6.weight"] == (4, 64)
    assert all(".decoder.net_" in key for key in mesh if key not in nerf)
