"""The published file: the encoder's part is read and checked; the rest is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.backbones.pointnet2.encoder import load_network
from squeeze3d.bench.constructed import write_pointnet2
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import checkpoint
from squeeze3d.weights.conversion import convert_checkpoint


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pointnet2.safetensors"
    weights = parity.weights("parity_pointnet2_cls_ssg", network="pointnet2")
    save_file({key: torch.from_numpy(value) for key, value in weights.items()}, path)
    return path


def change(path: Path, key: str, value: torch.Tensor | None) -> None:
    tensors = load_file(path)
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value
    save_file(tensors, path)


def test_a_file_gives_the_recorded_feature(file):
    network = load_network(file)
    given = parity.arrays("parity_pointnet2_cls_ssg", network="pointnet2")
    found = network(torch.from_numpy(given["points"]))
    assert (found - torch.from_numpy(given["start0_feature"])).abs().max() < 6e-7
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_published_checkpoint_is_converted_and_read(tmp_path):
    write_pointnet2(tmp_path / "best_model.pth")
    convert_checkpoint(tmp_path / "best_model.pth", tmp_path / "converted.safetensors", sha256="0" * 64)
    tensors = load_file(tmp_path / "converted.safetensors")
    assert {key: tuple(value.shape) for key, value in tensors.items()} == parity.shapes(
        "pointnet2_cls_ssg", network="pointnet2"
    )
    load_network(tmp_path / "converted.safetensors")


def test_only_tensors_in_use_are_read(file, monkeypatch):
    read = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (read.append(key), inspect(path, key, t)))
    load_network(file)
    assert set(read) == {key for key in load_file(file) if key.startswith("sa") and not key.endswith("tracked")}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sa1.mlp_convs.0.bias", None, r"`sa1.mlp_convs.0.bias` of shape \(64,\) is missing"),
        ("sa3.mlp_bns.2.running_var", None, "running_var` of shape .* is missing"),
        ("sa1.mlp_convs.0.weight", torch.zeros(64, 6, 1, 1), r"has shape \(64, 6, 1, 1\), expected \(64, 3, 1, 1\)"),
        ("fc3.weight", torch.zeros(10, 256), r"`fc3.weight` has shape \(10, 256\), expected \(40, 256\)"),
        ("sa4.mlp_convs.0.weight", torch.zeros(1), "no part of this network"),
        ("sa2.mlp_bns.0.bias", torch.full((128,), float("nan")), "holds values from nan"),
    ],
)
def test_files_of_other_networks_are_refused(file, key, value, message):
    change(file, key, value)
    with pytest.raises(FormatError, match=message) as caught:
        load_network(file)
    assert file.name in caught.value.message


def test_head_and_counters_may_be_missing(file):
    for key in load_file(file):
        if key.startswith(("fc", "bn")) or key.endswith("tracked"):
            change(file, key, None)
    load_network(file)
    with pytest.raises(FormatError, match=r"`fc1.* is missing|`bn1.* is missing"):
        load_network(file, whole=True)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_network(tmp_path / "nothing.safetensors")
