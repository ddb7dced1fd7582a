"""The priors say what the original ones do, and draw by the equations of the paper."""

from __future__ import annotations

from collections.abc import Iterator

import parity
import pytest
import torch
from torch import Tensor

from squeeze3d.backbones.lion.config import TINY
from squeeze3d.backbones.lion.priors import Priors, ancestral, time_code
from squeeze3d.backbones.published import shapes_of

TOLERANCE = 2e-5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_full_size_priors_are_the_recorded_ones():
    with torch.device("meta"):
        priors = Priors()
    weights = parity.weights("lion_priors", network="lion")
    assert shapes_of(priors) == parity.shapes("lion_priors", network="lion")
    priors.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, assign=True)
    arrays = parity.arrays("parity_lion_priors", network="lion")
    given = {key: torch.from_numpy(value) for key, value in arrays.items()}
    with torch.no_grad():
        style = priors.style(given["x_global"], given["t"])
        local = priors.points.noise(given["x_local"], given["style"], given["t"])
    assert (style - given["eps_global"]).abs().max() < TOLERANCE
    assert (local - given["eps_local"]).abs().max() < TOLERANCE


def test_time_codes_turn_at_the_stated_rates():
    code = time_code(torch.tensor([1.0, 640.0]), 64)
    assert torch.allclose(code[:, 0], torch.tensor([1.0, 640.0]).sin())
    assert torch.allclose(code[:, 31], torch.tensor([1e-4, 0.064]).sin(), atol=1e-6)
    assert torch.allclose(code[:, 32], torch.tensor([1.0, 640.0]).cos())


def test_the_same_seed_draws_the_same_latents():
    torch.manual_seed(0)
    priors = Priors(TINY).eval()
    first = priors.draw(2, 5)
    assert first.shape == (2, TINY.latent)
    assert torch.equal(first, priors.draw(2, 5))
    assert not torch.equal(first, priors.draw(2, 6))
    assert not first.requires_grad


def test_styles_come_first_and_decide_about_points():
    torch.manual_seed(0)
    priors = Priors(TINY).eval()
    seen: list[Tensor] = []
    priors.points.noise = lambda x, style, time: (seen.append(style), torch.zeros_like(x))[1]
    drawn = priors.draw(1, 0)
    assert len(seen) == TINY.steps
    assert all(torch.equal(style, drawn[:, : TINY.style]) for style in seen)


@pytest.mark.parametrize("steps", [1, 30])
def test_knowing_the_noise_leads_to_the_clean_sample(steps):
    clean, random = torch.tensor([[0.3, -2.0, 5.0]]), torch.Generator().manual_seed(0)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps, dtype=torch.float64), dim=0)
    times: list[float] = []

    def predict(x: Tensor, time: Tensor) -> Tensor:
        times.append(float(time[0]))
        share = float(kept[int(time[0]) - 1])
        return (x - share**0.5 * clean) / (1 - share) ** 0.5

    found = ancestral(predict, lambda: torch.randn(1, 3, generator=random), steps)
    assert torch.allclose(found, clean, atol=1e-4)
    assert times == [float(step) for step in range(steps, 0, -1)]


def test_samples_of_a_normal_distribution_are_distributed_like_it():
    mean, sigma, steps = 0.7, 0.5, 1000
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps, dtype=torch.float64), dim=0)
    random = torch.Generator().manual_seed(0)

    def predict(x: Tensor, time: Tensor) -> Tensor:
        share = float(kept[int(time[0]) - 1])
        spread = share * sigma**2 + 1 - share
        return (1 - share) ** 0.5 * (x - share**0.5 * mean) / spread

    found = ancestral(predict, lambda: torch.randn(4000, 1, generator=random), steps)
    assert float(found.mean()) == pytest.approx(mean, abs=0.03)
    assert float(found.std()) == pytest.approx(sigma, rel=0.05)
