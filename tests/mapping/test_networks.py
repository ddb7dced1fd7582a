"""Mapping networks: the published numbers, the published layout, and files that lie."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.errors import FormatError, InputError, OutputError, UnsupportedError, UsageError
from squeeze3d.mapping import checkpoint
from squeeze3d.mapping.networks import (
    ARCHITECTURES,
    MappingConfig,
    MappingNetwork,
    build_forward,
    build_mapping,
    build_reverse,
    ignores_shift_and_scale,
    load_forward,
    load_mapping,
    load_reverse,
    save_mapping,
)

MLPS = ("parity_ltortho", "parity_ltortho_3d", "parity_ltpcortho")
CONV = "parity_ltnerfortho"
FULL = sorted(path.name.removesuffix(".manifest.json") for path in parity.FOLDER.glob("full_*.json"))


def config(name: str, **options: Any) -> MappingConfig:
    """What a fixture's network looks like to us."""
    said = parity.manifest(name)["config"]
    if said["class"] == "LTNeRFOrtho":
        shape = tuple(said.get("input_shape") or (said["in_channels"], *said["grid"]))
        options |= {"expansion": said["expansion_factor"], "bottleneck": said["bottleneck_channels"]}
        return MappingConfig("conv3d", shape, shape, said["bottleneck_channels"] * math.prod(shape[1:]) // 64, options)
    if said["class"] == "LTpcOrtho":
        options |= {"num_layers": said["num_layers"]}
    architecture = {"LTOrtho": "residual-mlp", "LTpcOrtho": "deep-mlp"}[said["class"]]
    output = tuple(said.get("generator_latent_shape", (said["output_size"],)))
    return MappingConfig(architecture, tuple(said["input_shape"]), output, said["hidden_size"], options)


def build(wanted: MappingConfig, **options: Any) -> MappingNetwork:
    return build_mapping(
        wanted.architecture,
        encoder_shape=wanted.encoder_shape,
        generator_shape=wanted.generator_shape,
        code_size=wanted.code_size,
        **{**wanted.architecture_options, **options},
    )


def published(name: str, **options: Any) -> tuple[MappingNetwork, dict[str, torch.Tensor]]:
    """A fixture's network with its weights, and its recorded tensors."""
    network = build(config(name, **options)).eval()
    network.load_published_state_dict({key: torch.from_numpy(value) for key, value in parity.weights(name).items()})
    return network, {key: torch.from_numpy(value) for key, value in parity.arrays(name).items()}


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.detach().flatten() - b.detach().flatten()).abs().max())


@pytest.mark.parametrize("name", MLPS)
@torch.no_grad()
def test_mlps_reproduce_the_published_numbers(name):
    network, recorded = published(name)
    latent, code = network(recorded["x"])
    assert worst(code, recorded["code"]) < 1e-5
    assert worst(latent, recorded["y"]) < 1e-5
    assert worst(network.reverse_map(recorded["code"]), recorded["y"]) < 1e-5


@pytest.mark.parametrize("name", ["parity_ltortho", "parity_ltortho_3d"])
@torch.no_grad()
def test_code_is_the_sum_that_the_research_code_splits(name):
    network, recorded = published(name)
    code = network.forward_map(recorded["x"])
    assert worst(code, recorded["reported_mid"] + recorded["identity"]) < 1e-5
    assert worst(network.reverse_map(recorded["reported_mid"]), recorded["y"]) > 0.1


