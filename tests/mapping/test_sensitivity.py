"""Sensitivity of the latent to the code, against exact Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.errors import InputError, LimitError
from squeeze3d.mapping.networks import build_reverse
from squeeze3d.mapping.sensitivity import sensitivity


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def standardised(count: int) -> torch.Tensor:
    codes = normal(count, 4)
    return (codes - codes.mean(1, keepdim=True)) / codes.std(1, keepdim=True, correction=0)


def tiny() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_reverse("residual-mlp", generator_shape=(3, 5), code_size=4)


def exact(reverse: torch.nn.Module, codes: torch.Tensor) -> np.ndarray:
    total = np.zeros((codes.shape[1], codes.shape[1]))
    for code in codes:
        jacobian = torch.autograd.functional.jacobian(lambda c: reverse(c[None]).flatten(), code).double().numpy()
        total += jacobian.T @ jacobian / len(jacobian)
    return total / len(codes)


def test_converges_to_the_exact_matrix():
    reverse, codes = tiny().eval(), standardised(20)
    wanted = exact(reverse, codes)
    few, many = (sensitivity(reverse, codes, probes=probes) for probes in (4, 1000))
    error = [np.linalg.norm(found - wanted) / np.linalg.norm(wanted) for found in (few, many)]
    assert error[1] < 0.02
    assert error[1] < error[0] / 3


def test_predicts_the_error_that_a_small_change_adds():
    reverse, codes = tiny().eval(), standardised(300)
    matrix = sensitivity(reverse, codes, probes=50)
    change = 1e-3 * normal(4)
    with torch.no_grad():
        added = float((reverse(codes + change) - reverse(codes)).square().mean())
    assert float(change.double().numpy() @ matrix @ change.double().numpy()) == pytest.approx(added, rel=0.05)


def test_is_symmetric_and_positive_semi_definite():
    matrix = sensitivity(tiny(), normal(5, 4).numpy(), probes=2)
    assert matrix.dtype == np.float64
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12


def test_converges_in_parts_too(monkeypatch):
    reverse, codes = tiny(), standardised(7)
    monkeypatch.setattr("squeeze3d.mapping.sensitivity._VALUES_AT_ONCE", 15 * 3)
    found, wanted = sensitivity(reverse, codes, probes=1000), exact(reverse.eval(), codes)
    assert np.linalg.norm(found - wanted) < 0.04 * np.linalg.norm(wanted)


def test_repeats_with_its_seed_and_leaves_the_module_alone():
    reverse, codes = tiny().train(), normal(5, 4)
    state = torch.random.get_rng_state()
    first = sensitivity(reverse, codes, seed=1)
    assert np.array_equal(first, sensitivity(reverse, codes, seed=1))
    assert not np.array_equal(first, sensitivity(reverse, codes, seed=2))
    assert reverse.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in reverse.parameters())


def test_works_inside_of_no_grad_and_on_frozen_modules():
    reverse, codes = tiny(), normal(5, 4)
    expected = sensitivity(reverse, codes)
    with torch.no_grad():
        assert np.array_equal(sensitivity(reverse.requires_grad_(False), codes), expected)


def test_refuses_what_it_cannot_do():
    for codes in (torch.zeros(0, 4), torch.zeros(4), torch.tensor([[float("nan")] * 4])):
        with pytest.raises(InputError):
            sensitivity(tiny(), codes)
    with pytest.raises(LimitError, match="4394 MB"):
        sensitivity(torch.nn.Identity(), torch.zeros(1, 24_000))
    with pytest.raises(InputError, match="not finite"):
        sensitivity(torch.nn.Sequential(tiny(), Roots()), torch.zeros(1, 4))


class Roots(torch.nn.Module):
    """Infinite slope everywhere that matters."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return (latent - latent).abs().sqrt()
