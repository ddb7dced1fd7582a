"""Loss terms: recorded values, and what each form of the gram term asks for."""

from __future__ import annotations

import math

import numpy as np
import parity
import pytest
import torch

from squeeze3d.errors import InputError
from squeeze3d.mapping.losses import GramForm, MappingLoss, gram_loss, reconstruction_loss, rendering_loss


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_cosine_form_reproduces_the_published_numbers():
    recorded = {key: torch.from_numpy(value) for key, value in parity.arrays("parity_loss").items()}
    parts = MappingLoss()(recorded["outputs"], recorded["targets"], recorded["b"])
    assert float(parts.reconstruction) == pytest.approx(float(recorded["mse"]), abs=1e-6)
    assert float(parts.gram) == pytest.approx(float(recorded["gram"]), abs=1e-8)
    assert float(parts.total) == pytest.approx(float(recorded["total"]), rel=1e-6)


def test_frobenius_form_is_equation_4():
    codes = normal(4, 6)
    expected = np.linalg.norm(codes.numpy() @ codes.numpy().T - np.eye(4)) ** 2
    assert float(gram_loss(codes, GramForm.FROBENIUS)) == pytest.approx(expected, rel=1e-5)


def test_orthonormal_codes_satisfy_both_sample_wise_forms():
    codes = torch.linalg.qr(normal(8, 5))[0].T
    for form in (GramForm.FROBENIUS, GramForm.COSINE):
        assert float(gram_loss(codes, form)) < 1e-10
    assert float(gram_loss(3 * codes, GramForm.COSINE)) < 1e-10
    assert float(gram_loss(3 * codes, GramForm.FROBENIUS)) == pytest.approx(5 * 64, rel=1e-4)


@pytest.mark.parametrize(("batch", "size"), [(40, 7), (6, 30)])
def test_decorrelation_is_the_adjusted_mean_squared_correlation(batch, size):
    codes = normal(batch, size)
    correlations = np.corrcoef(codes.numpy().astype(np.float64), rowvar=False)
    squared = np.square(correlations[~np.eye(size, dtype=bool)]).mean()
    expected = ((batch - 1) * squared - 1) / (batch - 2)
    assert float(gram_loss(codes, GramForm.DECORRELATE)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch", [4, 16, 300])
def test_decorrelation_of_independent_dimensions_is_zero_at_every_batch_size(batch):
    values = [float(gram_loss(normal(batch, 200, seed=k), GramForm.DECORRELATE)) for k in range(20)]
    assert abs(np.mean(values)) < 5e-3


def test_decorrelation_of_equal_dimensions_is_one():
    codes = normal(16, 1) * torch.linspace(-2, 3, 24) + torch.linspace(0, 9, 24)
    assert float(gram_loss(codes, GramForm.DECORRELATE)) == pytest.approx(1, abs=1e-4)


def test_decorrelation_separates_dimensions_from_batches_smaller_than_the_code():
    """Codes that hold a mixture of few factors become independent ones, step by step, from batches of 8 for d = 24."""
    mixing = torch.nn.Parameter(normal(24, 24) * 0.3 + 1)
    everything = normal(4000, 24, seed=1)

    def correlation() -> float:
        return float(gram_loss((everything @ mixing).detach(), GramForm.DECORRELATE))

    before = correlation()
    optimiser = torch.optim.Adam([mixing], lr=0.02)
    for step in range(300):
        optimiser.zero_grad()
        gram_loss(normal(8, 24, seed=step + 2) @ mixing, GramForm.DECORRELATE).backward()
        optimiser.step()
    assert before > 0.5
    assert correlation() < 0.05


@pytest.mark.parametrize("form", GramForm)
@pytest.mark.parametrize("codes", [torch.zeros(5, 4), torch.ones(1, 4), torch.ones(2, 1), torch.full((5, 4), 7.0)])
def test_degenerate_batches_have_finite_gradients(form, codes):
    codes = codes.clone().requires_grad_(True)
    loss = gram_loss(codes, form)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert codes.grad is not None
    assert torch.isfinite(codes.grad).all()


def test_constant_dimensions_count_as_uncorrelated():
    codes = normal(50, 6)
    codes[:, 2] = 3.0
    expected = gram_loss(codes[:, [0, 1, 3, 4, 5]], GramForm.DECORRELATE)
    squared = (float(expected) * 48 + 1) / 49 * (5 * 4) / (6 * 5)
    assert float(gram_loss(codes, GramForm.DECORRELATE)) == pytest.approx((49 * squared - 1) / 48, abs=1e-5)


def test_gram_term_is_not_rounded_under_mixed_precision():
    codes = normal(16, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = gram_loss(codes, GramForm.COSINE)
    assert torch.equal(mixed, gram_loss(codes, GramForm.COSINE))


def test_parts_add_up_to_the_total():
    outputs, targets, codes = normal(3, 2, 4), normal(3, 2, 4, seed=1), normal(3, 5, seed=2)
    loss = MappingLoss(gram=GramForm.DECORRELATE, gram_weight=0.5, reconstruction_weight=2.0)
    parts = loss(outputs, targets, codes)
    assert float(parts.total) == pytest.approx(2 * float(parts.reconstruction) + 0.5 * float(parts.gram), rel=1e-6)
    plain = MappingLoss(gram=None)(outputs, targets, codes)
    assert float(plain.total) == float(plain.reconstruction) == float(reconstruction_loss(outputs, targets))
    assert float(plain.gram) == 0


def test_weighted_elements_count_as_much_as_they_weigh():
    outputs = torch.zeros(2, 3)
    targets = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    weights = torch.tensor([3.0, 0.0, 0.0])
    assert float(reconstruction_loss(outputs, targets, weights)) == pytest.approx(3 / 6)
    assert float(MappingLoss(gram=None, element_weights=weights)(outputs, targets, outputs).total) == pytest.approx(0.5)


def test_samples_may_have_weights_of_their_own():
    outputs, targets = torch.zeros(2, 1, 2), torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]])
    weights = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]])
    assert float(reconstruction_loss(outputs, targets, weights)) == pytest.approx(2 / 4)


class Spheres:
    """A generator whose asset is the length of its latent; latents of negative sum generate nothing."""

    def generate(self, latent: torch.Tensor) -> object:
        if float(latent.sum()) < 0:
            raise InputError("nothing")
        return float(latent.norm())

    def distance(self, latent: torch.Tensor, asset: object) -> torch.Tensor:
        assert isinstance(asset, float)
        return (latent.norm() - asset).square()


def test_rendering_loss_compares_what_is_generated():
    targets = torch.tensor([[3.0, 4.0], [0.0, 1.0], [-1.0, -1.0]])
    latents = torch.tensor([[5.0, 0.0], [3.0, 0.0], [9.0, 9.0]], requires_grad=True)
    loss = rendering_loss(Spheres(), latents, targets)
    assert float(loss.detach()) == pytest.approx((0 + 4) / 2, abs=1e-5)
    loss.backward()
    assert latents.grad is not None
    assert latents.grad[1, 0] > 0
    assert not latents.grad[2].any()


def test_rendering_loss_of_empty_targets_is_zero():
    latents = torch.ones(2, 2, requires_grad=True)
    rendering_loss(Spheres(), latents, -torch.ones(2, 2)).backward()
    assert latents.grad is not None
    assert not latents.grad.any()