@pytest.mark.parametrize("name", ["parity_ltortho", "parity_ltortho_3d"])
@torch.no_grad()
def test_standardised_code_decodes_to_the_same_latent(name):
    network, recorded = published(name)
    code = recorded["code"]
    standardised = (code - code.mean(1, keepdim=True)) / (code.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert worst(standardised, recorded["code_standardised"]) < 1e-5
    assert worst(network.reverse_map(standardised), recorded["y"]) < 1e-4
    assert ignores_shift_and_scale("residual-mlp")


@pytest.mark.parametrize("name", ["parity_ltpcortho", CONV])
@torch.no_grad()
def test_other_codes_may_not_be_shifted(name):
    network, recorded = published(name)
    code = recorded["code"].flatten(1)
    assert worst(network.reverse_map(code + 1), network.reverse_map(code)) > 0.1
    assert not ignores_shift_and_scale(config(name).architecture)


@torch.no_grad()
def test_conv_decodes_the_code_alone():
    network, recorded = published(CONV)
    latent, code = network(recorded["x"])
    assert worst(code, recorded["code"]) < 1e-4
    assert worst(latent, recorded["y_code_only"]) < 1e-4
    with pytest.raises(UsageError, match="no use for a skip"):
        network.reverse_map(code, recorded["skip"])


@torch.no_grad()
def test_conv_with_its_skip_is_the_published_network():
    network, recorded = published(CONV, skip=True)
    latent, code = network(recorded["x"])
    assert worst(latent, recorded["y_with_skip"]) < 1e-4
    assert worst(network.forward_map.with_skip(recorded["x"])[1], recorded["skip"]) < 1e-4
    assert worst(recorded["y_with_skip"], recorded["y_code_only"]) > 0.01
    with pytest.raises(UsageError, match="needs the skip"):
        network.reverse_map(code)


@pytest.mark.parametrize("name", FULL)
def test_full_size_layout_is_that_of_the_published_file(name):
    said = parity.manifest(name)["config"]
    with torch.device("meta"):
        network = build(config(name))
    state = network.published_state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == parity.shapes(name)
    assert sum(value.numel() for value in state.values()) == said["parameters"]
    assert config(name).code_size == math.prod(said["code_shape"])


def test_all_published_files_are_covered():
    assert len(FULL) == 9


@pytest.mark.parametrize("name", [*MLPS, CONV])
def test_halves_share_no_key(name):
    network = build(config(name))
    assert not set(network.forward_map.state_dict()) & set(network.reverse_map.state_dict())


@pytest.mark.parametrize(("name", "expected"), [("parity_ltortho", 0.35), ("parity_ltpcortho", 0.3), (CONV, 0.2)])
def test_dropout_acts_in_training_only(name, expected):
    network, recorded = published(name)
    dropouts = [module for module in network.modules() if isinstance(module, torch.nn.Dropout | torch.nn.Dropout3d)]
    assert {module.p for module in dropouts} == {expected}
    assert torch.equal(network(recorded["x"])[0], network(recorded["x"])[0])
    network.train()
    assert worst(network(recorded["x"])[0], network(recorded["x"])[0]) > 1e-3
    without = build(config(name), dropout=0.0).train()
    assert torch.equal(without(recorded["x"])[0], without(recorded["x"])[0])


def test_deep_mlp_starts_from_he_initialisation():
    forward = build_forward("deep-mlp", encoder_shape=(400,), code_size=300)
    weight = forward.first_layer.weight
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert float(weight.detach().abs().max()) > 3.5 * math.sqrt(2 / 400)  # a normal distribution, not a uniform one
    assert not forward.first_layer.bias.any()


def test_latents_keep_the_generator_shape():
    reverse = build_reverse("residual-mlp", generator_shape=(3, 2, 4, 4), code_size=5)
    assert reverse(torch.zeros(2, 5)).shape == (2, 3, 2, 4, 4)


@torch.no_grad()
def test_folded_output_gives_plain_latents():
    scale, shift = torch.tensor([[2.0], [3.0]]), torch.tensor([[-1.0], [5.0]])
    for architecture in ("residual-mlp", "deep-mlp"):
        network = build_mapping(architecture, encoder_shape=(6,), generator_shape=(2, 4), code_size=5).eval()
        latent = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
        before = network(latent)[0]
        network.fold_output(scale, shift)
        assert torch.allclose(network(latent)[0], before * scale + shift, atol=1e-5)
    with pytest.raises(UnsupportedError, match="convolutional"):
        build(config(CONV)).fold_output(scale, shift)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"architecture": "transformer"}, "no mapping architecture"),
        ({"code_size": 0}, "is empty"),
        ({"encoder_shape": ()}, "is empty"),
        ({"dropout": 1.0}, "probability"),
        ({"skip": True}, "no option `skip`"),
        ({"architecture": "deep-mlp", "num_layers": 1}, "has no code"),
        ({"architecture": "conv3d"}, "one shape at both ends"),
        ({"architecture": "conv3d", "generator_shape": (6,)}, "multiples of 4"),
        ({"architecture": "conv3d", "encoder_shape": (2, 4, 4, 6), "generator_shape": (2, 4, 4, 6)}, "multiples of 4"),
        (
            {"architecture": "conv3d", "encoder_shape": (2, 4, 8, 4), "generator_shape": (2, 4, 8, 4)},
            r"24 \* 1 \* 2 \* 1 = 48 numbers, not 5",
        ),
    ],
)
def test_refuses_what_does_not_fit_together(wrong, message):
    fitting = {"architecture": "residual-mlp", "encoder_shape": (6,), "generator_shape": (7,), "code_size": 5}
    with pytest.raises(UsageError, match=message):
        build_mapping(**{**fitting, **wrong})


