"""The published file: the encoder's part is read, checked and used; the rest is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.backbones.meshanything.config import TINY
from squeeze3d.backbones.meshanything.encoder import MeshEncoder, load_network
from squeeze3d.backbones.meshanything.points import Normalisation
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import checkpoint

OTHERS = {
    "tokenizer.cond_proj.weight": torch.zeros(4, 4),
    "tokenizer.cond_head_proj.weight": torch.zeros(4, 4),
    "transformer.model.decoder.embed_tokens.weight": torch.full((3, 2), float("nan")),
    "cond_projection.weight": torch.zeros(1),
}
"""What else a file may hold; values are never looked at."""
SHAPE_MODEL = "point_encoder.model.shape_model"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file with the published keys, under the published suffix."""
    tensors = {
        key: torch.from_numpy(value)
        for name in ("parity_encoder", "parity_conditioning", "parity_occupancy")
        for key, value in parity.weights(name, network="meshanything").items()
    }
    path = tmp_path / "MeshAnything_350m.pth"
    save_file({**tensors, **OTHERS}, path)
    return path


def change(path: Path, key: str, value: torch.Tensor | None) -> None:
    tensors = load_file(path)
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value
    save_file(tensors, path)


def triangle(z: float = 0.0) -> Mesh:
    positions = np.array([[0, 0, z], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    return Mesh((Primitive(positions, np.array([[0, 1, 2]], dtype=np.int32)),))


@torch.no_grad()
def test_a_file_gives_the_published_feature(file):
    network = load_network(file, config=TINY, whole=True)
    given = parity.arrays("parity_encoder", network="meshanything")
    assert torch.allclose(
        network.tokens(torch.from_numpy(given["pc_normal"])), torch.from_numpy(given["latents"]), atol=2e-5
    )
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_only_tensors_in_use_are_read(file, monkeypatch):
    read = []
    inspect = checkpoint._check_values
    monkeypatch.setattr(checkpoint, "_check_values", lambda path, key, t: (read.append(key), inspect(path, key, t)))
    network = load_network(file, config=TINY)
    assert set(read) == set(network.state_dict())
    assert not any(key.startswith((f"{SHAPE_MODEL}.geo_decoder", "tokenizer", "transformer")) for key in read)


def test_16_bit_weights_are_widened(file):
    save_file({key: value.to(torch.bfloat16) for key, value in load_file(file).items()}, file)
    assert {parameter.dtype for parameter in load_network(file, config=TINY).parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("cond_proj.bias", None, r"`cond_proj.bias` of shape \(64,\) is missing"),
        (f"{SHAPE_MODEL}.encoder.query", None, "encoder.query` of shape .* is missing"),
        ("cond_proj.bias", torch.zeros(65), r"`cond_proj.bias` has shape \(65,\), expected \(64,\)"),
        (f"{SHAPE_MODEL}.encoder.query", torch.zeros(257, 768), r"has shape \(257, 768\), expected \(257, 48\)"),
        (f"{SHAPE_MODEL}.geo_decoder.output_proj.bias", torch.zeros(2), r"has shape \(2,\), expected \(1,\)"),
        (f"{SHAPE_MODEL}.transformer.resblocks.2.ln_1.bias", torch.zeros(48), "no part of this network"),
        (f"{SHAPE_MODEL}.encoder.self_attn.resblocks.0.attn.c_qkv.bias", torch.zeros(144), "no part of this network"),
        ("cond_head_proj.extra", torch.zeros(1), "no part of this network"),
        ("cond_proj.bias", torch.full((64,), float("inf")), "`cond_proj.bias` holds values from inf"),
        ("cond_proj.bias", torch.zeros(64, dtype=torch.int32), "type I32"),
    ],
)
def test_files_of_other_networks_are_refused(file, key, value, message):
    change(file, key, value)
    with pytest.raises(FormatError, match=message) as caught:
        load_network(file, config=TINY)
    assert file.name in caught.value.message


def test_the_published_size_is_not_the_tiny_one(file):
    with pytest.raises(FormatError, match="expected"):
        load_network(file)


def test_a_file_may_lack_what_is_not_asked_for(file):
    for key in load_file(file):
        if key.startswith((f"{SHAPE_MODEL}.geo_decoder", "point_encoder.model.shape_projection")):
            change(file, key, None)
    load_network(file, config=TINY)
    with pytest.raises(FormatError, match="is missing"):
        load_network(file, config=TINY, whole=True)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_network(tmp_path / "nothing.pth", config=TINY)
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x02}q\x00." * 10)
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        load_network(tmp_path / "pickle.pth", config=TINY)


def test_meshes_become_features(file):
    encoder = MeshEncoder(load_network(file, config=TINY), Normalisation.FRAME, points=200)
    prepared = encoder.prepare(triangle())
    assert prepared.shape == (200, 6)
    feature = encoder.encode(prepared)
    assert feature.shape == (1, *TINY.feature_shape)
    assert torch.isfinite(feature).all()
    assert torch.equal(feature, encoder.encode(encoder.prepare(triangle())))
    assert (feature - encoder.encode(encoder.prepare(triangle(0.5)))).abs().max() > 1e-3
    other = MeshEncoder(encoder.network, Normalisation.UPSTREAM, points=200)
    assert (feature - other.encode(other.prepare(triangle()))).abs().max() > 1e-3


def test_refuses_what_is_no_mesh(file):
    encoder = MeshEncoder(load_network(file, config=TINY), Normalisation.FRAME)
    with pytest.raises(InputError, match="encodes meshes"):
        encoder.prepare(PointCloud(np.zeros((3, 3), dtype=np.float32)))
