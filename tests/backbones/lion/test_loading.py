"""The published checkpoint: each network is read from its part of the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.backbones.lion.config import PRIORS, TINY, VAE
from squeeze3d.backbones.lion.loading import load_decoder, load_priors, load_vae
from squeeze3d.bench.constructed import write_lion
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import checkpoint
from squeeze3d.weights.conversion import convert_checkpoint


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("lion")
    write_lion(folder / "epoch.pt", TINY)
    convert_checkpoint(folder / "epoch.pt", folder / "lion.safetensors", sha256="0" * 64)
    return load_file(folder / "lion.safetensors")


@pytest.fixture
def file(converted: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    save_file(converted, tmp_path / "lion.safetensors")
    return tmp_path / "lion.safetensors"


def latent() -> torch.Tensor:
    return torch.randn(1, TINY.latent, generator=torch.Generator().manual_seed(0)) / 2


@torch.no_grad()
def test_all_networks_are_in_one_file(file, converted):
    assert {key.split(".")[0] + "." for key in converted} == {VAE, PRIORS}
    whole, decoder = load_vae(file, config=TINY), load_decoder(file, config=TINY)
    assert torch.equal(decoder(latent()[:, TINY.style :], latent()[:, : TINY.style]), whole.decode(latent()))
    assert load_priors(file, config=TINY).draw(1, 0).shape == (1, TINY.latent)
    for network in (whole, decoder):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


@torch.no_grad()
def test_files_of_one_network_alone_do_without_prefixes(file, converted, tmp_path):
    bare = {key.removeprefix(VAE): value for key, value in converted.items() if key.startswith(VAE)}
    save_file(bare, tmp_path / "vae.safetensors")
    found = load_vae(tmp_path / "vae.safetensors", config=TINY).decode(latent())
    assert torch.equal(found, load_vae(file, config=TINY).decode(latent()))
    with pytest.raises(FormatError, match=r"`0\..* is missing|`1\..* is missing"):
        load_priors(tmp_path / "vae.safetensors", config=TINY)


def test_a_decoder_reads_nothing_else(file, monkeypatch):
    read = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (read.append(key), inspect(path, key, t)))
    load_decoder(file, config=TINY)
    assert read
    assert all(key.startswith(f"{VAE}decoder.") for key in read)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("decoder.layers.classifier.2.bias", None, r"classifier.2.bias` of shape \(3,\) is missing"),
        ("decoder.layers.classifier.2.bias", torch.zeros(4), r"has shape \(4,\), expected \(3,\)"),
        ("decoder.layers.sa_layers.1.1.voxel_layers.0.bias", torch.zeros(16), "no part of this network"),
        ("decoder.layers.global_att.to_out.bias", torch.full((32,), float("inf")), "holds values from inf"),
    ],
)
def test_files_of_other_networks_are_refused(file, converted, key, value, message):
    tensors = {name: each for name, each in converted.items() if name != VAE + key}
    if value is not None:
        tensors[VAE + key] = value
    save_file(tensors, file)
    with pytest.raises(FormatError, match=message):
        load_decoder(file, config=TINY)


def test_other_sizes_and_missing_files_are_refused(file, tmp_path):
    with pytest.raises(FormatError, match="expected"):
        load_decoder(file)
    with pytest.raises(InputError, match="cannot read"):
        load_decoder(tmp_path / "nothing.safetensors")


def test_16_bit_weights_are_widened(file, converted):
    save_file({key: value.half() for key, value in converted.items()}, file)
    assert {parameter.dtype for parameter in load_decoder(file, config=TINY).parameters()} == {torch.float32}