# Files


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, MappingConfig, MappingNetwork]:
    """A file of a small network."""
    shapes = MappingConfig("residual-mlp", (2, 3), (4, 2), 5)
    network = build(shapes).eval()
    path = tmp_path / "mapping.safetensors"
    save_mapping(network, path, {"pair": "mesh.test", "a": "b"})
    return path, shapes, network


@pytest.mark.parametrize("name", [*MLPS, CONV])
@torch.no_grad()
def test_halves_come_back_from_a_file(name, tmp_path):
    network, recorded = published(name)
    path = tmp_path / "mapping.safetensors"
    save_mapping(network, path)
    assert {key: tuple(value.shape) for key, value in load_file(path).items()} == parity.shapes(name)
    shapes = config(name)
    code = load_forward(path, shapes)(recorded["x"])
    reverse = load_reverse(path, shapes)
    expected, expected_code = network(recorded["x"])
    assert torch.equal(code, expected_code)
    assert torch.equal(reverse(code), expected)
    assert torch.equal(load_mapping(path, shapes)(recorded["x"])[0], expected)
    assert not reverse.training
    assert not any(parameter.requires_grad for parameter in reverse.parameters())


def test_a_half_reads_no_other_tensors(small, monkeypatch):
    path, shapes, network = small
    checked = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (checked.append(key), inspect(path, key, t)))
    load_reverse(path, shapes)
    assert set(checked) == set(network.reverse_map.state_dict())


@torch.no_grad()
def test_training_on_leaves_the_file_alone(small):
    path, shapes, _ = small
    before = path.read_bytes()
    network = load_mapping(path, shapes).train().requires_grad_(True)
    for parameter in network.parameters():
        parameter.fill_(3.0)
    assert path.read_bytes() == before
    assert float(load_reverse(path, shapes).fc3.weight.max()) < 3


def test_same_weights_give_the_same_bytes(small):
    path, _, network = small
    for k in range(3):
        other = path.with_name(f"{k}.safetensors")
        save_mapping(network, other, {"a": "b", "pair": "mesh.test"})
        assert other.read_bytes() == path.read_bytes()
    assert checkpoint.read_metadata(path) == {"a": "b", "pair": "mesh.test"}
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def test_saving_replaces_only_when_allowed(small):
    path, _, network = small
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_mapping(network, path)
    assert path.read_bytes() == before
    save_mapping(network, path, overwrite=True)
    assert checkpoint.read_metadata(path) == {}
    with pytest.raises(OutputError, match="cannot write"):
        save_mapping(network, path.with_name("nowhere") / "mapping.safetensors")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_files_are_widened(small, dtype):
    path, shapes, network = small
    save_file({key: value.to(dtype) for key, value in load_file(path).items()}, path)
    reverse = load_reverse(path, shapes)
    assert {parameter.dtype for parameter in reverse.parameters()} == {torch.float32}
    assert torch.equal(reverse.fc3.weight, network.reverse_map.fc3.weight.to(dtype).float())


