"""Files in the published layout, and files that lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.backbones.instantmesh.config import BASE, CONFIGS, LARGE, TINY
from squeeze3d.backbones.instantmesh.weights import (
    DECODER_PREFIX,
    PREFIX,
    check_layout,
    layout,
    load_decoder,
    load_images_to_planes,
    load_nerf_decoder,
)
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import checkpoint

NAME = "parity_images_to_planes"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole tiny checkpoint."""
    path = tmp_path / "instant_mesh_tiny.safetensors"
    weights = parity.weights(NAME, "instantmesh") | parity.weights("parity_decoder", "instantmesh")
    save_file({PREFIX + key: torch.from_numpy(value) for key, value in weights.items()}, path)
    return path


def change(path: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Replace, add or remove (None) tensors."""
    tensors = {**load_file(path), **changes}
    save_file({key: value for key, value in tensors.items() if value is not None}, path)


@torch.no_grad()
def test_a_file_gives_the_published_planes(file):
    network = load_images_to_planes(file, TINY)
    recorded = {key: torch.from_numpy(value) for key, value in parity.arrays(NAME, "instantmesh").items()}
    planes = network(recorded["images"], recorded["cameras"])
    assert (planes - recorded["planes"]).abs().max() < 1e-5
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_decoder_reads_no_other_tensors(file, monkeypatch):
    seen = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (seen.append(key), inspect(path, key, t)))
    decoder = load_decoder(file, TINY)
    assert set(seen) == {DECODER_PREFIX + key for key in decoder.state_dict()}
    assert decoder.config.grid == TINY.grid


def test_a_file_may_hold_the_wanted_part_alone(file):
    whole = load_decoder(file, TINY)
    change(file, {key: None for key in layout(TINY) if not key.startswith(DECODER_PREFIX)})
    alone = load_decoder(file, TINY)
    assert all(torch.equal(alone.state_dict()[key], value) for key, value in whole.state_dict().items())
    with pytest.raises(FormatError, match="117 keys missing"):
        load_images_to_planes(file, TINY)


def test_keys_beside_the_model_are_left_alone(file):
    change(file, {"lpips.lin0.weight": torch.zeros(1), f"{PREFIX}encoder.source_camera": torch.zeros(6, 16)})
    load_decoder(file, TINY)
    load_images_to_planes(file, TINY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net_sdf.6.bias": None}, r"1 key missing \(`lrm_generator.synthesizer.decoder.net_sdf.6.bias`\)"),
        ({"net_rgb.0.bias": None, "net_sdf.6.bias": None}, r"2 keys missing \(.*net_sdf.6.bias`, .*net_rgb.0.bias`\)"),
        ({"net_sdf.8.bias": torch.zeros(1)}, r"1 key unexpected \('lrm_generator.synthesizer.decoder.net_sdf.8.bias'"),
        ({"net\x1b[2J": torch.zeros(1)}, r"unexpected \('lrm_generator.synthesizer.decoder.net\\x1b\[2J'\)"),
        (
            {"net_sdf.6.bias": torch.zeros(2)},
            r"1 key of the wrong shape \(`.*net_sdf.6.bias` has shape \(2,\), expected \(1,\)\)",
        ),
        (
            {"net_sdf.6.bias": None, "net_x": torch.zeros(1), "net_rgb.6.bias": torch.zeros(1)},
            r"1 key missing .*; 1 key unexpected .*; 1 key of the wrong shape",
        ),
        ({"net_sdf.6.bias": torch.tensor([torch.nan])}, "holds values from nan"),
        ({"net_sdf.6.bias": torch.zeros(1, dtype=torch.float64)}, "type F64"),
    ],
)
def test_files_that_do_not_fit_are_refused(file, changes, message):
    change(file, {DECODER_PREFIX + key: value for key, value in changes.items()})
    with pytest.raises(FormatError, match=message) as caught:
        load_decoder(file, TINY)
    assert file.name in caught.value.message


def test_wrong_shapes_in_other_parts_are_told(file):
    change(file, {PREFIX + "transformer.pos_embed": torch.zeros(1, 3, 32)})
    with pytest.raises(FormatError, match=r"transformer.pos_embed` has shape \(1, 3, 32\), expected \(1, 48, 32\)"):
        load_decoder(file, TINY)


def test_many_keys_are_counted_and_some_named(file):
    change(file, {key: None for key in layout(TINY) if ".net_" in key})
    with pytest.raises(FormatError, match="32 keys missing") as caught:
        load_decoder(file, TINY)
    assert caught.value.message.count("net_") == 8


def test_the_other_size_is_recognised():
    needed = [key for key in layout(LARGE) if key.startswith(DECODER_PREFIX)]
    with pytest.raises(FormatError, match="of the wrong shape") as caught:
        check_layout("file", layout(BASE), needed, LARGE)
    assert "`instant_mesh_base`" in caught.value.hint
    part = {key: shape for key, shape in layout(CONFIGS["instant_nerf_large"]).items() if ".decoder." in key}
    with pytest.raises(FormatError, match="keys missing") as caught:
        check_layout("file", part, needed, LARGE)
    assert "`instant_nerf_large`" in caught.value.hint
    check_layout("file", layout(LARGE), needed, LARGE)


def test_other_models_are_recognised():
    with pytest.raises(FormatError, match="keys missing") as caught:
        check_layout("file", {"encoder.weight": (3, 3)}, layout(TINY), TINY)
    assert f"start with `{PREFIX}`" in caught.value.hint


def test_nerf_decoders_come_from_their_own_files(file):
    with pytest.raises(FormatError, match="keys missing"):
        load_nerf_decoder(file, TINY)
    nerf = replace(TINY, nerf=True)
    tensors = {key: torch.ones(shape) for key, shape in layout(nerf).items() if key.startswith(DECODER_PREFIX)}
    save_file(tensors, file)
    assert float(load_nerf_decoder(file, TINY).net[6].bias.sum()) == 4
    with pytest.raises(FormatError, match=r"32 keys missing .*; 8 keys unexpected"):
        load_decoder(file, nerf)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_decoder(tmp_path / "missing.safetensors", TINY)
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"PK\x03\x04" * 20)
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        load_decoder(path, TINY)
