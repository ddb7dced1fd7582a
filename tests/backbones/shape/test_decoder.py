"""The published files: any of three layouts gives the same decoder; wrong ones are refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.assets.colour import linear_colours
from squeeze3d.backbones.shape.config import PUBLISHED, TINY
from squeeze3d.backbones.shape.decoder import CONSTANTS, LAYOUTS, ShapeGenerator, load_network
from squeeze3d.backbones.shape.surface import TO_Y_UP
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import checkpoint

PROJECTION = "params_proj.projections.nerstf__mlp__0__weight"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors() -> dict[str, torch.Tensor]:
    """Networks as the port stores them, weights that the latent replaces included."""
    return {key: torch.from_numpy(value) for key, value in parity.weights("parity_decode", network="shape").items()}


def calmed(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of smooth shapes, made of the recorded ones: gains as low as in untrained networks, the first octaves
    alone, and as much inside as outside.
    """
    for layer in range(4):
        projection = f"params_proj.projections.nerstf__mlp__{layer}__weight"
        stored[f"{projection}.norm.weight"] /= 4
        stored[f"{projection}.norm.bias"] *= 0
        stored[f"{projection}.proj.bias"] *= 0
    stored[f"{PROJECTION}.norm.weight"][:9] *= 4
    stored[f"{PROJECTION}.norm.weight"][9:] = 0
    stored["mlp.mlp.6.weight"][0] *= 20
    stored["mlp.mlp.6.bias"][0] -= 1.1
    return stored


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file of the port."""
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    constants = {
        "void.background": torch.full((3,), 255.0),
        "mesh_decoder.cases": torch.zeros(256, 5, 3, dtype=torch.int64),
        "mesh_decoder.masks": torch.zeros(256, 5, dtype=torch.bool),
    }
    assert {key: tuple(value.shape) for key, value in constants.items()} == CONSTANTS
    save_file({**tensors(), **constants}, path)
    return path


def change(path: Path, key: str, value: torch.Tensor | None) -> None:
    stored = load_file(path)
    if value is None:
        del stored[key]
    else:
        stored[key] = value
    save_file(stored, path)


@torch.no_grad()
def outputs(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    given = {key: torch.from_numpy(value) for key, value in parity.arrays("parity_decode", network="shape").items()}
    network = load_network(path, config=TINY)
    found = network.fields(given["position"], network.weights(given["latent"]))
    return found.signed_distance[..., None], given["sdf"]


def test_a_file_gives_the_published_distances(file):
    found, wanted = outputs(file)
    assert (found - wanted).abs().max() < 2e-3
    network = load_network(file, config=TINY)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", ["vector_decoder", "transmitter"])
def test_files_of_the_original_give_the_same(name, file, tmp_path):
    layout = LAYOUTS[name]
    renamed = {layout.name(key): value for key, value in tensors().items()}
    others = {"renderer.void.background": torch.zeros(3), "encoder.input_proj.weight": torch.zeros(2, 2)}
    other = tmp_path / "original.safetensors"
    save_file({**renamed, **others}, other)
    assert torch.equal(outputs(other)[0], outputs(file)[0])
    change(other, "renderer.nerstf.mlp.7.weight", torch.zeros(2, 2))
    with pytest.raises(FormatError, match="no part of this network"):
        load_network(other, config=TINY)


def test_only_tensors_in_use_are_read(file, monkeypatch):
    read = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (read.append(key), inspect(path, key, t)))
    network = load_network(file, config=TINY)
    assert set(read) == set(network.state_dict())
    assert "mlp.mlp.0.weight" not in read


def test_placeholders_and_constants_may_be_missing(file):
    for key in (*CONSTANTS, *(f"mlp.mlp.{layer}.weight" for layer in range(4))):
        change(file, key, None)
    load_network(file, config=TINY)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mlp.mlp.0.bias", None, r"`mlp.mlp.0.bias` of shape \(16,\) is missing"),
        (f"{PROJECTION}.norm.bias", None, "norm.bias` of shape .* is missing"),
        (f"{PROJECTION}.proj.weight", torch.zeros(1488, 25), r"has shape \(1488, 25\), expected \(1488, 24\)"),
        ("mlp.mlp.4.weight", torch.zeros(16, 16), r"`mlp.mlp.4.weight` has shape \(16, 16\), expected \(16, 67\)"),
        ("mlp.mlp.0.weight", torch.zeros(16, 16), r"`mlp.mlp.0.weight` has shape \(16, 16\), expected \(16, 93\)"),
        ("void.background", torch.zeros(4), r"expected \(3,\)"),
        ("mlp.mlp.7.weight", torch.zeros(1), "'mlp.mlp.7.weight' is no part"),
        ("anything", torch.zeros(1), "'anything' is no part"),
        ("mlp.mlp.0.bias", torch.full((16,), float("nan")), "`mlp.mlp.0.bias` holds values from nan"),
    ],
)
def test_files_of_other_networks_are_refused(file, key, value, message):
    change(file, key, value)
    with pytest.raises(FormatError, match=message) as caught:
        load_network(file, config=TINY)
    assert file.name in caught.value.message


def test_other_files_are_refused(file, tmp_path):
    with pytest.raises(FormatError, match="expected"):
        load_network(file)
    save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(FormatError, match=r"`params_proj.* is missing"):
        load_network(file, config=TINY)
    with pytest.raises(InputError, match="cannot read"):
        load_network(tmp_path / "nothing.safetensors", config=TINY)


def test_half_precision_files_are_widened(file):
    floats = {key: value.half() if value.is_floating_point() else value for key, value in load_file(file).items()}
    save_file(floats, file)
    found, _ = outputs(file)
    assert found.dtype == torch.float32


@pytest.fixture
def generator(tmp_path: Path) -> ShapeGenerator:
    path = tmp_path / "calm.safetensors"
    save_file(calmed(tensors()), path)
    return ShapeGenerator(load_network(path, config=TINY), size=32, stride=1)


def latent(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, *TINY.latent_shape, generator=torch.Generator().manual_seed(seed)).tanh()


def test_latents_become_meshes(generator):
    mesh = generator.generate(latent())
    primitive = mesh.primitives[0]
    assert len(primitive.triangles) > 100
    assert np.abs(primitive.positions).max() <= 1 + 2 / 31
    assert primitive.colours is not None
    again = generator.generate(latent().flatten(1)).primitives[0]
    assert np.array_equal(primitive.positions, again.positions)
    assert len(generator.generate(latent(1)).primitives[0].positions) != len(primitive.positions)


def test_the_quick_way_makes_the_same_mesh(generator):
    full = generator.generate(latent()).primitives[0]
    quick = ShapeGenerator(generator.network, size=32, stride=4).generate(latent()).primitives[0]
    assert full.positions.shape == quick.positions.shape
    assert np.abs(full.positions - quick.positions).max() < 1e-4
    assert np.array_equal(full.triangles, quick.triangles)


@pytest.mark.parametrize("turn", [None, TO_Y_UP])
def test_fields_are_those_of_the_mesh_and_pull_at_the_latent(generator, turn):
    generator = ShapeGenerator(generator.network, size=32, turn=turn)
    primitive = generator.generate(latent()).primitives[0]
    within = np.abs(primitive.positions).max(axis=1) < 0.9  # at the border, the surface is closed without the field
    places = torch.from_numpy(primitive.positions[within])
    assert len(places) > 100
    z = latent().requires_grad_(True)
    found = generator.fields(z, places)
    beside = generator.fields(z, places + 0.1)
    distance = found.signed_distance.abs().mean()
    assert distance.item() < 0.05 * beside.signed_distance.abs().mean().item()
    colours = linear_colours(found.texture[0].detach().numpy())
    assert np.abs(colours - primitive.colours[within]).max() < 1e-4
    for what in (distance, found.texture.mean()):
        (gradient,) = torch.autograd.grad(what, z, retain_graph=True)
        assert gradient.abs().max() > 0


def test_turned_meshes_stand_along_y(generator):
    plain = generator.generate(latent()).primitives[0]
    turned = ShapeGenerator(generator.network, size=32, stride=1, turn=TO_Y_UP).generate(latent()).primitives[0]
    assert np.array_equal(turned.positions[:, 1], plain.positions[:, 2])
    assert np.array_equal(turned.positions[:, 2], -plain.positions[:, 1])
    assert np.array_equal(turned.triangles, plain.triangles)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_refuses_latents_that_lead_nowhere(generator, value):
    with pytest.raises(InputError, match="not finite"):
        generator.generate(torch.full((1, *TINY.latent_shape), value))


@pytest.mark.slow
def test_the_published_size_makes_a_mesh(tmp_path):
    path = tmp_path / "shape.safetensors"
    weights = {key: torch.from_numpy(value) for key, value in parity.weights("renderer", network="shape").items()}
    save_file(weights, path)
    del weights
    generator = ShapeGenerator(load_network(path), size=32, stride=1)
    random = torch.randn(1, *PUBLISHED.latent_shape, generator=torch.Generator().manual_seed(0))
    mesh = generator.generate(random.tanh())
    assert mesh.face_count > 1000
