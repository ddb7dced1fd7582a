"""LION's networks compute what the original ones do, and their keys are those of the published file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import parity
import pytest
import torch
from torch import Tensor, nn

from squeeze3d.backbones.lion import operations
from squeeze3d.backbones.lion.config import LOG_SIGMA_OFFSET, PUBLISHED, TINY
from squeeze3d.backbones.lion.layers import LinearAttention, PlainNorm, StyledNorm
from squeeze3d.backbones.lion.network import LionNetwork, PointDecoder
from squeeze3d.backbones.published import shapes_of

STAGES, RELATIVE = 2e-5, 2e-6
"""To which an independent implementation agreed with recorded features of stages, and what is allowed of the largest
feature where that is more: stages of the encoder have features up to 317."""
POINTS = 3e-7
"""Of decoded points: the answers count a hundredth."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> LionNetwork:
    """Of full size."""
    with torch.device("meta"):
        made = LionNetwork()
    weights = parity.weights("lion_vae", network="lion")
    made.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, assign=True)
    return made.eval().requires_grad_(False)


def arrays(name: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in parity.arrays(name, network="lion").items()}


def difference(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    return float((found - wanted).abs().max())


class Watched:
    """What parts of a network return, and which points were chosen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.features: dict[str, Tensor] = {}
        self.farthest: list[Tensor] = []
        self.inside: list[Tensor] = []
        for name, log in (("farthest_points", self.farthest), ("ball_query", self.inside)):
            choose = getattr(operations, name)
            monkeypatch.setattr(f"squeeze3d.backbones.lion.layers.{name}", partial(self._logged, choose, log))

    @staticmethod
    def _logged(choose, log, *arguments):
        log.append(choose(*arguments))
        return log[-1]

    def unet(self, unet: nn.Module) -> None:
        for number, stage in enumerate(unet.sa_layers):
            abstraction = stage[-1] if isinstance(stage, nn.ModuleList) else stage
            self._follow(f"sa_layers_{number}", abstraction)
        for number in (0, 1):
            self._follow(f"sa_layers_{number}_0", unet.sa_layers[number][0])
        for number, stage in enumerate(unet.fp_layers):
            self._follow(f"fp_layers_{number}", stage[-1])
        self._follow("global_att", unet.global_att)
        self._follow("net_output", unet)

    def _follow(self, name: str, part: nn.Module) -> None:
        def keep(module: nn.Module, given: object, made: Tensor | tuple[Tensor, Tensor]) -> None:
            self.features[name] = made[1] if isinstance(made, tuple) else made

        part.register_forward_hook(keep)

    def check_stages(self, given: dict[str, Tensor]) -> None:
        """Recorded stages are of the first cloud, and of every fourth point where there are many."""
        stages = [key for key in given if key.startswith("stage_")]
        assert stages
        for key in stages:
            found = self.features[key.removeprefix("stage_")][0]
            found = found[:, :: found.shape[1] // given[key].shape[1]]
            largest = float(given[key].abs().max())
            assert difference(found, given[key]) < max(STAGES, RELATIVE * largest), key


def test_every_stage_of_the_decoder_is_the_recorded_one(network, monkeypatch):
    given, watched = arrays("parity_lion_decoder"), Watched(monkeypatch)
    watched.unet(network.decoder.layers)
    points = network.decoder(given["z_local"], given["z_global"])
    for level, (farthest, inside) in enumerate(zip(watched.farthest, watched.inside, strict=True)):
        assert torch.equal(farthest.short(), given[f"fps{level}_idx"])
        assert torch.equal(inside[0].short(), given[f"ball{level}_idx_item0"])
    watched.check_stages(given)
    assert difference(watched.features["net_output"], given["net_output"]) < STAGES
    assert difference(points, given["points"]) < POINTS
    latent = torch.cat([given["z_global"], given["z_local"]], dim=1)[1:]
    assert difference(network.decode(latent), given["points"][1:]) < POINTS


def test_encoders_are_the_recorded_ones(network, monkeypatch):
    given, watched = arrays("parity_lion_encoder"), Watched(monkeypatch)
    watched.unet(network.encoder.layers)
    style = network.style_encoder(given["points"])
    assert difference(style.mean, given["style_mu"]) < STAGES
    assert difference(style.log_sigma, given["style_log_sigma"]) < STAGES
    local = network.encoder(given["points"], given["style_mu"])
    watched.check_stages(given)
    assert difference(watched.features["net_output"], given["net_output"]) < STAGES
    assert difference(local.mean, given["local_mu"]) < STAGES
    assert difference(local.log_sigma, given["local_log_sigma"]) < STAGES
    assert difference(local.log_sigma + LOG_SIGMA_OFFSET, given["local_log_sigma_raw"]) < STAGES
    back = network.decoder(given["local_mu"], given["style_mu"])
    assert difference(back, given["reconstruction_from_mu"]) < POINTS


def test_full_size_layout_is_that_of_the_published_file():
    with torch.device("meta"):
        network = LionNetwork(PUBLISHED)
    assert shapes_of(network) == parity.shapes("lion_vae", network="lion")
    counts = [sum(each.numel() for each in part.parameters()) for part in network.children()]
    assert counts == [183_456, 11_109_448, 11_109_827]
    decoder = {key for key in shapes_of(network) if key.startswith("decoder.")}
    assert decoder == set(parity.shapes("parity_lion_decoder", network="lion"))
    assert PUBLISHED.latent == 8320


def tiny(seed: int = 0) -> LionNetwork:
    torch.manual_seed(seed)
    return LionNetwork(TINY).eval().requires_grad_(False)


def cloud(seed: int = 0) -> Tensor:
    return torch.randn(2, TINY.points, 3, generator=torch.Generator().manual_seed(seed)) / 2


def test_latents_are_a_style_and_then_points_by_number():
    network = tiny()
    latent = network.encode(cloud())
    assert latent.shape == (2, TINY.latent)
    style, local = latent[:, : TINY.style], latent[:, TINY.style :]
    assert torch.equal(network.decode(latent), network.decoder(local, style))
    # A latent point lies near its place, and what is decoded near it.
    places = local.unflatten(1, (-1, 4))[..., :3]
    assert (places - cloud()).abs().max() < 0.1
    assert (network.decode(latent) - places).abs().max() < 0.1


def test_the_decoder_has_gradients_down_to_places_features_and_style():
    network = tiny()
    latent = network.encode(cloud())[:1].requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.decode(latent).square().sum(), latent)
    assert (gradient != 0).float().mean() > 0.95
    # Next to what the answers move, points are their places.
    places = gradient[:, TINY.style :].unflatten(1, (-1, 4))[..., :3]
    assert (places - 2 * network.decode(latent)).abs().max() < 0.3 * places.abs().max()


def test_clouds_of_a_batch_do_not_meet():
    network = tiny()
    latent = network.encode(cloud())
    assert torch.allclose(network.encode(cloud()[1:]), latent[1:], atol=1e-5)
    assert torch.allclose(network.decode(latent[1:]), network.decode(latent)[1:], atol=1e-5)


def test_networks_have_no_dropout():
    network = tiny()
    latent = network.encode(cloud())
    assert torch.equal(network.train().encode(cloud()), latent)
    assert not any(isinstance(part, nn.Dropout) for part in network.modules())


def test_styled_norms_scale_and_shift_each_cloud_by_its_own_style():
    norm, x, style = StyledNorm(16, 5), torch.randn(3, 16, 7), torch.randn(3, 5)
    nn.init.normal_(norm.norm.weight)
    nn.init.normal_(norm.norm.bias)
    factor, shift = norm.emd(style)[..., None].chunk(2, dim=1)
    assert torch.allclose(norm(x, style), norm.norm(x) * factor + shift, atol=1e-5)
    assert torch.allclose(PlainNorm(8, 16)(x, None), nn.functional.group_norm(x, 8), atol=1e-6)


def test_attention_is_a_sum_over_points_with_softmaxed_keys():
    attention, x = LinearAttention(8, 2), torch.randn(1, 8, 6)
    query, key, value = attention.to_qkv(x[..., None])[0, :, :, 0].unflatten(0, (3, 2, 32))
    wanted = torch.zeros(2, 32, 6)
    for head in range(2):
        for n in range(6):
            for m in range(6):
                share = (key[head].softmax(dim=1)[:, m] * query[head][:, n]).sum()
                wanted[head, :, n] += share * value[head][:, m]
    wanted = attention.to_out(wanted.flatten(0, 1)[None, ..., None])[..., 0]
    assert torch.allclose(attention(x), wanted, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e30, float("inf"), float("nan")])
def test_odd_latents_are_decoded_to_something(value):
    torch.manual_seed(0)
    decoder = PointDecoder(TINY).eval()
    with torch.no_grad():
        found = decoder(torch.full((1, 4 * TINY.points), value), torch.zeros(1, TINY.style))
    assert found.shape == (1, TINY.points, 3)