def change(path: Path, key: str, value: torch.Tensor | None) -> None:
    tensors = load_file(path)
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fc3.bias", None, r"`fc3.bias` of shape \(8,\) is missing"),
        ("fc2.bias", None, r"`fc2.bias` of shape \(5,\) is missing"),
        ("fc3.bias", torch.zeros(9), r"`fc3.bias` has shape \(9,\), expected \(8,\)"),
        ("fc3.weight", torch.zeros(8, 5, 1), r"`fc3.weight` has shape \(8, 5, 1\), expected \(8, 5\)"),
        ("extra\x1b[2J", torch.zeros(1), r"'extra\\x1b\[2J' is no part"),
        ("fc1.weight", torch.zeros(7, 6), "codes of 7 numbers, expected 5"),
        ("fc1.weight", torch.tensor(1.0), r"`fc1.weight` has shape \(\), expected \(5, 6\)"),
        ("ln2.weight", torch.tensor([1, 1, 1, 1, math.nan]), "`ln2.weight` holds values from nan"),
        ("ln2.weight", torch.tensor([1, 1, 1, 1, -math.inf]), "`ln2.weight` holds values from -inf"),
        ("ln2.weight", torch.tensor([1, 1, 1, 1, 1e30]), "`ln2.weight` holds values from 1 to 1e[+]30"),
        ("ln2.weight", torch.zeros(5, dtype=torch.float64), "type F64, expected one of BF16, F16, F32"),
        ("ln2.weight", torch.zeros(5, dtype=torch.int32), "type I32"),
    ],
)
def test_files_of_other_networks_are_refused(small, key, value, message):
    path, shapes, _ = small
    change(path, key, value)
    with pytest.raises(FormatError, match=message) as caught:
        load_reverse(path, shapes)
    assert path.name in caught.value.message


def test_wrong_code_size_of_a_convolutional_file_is_named(tmp_path):
    shapes = config(CONV)
    path = tmp_path / "mapping.safetensors"
    save_mapping(build(shapes), path)
    other = MappingConfig(
        "conv3d", shapes.encoder_shape, shapes.generator_shape, 96, {"expansion": 4, "bottleneck": 12}
    )
    with pytest.raises(FormatError, match="codes of 192 numbers, expected 96"):
        load_forward(path, other)


def test_cut_files_are_refused_at_every_length(small):
    path, shapes, _ = small
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises((FormatError, InputError)):
            load_reverse(path, shapes)


def test_other_files_are_refused(tmp_path):
    shapes = MappingConfig("residual-mlp", (2, 3), (4, 2), 5)
    path = tmp_path / "mapping.safetensors"
    with pytest.raises(InputError, match="cannot read"):
        load_forward(path, shapes)
    with pytest.raises(InputError, match="cannot read"):
        load_forward(tmp_path, shapes)
    header = json.dumps({"fc1.weight": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()
    for data in (b"", b"PK\x03\x04" * 20, b"\xff" * 64, len(header).to_bytes(8, "little") + header + bytes(4)):
        path.write_bytes(data)
        with pytest.raises((FormatError, InputError)) as caught:
            load_forward(path, shapes)
        assert path.name in caught.value.message


def test_unknown_keys_of_a_state_are_refused():
    network = build(MappingConfig("residual-mlp", (2,), (2,), 3))
    state = dict(network.published_state_dict())
    with pytest.raises(FormatError, match="is no part"):
        network.load_published_state_dict({**state, "fc4.weight": torch.zeros(1)})
    del state["fc3.bias"]
    with pytest.raises(FormatError, match=r"`fc3.bias` .* is missing"):
        network.load_published_state_dict(state)


def test_architectures_are_those_of_the_pairs():
    assert ARCHITECTURES == ("residual-mlp", "deep-mlp", "conv3d")
