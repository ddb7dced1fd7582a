"""MeshAnything's encoder gives the recorded numbers of the original, and has its keys and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import parity
import pytest
import torch

from squeeze3d.backbones.meshanything.config import PUBLISHED, TINY
from squeeze3d.backbones.meshanything.layers import positional_code
from squeeze3d.backbones.meshanything.network import MeshAnythingEncoder

PARTS = ("parity_encoder", "parity_conditioning", "parity_occupancy")
FULL = ("point_encoder", "conditioning")
NOT_IN_THE_FEATURE = ("point_encoder.model.shape_projection", "point_encoder.model.shape_model.geo_decoder.")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(*names: str) -> dict[str, torch.Tensor]:
    return {
        key: torch.from_numpy(value)
        for name in names
        for key, value in parity.weights(name, network="meshanything").items()
    }


@cache
def tiny() -> MeshAnythingEncoder:
    network = MeshAnythingEncoder(TINY, whole=True).eval()
    network.load_state_dict(weights(*PARTS))
    return network


def recorded(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.arrays(name, network="meshanything").items()}


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@torch.no_grad()
def test_points_give_the_published_tokens():
    given = recorded("parity_encoder")
    assert worst(positional_code(given["pc_normal"][..., :3], TINY.frequencies), given["fourier"]) < 2e-5
    tokens = tiny().tokens(given["pc_normal"])
    assert worst(tokens, given["latents"]) < 2e-5
    assert worst(tiny().shape_embedding(tokens), given["shape_embed"]) < 2e-5


@torch.no_grad()
def test_tokens_give_the_published_feature():
    given = recorded("parity_conditioning")
    tokens = given["latents"]
    assert worst(torch.cat(tiny().moments(tokens), dim=-1), given["kl_moments"]) < 5e-5
    assert worst(tiny().shape_latents(tokens), given["shape_latents"]) < 5e-5
    assert worst(tiny().feature(tokens), given["feature"]) < 5e-5
    assert given["feature"].shape[1:] == TINY.feature_shape


@torch.no_grad()
@pytest.mark.parametrize("chunk", [7, 1000])
def test_latents_give_the_published_occupancy(chunk):
    given = recorded("parity_occupancy")
    found = tiny().occupancy(given["shape_latents"], given["queries"], chunk=chunk)
    assert worst(found, given["occupancy_logits"]) < 5e-5


@torch.no_grad()
def test_order_of_points_means_nothing():
    points = recorded("parity_encoder")["pc_normal"]
    assert worst(tiny()(points), tiny()(points.flip(1))) < 1e-4


def test_full_size_layout_is_that_of_the_published_file():
    with torch.device("meta"):
        state = MeshAnythingEncoder(PUBLISHED, whole=True).state_dict()
    published = {key: shape for name in FULL for key, shape in parity.shapes(name, network="meshanything").items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == published
    said = sum(parity.manifest(name, network="meshanything")["parameters"] for name in FULL)
    assert sum(value.numel() for value in state.values()) == said == 185_249_409 + 2_361_344


def test_the_feature_needs_no_other_tensors():
    with torch.device("meta"):
        whole = set(MeshAnythingEncoder(PUBLISHED, whole=True).state_dict())
        part = set(MeshAnythingEncoder(PUBLISHED).state_dict())
    assert whole - part == {key for key in whole if key.startswith(NOT_IN_THE_FEATURE)}
    assert not part - whole
    assert PUBLISHED.feature_shape == (257, 1024)


@pytest.mark.slow
@torch.no_grad()
def test_the_published_size_gives_the_published_feature():
    with torch.device("meta"):
        network = MeshAnythingEncoder(PUBLISHED, whole=True).eval()
    network.load_state_dict(weights(*FULL), assign=True)
    given = parity.arrays("parity_full", network="meshanything")
    tokens = network.tokens(torch.from_numpy(given["pc_normal"].astype(np.float32)))
    assert worst(tokens[:, ::16, ::8], torch.from_numpy(given["latents"])) < 1e-4
    feature = network.feature(tokens)
    assert feature.shape == (1, *PUBLISHED.feature_shape)
    assert worst(feature[:, ::16, ::8], torch.from_numpy(given["feature"])) < 1e-4
