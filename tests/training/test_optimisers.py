"""Optimisers and schedules of the published runs."""

from __future__ import annotations

import io

import numpy as np
import parity
import pytest
import torch

from squeeze3d.errors import UnsupportedError, UsageError
from squeeze3d.mapping.networks import build_mapping
from squeeze3d.training.optimisers import ADAMW_RATE, build_optimisers, is_matrix
from squeeze3d.training.schedules import Constant, HalfCosine, LinearDecay, WarmupDecay

NAMES = ("wide", "tall", "conv", "bias", "huge")


def recorded(name: str, part: str) -> torch.Tensor:
    value = torch.from_numpy(parity.arrays("parity_muon")[f"{name}_{part}"])
    if name == "huge":  # stored without its rows of zeros
        value = torch.cat([value, torch.zeros(10_000 - len(value), 2)])
    return value


def test_muon_follows_the_recorded_steps():
    parameters = {name: torch.nn.Parameter(recorded(name, "init")) for name in NAMES}
    rates = parity.arrays("parity_muon")["lrs"]
    optimisers = build_optimisers(parameters.values(), "muon", lr=float(rates[0]))
    for step in range(3):
        for name, parameter in parameters.items():
            parameter.grad = recorded(name, f"grad{step}")
        for optimiser, start in zip(optimisers, (float(rates[0]), ADAMW_RATE), strict=True):
            optimiser.param_groups[0]["lr"] = start * float(rates[step] / rates[0])
            optimiser.step()
    for name, parameter in parameters.items():
        final = parameter.detach()
        by_muon = is_matrix(parameter)
        assert float((recorded(name, "init") - final).abs().max()) > (5e-3 if by_muon else 5e-4)
        # Muon computes in bfloat16, and its rounding depends on the order of operations. Other settings of momentum,
        # iterations or rate are off by 7e-4 and more from what float32 gives.
        assert float((final - recorded(name, "final_bf16")).abs().max()) < (1e-3 if by_muon else 1e-6), name
        assert float((final - recorded(name, "final_fp32")).abs().max()) < (5e-4 if by_muon else 1e-6), name


