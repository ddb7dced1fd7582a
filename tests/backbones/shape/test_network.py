"""Shap-E's decoder gives the recorded numbers of the original, has its keys, and hands gradients to the latent."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import parity
import pytest
import torch

from squeeze3d.backbones.shape.config import GENERATED, PUBLISHED, TINY
from squeeze3d.backbones.shape.decoder import LAYOUTS, unused_shapes
from squeeze3d.backbones.shape.network import Fields, ShapeNetwork, octave_code


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stored() -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.weights("parity_decode", network="shape").items()}


@cache
def tiny() -> ShapeNetwork:
    network = ShapeNetwork(TINY).eval().requires_grad_(False)
    network.load_state_dict({key: value for key, value in stored().items() if key in network.state_dict()})
    return network


def recorded(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.arrays(name, network="shape").items()}


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@torch.no_grad()
def test_latents_give_the_published_weights():
    given = recorded("parity_params_proj")
    made = tiny().weights(given["latent"])
    assert len(made) == GENERATED
    for layer, weight in enumerate(made):
        assert worst(weight, given[f"w{layer}"]) < 2e-5
    flat = tiny().weights(given["latent"].flatten(1))
    assert all(torch.equal(a, b) for a, b in zip(made, flat, strict=True))


@torch.no_grad()
def test_places_and_directions_have_the_published_codes():
    given = recorded("parity_mlp")
    assert worst(octave_code(given["position"], TINY.place_octaves), given["position_code"]) < 2e-5
    assert worst(octave_code(given["direction"], TINY.direction_octaves), given["direction_code"]) < 2e-5


@torch.no_grad()
def test_all_outputs_are_the_published_ones():
    given = recorded("parity_mlp")
    weights = tuple(stored()[f"mlp.mlp.{layer}.weight"].expand(2, -1, -1) for layer in range(GENERATED))
    found = tiny().fields(given["position"], weights)
    assert worst(found.signed_distance[..., None], given["sdf"]) < 2e-5
    assert worst(found.coarse_density[..., None], given["density_coarse"]) < 2e-5
    assert worst(found.fine_density[..., None], given["density_fine"]) < 2e-5
    assert worst(found.texture, given["stf_rgb"]) < 2e-5
    assert worst(found.coarse_colour, given["nerf_coarse_rgb"]) < 2e-5
    assert worst(found.fine_colour, given["nerf_fine_rgb"]) < 2e-5
    looked = tiny().fields(given["position"], weights, given["direction"])
    assert worst(looked.signed_distance[..., None], given["sdf_dir"]) < 2e-5
    assert worst(looked.fine_colour, given["nerf_fine_rgb_dir"]) < 2e-5
    assert worst(given["nerf_fine_rgb_dir"], given["nerf_fine_rgb"]) > 1e-3


@torch.no_grad()
def test_latents_give_the_published_distances_and_colours():
    given = recorded("parity_decode")
    found = tiny().fields(given["position"], tiny().weights(given["latent"]))
    assert worst(found.signed_distance[..., None], given["sdf"]) < 2e-3
    assert worst(found.texture, given["stf_rgb"]) < 2e-3


@torch.no_grad()
def test_shapes_of_a_batch_do_not_meet():
    given = recorded("parity_decode")
    both = tiny().fields(given["position"], tiny().weights(given["latent"])).outputs
    for row in range(2):
        alone = tiny().fields(given["position"][row, None], tiny().weights(given["latent"][row, None])).outputs
        assert worst(alone, both[row, None]) < 1e-4


def test_gradients_reach_the_latent_and_are_right():
    given = recorded("parity_decode")
    # Low octaves only: finite differences of 2^14 are no measure of anything.
    network = ShapeNetwork(TINY).eval().requires_grad_(False)
    network.load_state_dict(tiny().state_dict())
    norm = network.params_proj.projections["nerstf__mlp__0__weight"].norm
    norm.weight[9:], norm.bias[9:] = 0, 0
    network = network.double()
    latent = given["latent"][:1].double().requires_grad_(True)
    places = given["position"][:1, :8].double()

    def loss(latent: torch.Tensor) -> torch.Tensor:
        found = network.fields(places, network.weights(latent))
        return found.signed_distance.square().sum() + found.texture.sum()

    (gradient,) = torch.autograd.grad(loss(latent), latent)
    assert (gradient[0].abs().amax(dim=1) > 0).all()
    step = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step /= step.norm()
    with torch.no_grad():
        slope = (loss(latent + 1e-6 * step) - loss(latent - 1e-6 * step)) / 2e-6
    assert float(slope) == pytest.approx(float((gradient * step).sum()), rel=1e-4, abs=1e-8)


def test_full_size_layout_is_that_of_the_published_file():
    with torch.device("meta"):
        state = ShapeNetwork(PUBLISHED).state_dict()
    layout = LAYOUTS["diffusers"]
    named = {layout.name(key): tuple(value.shape) for key, value in state.items()}
    assert {**named, **unused_shapes(layout)} == parity.shapes("renderer", network="shape")
    assert not set(named) & set(unused_shapes(layout))
    numbers = parity.manifest("renderer", network="shape")["state_dict"].items()
    floats = sum(torch.Size(entry["shape"]).numel() for _, entry in numbers if entry["dtype"] == "float32")
    assert floats > 226e6
    assert PUBLISHED.latent_shape == (1024, 1024)


def test_fields_stay_in_their_ranges():
    fields = Fields(100 * torch.randn(1, 50, 12, generator=torch.Generator().manual_seed(0)))
    assert fields.signed_distance.abs().max() <= 1
    for colour in (fields.texture, fields.coarse_colour, fields.fine_colour):
        assert 0 <= colour.min() <= colour.max() <= 1
    assert fields.coarse_density.min() == fields.fine_density.min() == 0
