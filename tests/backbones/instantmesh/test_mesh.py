"""From planes to meshes: the published ones, and what there is no mesh of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity
import pytest
import torch
from torch import Tensor

from squeeze3d.backbones.instantmesh import mesh as module
from squeeze3d.backbones.instantmesh.config import TINY
from squeeze3d.backbones.instantmesh.decoder import WEIGHT_SCALE, FlexiDecoder, NerfDecoder
from squeeze3d.backbones.instantmesh.lattice import LatticeFeatures, lattice_places
from squeeze3d.backbones.instantmesh.mesh import (
    decode_mesh,
    is_empty,
    lattice_sdf,
    mesh_from_sdf,
    with_training_shell,
)
from squeeze3d.backbones.triplane_sampling import sample_planes
from squeeze3d.errors import InputError
from squeeze3d.geometry.flexicubes import surface_cubes

NAME = "parity_full_decode"
RECORDED = parity.arrays(NAME, "instantmesh")
PLANES = torch.from_numpy(RECORDED["planes"])[0]
BIAS = parity.manifest(NAME, "instantmesh")["config"]["sdf_bias_add"]


def decoder(case: str) -> FlexiDecoder:
    """The network of a case."""
    prefix = "synthesizer.decoder."
    weights = parity.weights(NAME, "instantmesh")
    network = FlexiDecoder(TINY)
    network.load_state_dict({key.removeprefix(prefix): torch.from_numpy(value) for key, value in weights.items()})
    with torch.no_grad():
        network.net_sdf[6].bias += BIAS[case]
    return network.requires_grad_(False).eval()


def all_of(count: int) -> Tensor:
    """(count^3, 3) lattice coordinates in C order."""
    return torch.cartesian_prod(*[torch.arange(count)] * 3)


def worst(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> float:
    assert tuple(a.shape) == tuple(b.shape)
    return float(np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b)).max())


def same_mesh(case: str, made: module.ColouredMesh) -> None:
    assert np.array_equal(made.triangles, RECORDED[f"{case}.faces"])
    assert worst(made.positions, RECORDED[f"{case}.vertices"]) < 1e-6
    assert worst(made.colours, RECORDED[f"{case}.vertex_rgb"].clip(0, 1)) < 1e-5
    assert worst((made.colours * 255).astype(np.uint8), RECORDED[f"{case}.vertex_colors"]) <= 1


def test_planes_become_the_published_mesh():
    network = decoder("crossing")
    sdf = lattice_sdf(network, PLANES)
    assert worst(sdf.reshape(-1), RECORDED["crossing.sdf_raw"].reshape(-1)) < 1e-5
    assert not is_empty(sdf)
    same_mesh("crossing", decode_mesh(network, PLANES))


def test_an_empty_shape_is_told():
    network = decoder("empty_fix")
    assert is_empty(lattice_sdf(network, PLANES))
    with pytest.raises(InputError, match="no surface"):
        decode_mesh(network, PLANES)
    with torch.no_grad():
        network.net_sdf[6].bias -= 20
    with pytest.raises(InputError, match="no surface"):
        decode_mesh(network, PLANES)


def test_what_training_makes_of_an_empty_shape_is_the_published_shell():
    network = decoder("empty_fix")
    sdf = lattice_sdf(network, PLANES)
    assert worst(sdf.reshape(-1), RECORDED["empty_fix.sdf_raw"].reshape(-1)) < 1e-5
    shell = with_training_shell(sdf)
    assert worst(shell.reshape(-1), RECORDED["empty_fix.sdf"].reshape(-1)) < 1e-5
    same_mesh("empty_fix", mesh_from_sdf(network, PLANES, shell))


def test_the_shell_takes_the_published_points():
    grid = parity.arrays("parity_flexicubes", "instantmesh")
    changed = np.flatnonzero(with_training_shell(np.ones((5, 5, 5), dtype=np.float32)) != 1)
    expected = np.union1d(grid["grid_res4.boundary_indices"], grid["grid_res4.center_indices"])
    assert np.array_equal(changed, expected)


def test_only_the_outermost_points_do_not_make_a_shape():
    sdf = np.ones((6, 6, 6), dtype=np.float32)
    sdf[0] = -1
    assert is_empty(sdf)
    sdf[1:] = 0
    assert is_empty(sdf)
    sdf[1, 1, 1:3] = [-1, 1]
    assert not is_empty(sdf)


@torch.no_grad()
def test_the_whole_lattice_has_the_published_deformation_and_weights():
    network = decoder("crossing")
    features = LatticeFeatures(PLANES, torch.from_numpy(lattice_places(TINY.grid, TINY.grid_scale)))
    deformation = network.deformation(features.at_points(network.net_deformation, all_of(17)))
    assert worst(deformation, RECORDED["crossing.deformation"][0]) < 1e-6
    weight = features.at_cubes(network.net_weight, all_of(16)) * WEIGHT_SCALE
    assert worst(weight, RECORDED["crossing.weight"][0]) < 1e-6


@torch.no_grad()
def test_lattice_agrees_with_looking_up_every_point():
    config = replace(TINY, grid=20, grid_scale=2.3, low_resolution=5, channels=7)
    network = FlexiDecoder(config)
    planes = torch.randn(config.planes_shape, generator=torch.Generator().manual_seed(0))
    places = torch.from_numpy(lattice_places(20, 2.3))
    points = places[all_of(21)]
    assert worst(lattice_sdf(network, planes).reshape(-1), network.sdf(planes[None], points[None])[0]) < 1e-5
    features = LatticeFeatures(planes, places)
    looked_up = sample_planes(planes[None], points[None])[0]
    assert worst(features.at_points(network.net_rgb, all_of(21)), network.net_rgb(looked_up)) < 1e-5
    noise = np.random.default_rng(0).standard_normal((21, 21, 21)).astype(np.float32)
    surface = surface_cubes(noise)
    corners = looked_up[torch.from_numpy(surface.points[surface.corners])].flatten(1)
    found = features.at_cubes(network.net_weight, torch.from_numpy(surface.cube_places()))
    assert worst(found, network.net_weight(corners)) < 1e-5


def test_lattice_places_are_rounded_as_published():
    grid = parity.arrays("parity_flexicubes", "instantmesh")["grid_res4.vertices"]
    assert np.array_equal(lattice_places(4, 2.1)[all_of(5)], grid)
    exact = (np.arange(129) / 128 - 0.5) * 2.1
    moved = np.abs(lattice_places(128, 2.1) - exact)
    assert 1.0e-5 < moved.max() < 1.07e-5
    assert moved[[0, 64, 128]].max() < 1e-6


def test_planes_that_are_no_numbers_are_refused():
    network = decoder("crossing")
    for wrong in (torch.nan, torch.inf):
        planes = PLANES.clone()
        planes[1, 2, 3, 4] = wrong
        with pytest.raises(InputError, match="not finite"):
            decode_mesh(network, planes)
    with pytest.raises(InputError, match="not finite"):
        decode_mesh(network, PLANES * 1e38)


def test_noise_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_CUBES", 100)
    with pytest.raises(InputError, match=r"noise .* [0-9]+ cubes"):
        decode_mesh(decoder("crossing"), PLANES)


def test_decoding_leaves_gradients_alone():
    network = decoder("crossing")
    planes = PLANES.clone().requires_grad_()
    same_mesh("crossing", decode_mesh(network, planes))
    network.rgb(planes[None], torch.zeros(1, 1, 3)).sum().backward()
    assert planes.grad is not None


def nerf(level: float) -> NerfDecoder:
    """A decoder whose raw density is `level` less how far x and y are from 0, by means of plane 0."""
    network = NerfDecoder(replace(TINY, nerf=True, decoder_hidden=2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for k in (0, 2, 4):
            network.net[k].weight[0, 0] = 1
        network.net[6].weight[0, 0] = -1
        network.net[6].bias[0] = level
        network.net[6].bias[1:] = torch.tensor([-20.0, 0.0, 20.0])
    return network


def test_nerf_models_give_a_mesh(monkeypatch):
    monkeypatch.setattr(module, "DENSITY_POINTS", 40)
    planes = torch.zeros(TINY.planes_shape)
    along = (torch.arange(8) + 0.5) / 4 - 1
    planes[0, 0] = 100 * (along.square()[:, None] + along.square())
    made = decode_mesh(nerf(40.0), planes)
    # A rod along z, closed at its ends: planes are linear between cells, so its sides are only nearly round.
    sides = made.positions[np.abs(made.positions[:, 2]) < 0.9]
    expected = np.sqrt((40 - 1 - np.log(np.expm1(10))) / 100)
    assert np.linalg.norm(sides[:, :2], axis=1) == pytest.approx(expected, rel=0.06)
    assert np.abs(made.positions[:, 2]).max() == pytest.approx(1, abs=0.06)
    a, b, c = made.positions[made.triangles].transpose(1, 0, 2)
    assert np.einsum("nk,nk->", a, np.cross(b, c)) > 0
    assert made.colours == pytest.approx(np.tile([0, 0.5, 1], (len(made.colours), 1)))
    with pytest.raises(InputError, match="no surface"):
        decode_mesh(nerf(5.0), planes)
    with pytest.raises(InputError, match="not finite"):
        decode_mesh(nerf(5.0), planes * torch.nan)
