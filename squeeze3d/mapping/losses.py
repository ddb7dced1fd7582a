"""Losses that mapping networks are trained with.

```text
loss = reconstruction_weight * mean (z_G - target)^2  +  gram_weight * gram(codes of the batch)      (equation 4)
```

The gram term keeps codes from gathering in a few directions, which would waste the numbers that are sent. Paper and
research code differ in it, and neither formula is what the paper's motivation asks for; see `GramForm`.

The research code applies the term to a partial sum that is not what a decoder needs (see
`squeeze3d.mapping.residual_mlp`). Here it always sees the transmitted code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

from squeeze3d.errors import InputError

if TYPE_CHECKING:
    from typing import Protocol

    from squeeze3d.assets.source import Asset

    class Generator(Protocol):
        """The part of a pair's generator that a rendering loss uses."""

        def generate(self, latent: torch.Tensor) -> Asset: ...

        def distance(self, latent: torch.Tensor, asset: Asset) -> torch.Tensor: ...


_NORM_EPSILON = 1e-8
_VARIANCE_EPSILON = 1e-8


class GramForm(StrEnum):
    """Formula of the gram term, for codes Z (B, d) of one batch."""

    FROBENIUS = "frobenius"
    """||Z Z^T - I||_F^2, equation 4. Asks codes of different samples to be orthogonal, and of unit length."""
    COSINE = "cosine"
    """Mean over the (B, B) entries of (N N^T - I)^2, where N is Z with rows of unit length: the research code's form,
    which it weights with 1e7. Asks codes of different samples to be orthogonal; says nothing about their length."""
    DECORRELATE = "decorrelate"
    """Mean squared correlation between different dimensions over the batch, corrected for the batch's size: what the
    paper's analysis of (d, d) correlations motivates. 1 if all dimensions say the same, 0 on average if they are
    independent. Says nothing about mean and scale."""


def gram_loss(codes: torch.Tensor, form: GramForm) -> torch.Tensor:
    """Gram term of codes (B, d), a scalar."""
    # With a weight of 1e7, the rounding of a product in bfloat16 would be louder than the term.
    with torch.autocast(codes.device.type, enabled=False):
        codes = codes.float()
        identity = torch.eye(len(codes), device=codes.device)
        match form:
            case GramForm.FROBENIUS:
                return (codes @ codes.T - identity).square().sum()
            case GramForm.COSINE:
                rows = codes / (codes.norm(dim=1, keepdim=True) + _NORM_EPSILON)
                return (rows @ rows.T - identity).square().mean()
            case GramForm.DECORRELATE:
                return _decorrelation(codes)


def _decorrelation(codes: torch.Tensor) -> torch.Tensor:
    """Adjusted mean squared correlation of the columns.

    With columns S of zero mean and unit variance over the batch, C = S^T S / B holds the correlations r_ij. A batch of
    B samples of independent dimensions has E[r^2] = 1/(B - 1), however large d is, so

        loss = ((B - 1) mean_{i != j} r_ij^2 - 1) / (B - 2)

    is 0 on average there and 1 at r = 1. It is affine in r^2: the correction changes the value's meaning, not where
    the gradient points. ||S^T S||_F = ||S S^T||_F, so the cost is B^2 d and no (d, d) matrix exists, which matters as
    B is 16 and d up to 24,000. Columns that are constant over the batch count as uncorrelated. Fewer than three
    samples or two dimensions say nothing and give 0.
    """
    batch, size = codes.shape
    if batch < 3 or size < 2:
        return codes.sum() * 0
    centred = codes - codes.mean(dim=0)
    columns = centred / (centred.square().mean(dim=0) + _VARIANCE_EPSILON).sqrt()
    everything = (columns @ columns.T / batch).square().sum()
    diagonal = columns.square().mean(dim=0).square().sum()
    squared = (everything - diagonal) / (size * (size - 1))
    return ((batch - 1) * squared - 1) / (batch - 2)


def reconstruction_loss(
    outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error of latents (B, *shape).

    `weights` tell which elements matter: mean 1, broadcast to *shape or, with a set for each sample, to (B, *shape).
    """
    squared = (outputs - targets).square()
    return squared.mean() if weights is None else (squared * weights.to(squared)).mean()


@dataclass(frozen=True)
class LossParts:
    """Scalars of one batch. `total` carries the gradient; the others are what it is made of, before their weights."""

    total: torch.Tensor
    reconstruction: torch.Tensor
    gram: torch.Tensor


@dataclass(frozen=True)
class MappingLoss:
    """Equation 4: a weighted sum of reconstruction and gram term."""

    gram: GramForm | None = GramForm.COSINE
    """None leaves the term out."""
    gram_weight: float = 1e7
    """lambda_gram. 1e7 belongs to the cosine form in the research code; the paper states none for equation 4."""
    reconstruction_weight: float = 1.0
    """lambda_gen."""
    element_weights: torch.Tensor | None = None
    """Importance of the elements of a generator latent, or of those of each latent of a batch, mean 1; see
    `squeeze3d.mapping.triplanes.cell_weights`."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor, codes: torch.Tensor) -> LossParts:
        """Loss of generator latents (B, *shape) against their targets, and of the codes (B, d) between them."""
        reconstruction = reconstruction_loss(outputs, targets, self.element_weights)
        gram = codes.new_zeros(()) if self.gram is None else gram_loss(codes, self.gram)
        total = self.reconstruction_weight * reconstruction + self.gram_weight * gram
        return LossParts(total=total, reconstruction=reconstruction.detach(), gram=gram.detach())


def rendering_loss(generator: Generator, latents: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How far what latents (B, *shape) generate is from what the target latents generate: a mean over the batch.

    Latents that differ much may look the same and the other way round; this compares what is seen, through the
    distance that the pair refines codes with. Only for pairs with `refine_steps`.

    Targets are assets in the generator's frame, as they come out of `generate`. `distance` compares coordinates as they
    are, so both sides are in one frame and a latent that equals its target has distance 0; `to_frame` would move and
    scale one side only. Targets that generate nothing are left out.
    """
    distances = []
    for latent, target in zip(latents, targets, strict=True):
        try:
            with torch.no_grad():
                asset = generator.generate(target[None])
        except InputError:
            continue
        distances.append(generator.distance(latent[None], asset))
    return torch.stack(distances).mean() if distances else latents.sum() * 0