def test_parameters_are_split_as_published():
    def shaped(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta")

    assert is_matrix(shaped(8320, 1024))
    assert is_matrix(shaped(384, 384, 4, 4, 4))
    assert is_matrix(shaped(9_999, 1))
    assert not is_matrix(shaped(10_000, 2))
    assert not is_matrix(shaped(983_040, 770))
    assert not is_matrix(shaped(770))
    assert not is_matrix(shaped())


def settings(optimiser: torch.optim.Optimizer, *names: str) -> dict[str, object]:
    return {name: optimiser.param_groups[0][name] for name in names}


def test_presets_have_the_published_settings():
    network = build_mapping("residual-mlp", encoder_shape=(6,), generator_shape=(8,), code_size=5)
    muon, adamw = build_optimisers(network.parameters(), "muon", lr=1e-3)
    assert isinstance(muon, torch.optim.Muon)
    assert settings(muon, "lr", "momentum", "nesterov", "ns_steps", "weight_decay") == {
        "lr": 1e-3,
        "momentum": 0.95,
        "nesterov": True,
        "ns_steps": 6,
        "weight_decay": 0.0,
    }
    assert isinstance(adamw, torch.optim.AdamW)
    assert settings(adamw, "lr", "betas", "eps", "weight_decay") == {
        "lr": 3e-4,
        "betas": (0.95, 0.95),
        "eps": 1e-8,
        "weight_decay": 0.0,
    }
    assert len(muon.param_groups[0]["params"]) == 3
    assert len(adamw.param_groups[0]["params"]) == 7
    (adam,) = build_optimisers(network.parameters(), "adam", lr=1e-2)
    assert type(adam) is torch.optim.Adam
    assert settings(adam, "lr", "betas", "weight_decay") == {"lr": 1e-2, "betas": (0.9, 0.999), "weight_decay": 0}


def test_idle_optimisers_and_frozen_parameters_are_left_out():
    linear = torch.nn.Linear(3, 2)
    assert len(build_optimisers([linear.weight], "muon", lr=1.0)) == 1
    assert len(build_optimisers([linear.bias], "muon", lr=1.0)) == 1
    linear.weight.requires_grad_(False)
    (only,) = build_optimisers(linear.parameters(), "muon", lr=1.0)
    assert isinstance(only, torch.optim.AdamW)


def train(steps: int, *, interrupt: bool, preset: str) -> dict[str, torch.Tensor]:
    """Weights of a small convolutional network after some steps, with or without going through a file half-way."""

    def fresh(seed: int) -> tuple[torch.nn.Module, list[torch.optim.Optimizer]]:
        torch.manual_seed(seed)
        network = build_mapping(
            "conv3d", encoder_shape=(2, 4, 4, 4), generator_shape=(2, 4, 4, 4), code_size=3, dropout=0, bottleneck=3
        )
        return network, build_optimisers(network.parameters(), preset, lr=1e-2)

    with torch.random.fork_rng():
        network, optimisers = fresh(0)
        for step in range(steps):
            if interrupt and step == steps // 2:
                file = io.BytesIO()
                torch.save([part.state_dict() for part in (network, *optimisers)], file)
                network, optimisers = fresh(1)
                file.seek(0)
                states = torch.load(file, weights_only=True)
                for part, state in zip([network, *optimisers], states, strict=True):
                    part.load_state_dict(state)
            latents = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(step))
            network.zero_grad()
            (network(latents)[0] - latents).square().mean().backward()
            for optimiser in optimisers:
                optimiser.step()
    return {key: value.detach() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("preset", ["muon", "adam"])
def test_resumed_steps_are_bit_identical(preset):
    straight = train(4, interrupt=False, preset=preset)
    resumed = train(4, interrupt=True, preset=preset)
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert any(not torch.equal(straight[key], value) for key, value in train(3, interrupt=False, preset=preset).items())


def test_kernels_step_as_their_matrices_do():
    kernel = torch.nn.Parameter(torch.randn(4, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0)))
    matrix = torch.nn.Parameter(kernel.detach().reshape(4, -1).clone())
    gradient = torch.randn(4, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    for parameter in (kernel, matrix):
        (muon,) = build_optimisers([parameter], "muon", lr=0.1)
        parameter.grad = gradient.reshape(parameter.shape).clone()
        muon.step()
    assert kernel.shape == (4, 3, 2, 2, 2)
    assert torch.equal(kernel.detach().reshape(4, -1), matrix.detach())
    assert kernel.grad is not None
    assert torch.equal(kernel.grad, gradient)


def test_gradients_in_another_memory_order_are_taken():
    kernels = [torch.nn.Parameter(torch.ones(4, 3, 2, 2, 2)) for _ in range(2)]
    gradient = torch.randn(4, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    kernels[0].grad = gradient
    kernels[1].grad = gradient.to(memory_format=torch.channels_last_3d)
    for kernel in kernels:
        build_optimisers([kernel], "muon", lr=0.1)[0].step()
    assert torch.equal(kernels[0].detach(), kernels[1].detach())


@pytest.mark.parametrize(
    ("preset", "rates"), [("sgd", (1.0, 1.0)), ("muon", (0.0, 1.0)), ("muon", (1.0, np.nan)), ("adam", (np.inf, 1.0))]
)
def test_refuses_presets_and_rates_that_make_no_sense(preset, rates):
    with pytest.raises(UsageError):
        build_optimisers(torch.nn.Linear(2, 2).parameters(), preset, lr=rates[0], adamw_lr=rates[1])
    with pytest.raises(UsageError, match="nothing to train"):
        build_optimisers([], "muon", lr=1.0)


def test_old_torch_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UnsupportedError, match="has no Muon") as caught:
        build_optimisers(torch.nn.Linear(2, 2).parameters(), "muon", lr=1.0)
    assert "torch>=2.9" in caught.value.hint


def test_linear_decay_is_a_line_and_then_flat():
    decay = LinearDecay(1e-2, 1e-5, 100)
    assert [1e-2 * decay(step) for step in (0, 25, 50, 100, 1000)] == pytest.approx(
        [1e-2, 1e-2 - 0.25 * (1e-2 - 1e-5), (1e-2 + 1e-5) / 2, 1e-5, 1e-5]
    )
    assert Constant()(0) == Constant()(10**9) == 1


def test_half_a_cosine_falls_to_nothing_slowly_at_both_ends():
    cosine = HalfCosine(1000)
    assert [cosine(step) for step in (0, 250, 500, 1000)] == pytest.approx([1, 0.8536, 0.5, 0], abs=1e-4)
    assert cosine(0) - cosine(100) == pytest.approx(cosine(900)) == pytest.approx(0.0245, abs=1e-4)


def test_warmup_decay_rises_stays_and_falls_to_nothing():
    schedule = WarmupDecay(1000, warmup=100, decay=0.5)
    assert schedule(0) == pytest.approx(0.01)
    assert schedule(99) == schedule(300) == schedule(500) == 1
    assert schedule(750) == pytest.approx(0.5)
    assert 0 < schedule(999) < 0.01
    assert schedule(1000) == schedule(2000) == 0


def test_a_short_run_never_reaches_the_height():
    assert max(WarmupDecay(10, warmup=100, decay=0.4)(step) for step in range(10)) <= 0.1


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 10), (1.0, -1.0, 10), (1.0, 0.5, 0), (float("nan"), 0.5, 10)])
def test_refuses_impossible_schedules(wrong):
    with pytest.raises(UsageError, match="cannot decay"):
        LinearDecay(*wrong)
