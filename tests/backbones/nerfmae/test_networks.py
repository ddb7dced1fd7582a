"""NeRF-MAE gives the recorded numbers of the original and has its keys; slabs make no difference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import parity
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from squeeze3d.backbones.nerfmae.config import PUBLISHED, TINY, NerfMaeConfig
from squeeze3d.backbones.nerfmae.loading import checkpoint_shapes, load_decoder, load_encoder
from squeeze3d.backbones.nerfmae.network import NerfMaeDecoder, NerfMaeEncoder, place_code
from squeeze3d.backbones.nerfmae.slabs import decode_grid
from squeeze3d.backbones.nerfmae.swin import Merge, WindowAttention, bias_index
from squeeze3d.backbones.published import shapes_of
from squeeze3d.errors import FormatError

SMALL = NerfMaeConfig(width=12, depths=(1, 1, 2, 1), heads=(1, 1, 2, 2), tokens=8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recorded(name: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.arrays(name, network="nerfmae").items()}


def filled(network: torch.nn.Module) -> None:
    state = {key: torch.from_numpy(parity.filled(key, shape)) for key, shape in shapes_of(network).items()}
    network.load_state_dict(state)
    network.eval().requires_grad_(False)


@cache
def encoder() -> NerfMaeEncoder:
    network = NerfMaeEncoder(TINY)
    filled(network)
    return network


@cache
def decoder() -> NerfMaeDecoder:
    network = NerfMaeDecoder(TINY)
    filled(network)
    return network


def plain(network: NerfMaeDecoder, latent: Tensor) -> Tensor:
    """The obvious way, all at once."""
    return network.out.conv(network.decoder1(latent))


def worst(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def checkpoint(path: Path, config: NerfMaeConfig = SMALL) -> Path:
    """A file in the published layout, index buffers included."""
    state = {
        key: torch.zeros(shape, dtype=torch.int64)
        if key.endswith("index")
        else torch.from_numpy(parity.filled(key, shape))
        for key, shape in checkpoint_shapes(config).items()
    }
    save_file(state, path)
    return path


@torch.no_grad()
def test_every_stage_gives_the_recorded_numbers():
    given = recorded("parity_encoder")
    pattern = given["pattern"].numpy()
    grid = torch.from_numpy(np.stack([np.kron(each, pattern[c]) for c, each in enumerate(given["base"].numpy())]))[None]
    network = encoder()
    assert worst(network.patch_partition(grid)[:, ::2, ::2, ::2], given["patch_tokens"]) < 1e-5
    f0, f1, f2, f3 = network.features(grid)
    assert worst(f0[..., ::2, ::2, ::2], given["stage0"]) < 1e-5
    for found, name in ((f1, "stage1"), (f2, "stage2"), (f3, "stage3")):
        assert worst(found, given[name]) < 1e-5
    up4 = network.decoder4(f3, f2)
    up3 = network.decoder3(up4, f1)
    assert worst(up4, given["up4"]) < 1e-5
    assert worst(up3[..., ::2, ::2, ::2], given["up3"]) < 1e-5
    assert worst(network.decoder2(up3, f0), given["latent"]) < 1e-5
    assert worst(network(grid), given["latent"]) < 1e-5


@torch.no_grad()
def test_latents_give_the_recorded_grid():
    given = recorded("parity_decoder")
    latent = recorded("parity_encoder")["latent"]
    made = decoder()(latent)
    assert worst(made[..., ::5, ::5, ::5], given["out_strided"]) < 1e-5
    assert worst(made[:, :, :12, :12, :12], given["out_corner"]) < 1e-5
    assert worst(decoder().decoder1(latent)[..., ::12, ::12, ::12], given["hidden_strided"]) < 1e-5


def test_biases_and_places_are_the_published_ones():
    given = parity.arrays("parity_encoder", network="nerfmae")
    assert np.array_equal(bias_index(4).numpy(), given["bias_index"])
    places = place_code(PUBLISHED)[:, 1:39:12, 2:40:13, 3:40:12].numpy()
    np.testing.assert_allclose(places, given["pos_embed_corner"], atol=1e-6)


def test_full_size_layout_is_that_of_the_published_file():
    assert checkpoint_shapes(PUBLISHED) == parity.shapes("model", network="nerfmae")
    entries = parity.manifest("model", network="nerfmae")["state_dict"]
    buffers = {key for key, entry in entries.items() if entry["dtype"] != "float32"}
    assert buffers == set(PUBLISHED.unused_shapes()) - {"mask_token"}
    assert PUBLISHED.latent_shape == (96, 40, 40, 40)
    assert PUBLISHED.size == 160


@pytest.mark.slow
@torch.no_grad()
def test_the_published_size_gives_the_recorded_numbers():
    given = parity.arrays("parity_full", network="nerfmae")
    base = np.kron(given["base"], np.ones((1, 4, 4, 4), np.uint8))
    base[3][base[3] <= 150] = 0
    base = base / np.float32(255)
    grid = torch.from_numpy(np.stack([np.kron(base[c], given["pattern"][c]) for c in range(4)]))[None]
    whole = NerfMaeEncoder(PUBLISHED)
    filled(whole)
    f0, f1, f2, f3 = whole.features(grid)
    assert worst(f3[:, ::4], torch.from_numpy(given["stage3"])) < 2e-5
    latent = whole.decoder2(whole.decoder3(whole.decoder4(f3, f2), f1), f0)
    assert worst(latent[:, ::4, ::5, ::5, ::5], torch.from_numpy(given["latent"])) < 2e-5
    last = NerfMaeDecoder(PUBLISHED)
    filled(last)
    assert worst(last(latent)[..., ::10, ::10, ::10], torch.from_numpy(given["out"])) < 2e-5


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_slabs_of_any_thickness_give_the_same_grid(rows):
    latent = torch.randn(12, 5, 4, 6, generator=torch.Generator().manual_seed(rows))
    network = decoder()
    found = decode_grid(network.decoder1, network.out.conv, latent, rows=rows)
    assert worst(found[None], plain(network, latent[None])) < 1e-5


@torch.no_grad()
def test_latents_of_a_batch_do_not_meet():
    latents = torch.randn(2, 12, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    both = decoder()(latents)
    assert torch.equal(both[1:], decoder()(latents[1:]))
    assert both.shape == (2, 4, 16, 16, 16)


@torch.no_grad()
def test_numbers_far_from_zero_are_normalised_as_well():
    network = NerfMaeDecoder(TINY)
    filled(network)
    network.decoder1.conv_block.conv1.bias += 300
    latent = torch.randn(1, 12, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    shifted = network(latent)
    # A shift of a channel is what the normalisation takes away; float32 has seven digits.
    assert worst(shifted, decoder()(latent)) < 3e-3


@torch.no_grad()
def test_merges_pad_odd_grids_with_zeros():
    merge = Merge(4).eval()
    grid = torch.randn(1, 5, 4, 3, 4, generator=torch.Generator().manual_seed(0))
    even = torch.zeros(1, 6, 4, 4, 4)
    even[:, :5, :, :3] = grid
    assert torch.equal(merge(grid), merge(even))
    assert merge(grid).shape == (1, 3, 2, 2, 8)


@torch.no_grad()
def test_attention_looks_within_cubes_and_shifted_ones_reach_across():
    def reach(shifted: bool, sides: tuple[int, int, int]) -> set[int]:
        layer = WindowAttention(4, 2, 4, shifted=shifted).eval()
        grid = torch.randn(1, *sides, 4, generator=torch.Generator().manual_seed(0))
        other = grid.clone()
        other[:, 3, 3, 3] += 1
        changed = (layer(grid) - layer(other)).abs().sum(dim=(0, 2, 3, 4)) > 1e-6
        return set(changed.nonzero()[:, 0].tolist())

    assert reach(False, (8, 4, 4)) == {0, 1, 2, 3}
    assert reach(True, (8, 4, 4)) == {2, 3, 4, 5}
    # Where one cube is all there is, nothing shifts.
    assert reach(True, (4, 4, 8)) == {0, 1, 2, 3}


def test_either_half_loads_from_a_whole_checkpoint(tmp_path):
    path = checkpoint(tmp_path / "nerfmae.safetensors")
    halves = {**shapes_of(load_encoder(path, SMALL)), **shapes_of(load_decoder(path, SMALL))}
    assert {**halves, **SMALL.unused_shapes()} == checkpoint_shapes(SMALL)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("stages.1.0.reduction.weight", None, "is missing"),
        ("out.conv.weight", torch.zeros(3, 6, 1, 1, 1), "has shape"),
        ("stages.9.0.norm1.weight", torch.zeros(12), "no part of this network"),
        ("pos_embed", torch.full((1, 8, 8, 8, 12), float("nan")), "finite"),
        ("decoder2.conv_block.conv3.bias", torch.zeros(12, dtype=torch.int64), "type"),
    ],
)
def test_refuses_files_that_do_not_fit_and_names_the_key(tmp_path, key, value, match):
    from safetensors.torch import load_file

    path = checkpoint(tmp_path / "nerfmae.safetensors")
    state = load_file(path)
    state.pop(key, None)
    if value is not None:
        state[key] = value
    save_file(state, path)
    load = load_decoder if key.startswith("out") else load_encoder
    with pytest.raises(FormatError, match=match) as caught:
        load(path, SMALL)
    assert key in str(caught.value)
