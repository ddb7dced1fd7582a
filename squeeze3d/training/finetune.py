"""Fine-tuning a mapping network for the quantiser it will meet.

```text
code ─► standardise ─► analysis ─┬─► + uniform noise of one step ─► synthesis ─► reverse half ─► loss
                                 │   (zero, where a coefficient is never written)
                                 └─► bits that its tables charge ────────────────────────────────► + price * bits
```

Rounding has no useful gradient; uniform noise of the same size has the same error and one (Ballé et al., 2017). Noise
alone would make the network shout: larger coefficients suffer less from it, and cost more bits. So bits have a price,
the one at which the quantiser itself trades them for error. Afterwards the code model is fitted anew.

At rates near 1 bit this describes the quantiser badly: most symbols are zero then, with less error and fewer bits than
noise of a whole step has. Training with real rounding and straight-through gradients was tried and is no better there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.device import resolve
from squeeze3d.mapping.code_model import EPSILON, CodeModel
from squeeze3d.mapping.code_tables import SLOPE, limit_of
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.evaluate import target_variance
from squeeze3d.training.presets import Recipe
from squeeze3d.training.rates import CodeReport, encode_split
from squeeze3d.training.trainer import RunConfig, Start, Tick, TrainingResult, train_mapping
from squeeze3d.weights.hashing import sha256_of

PRICED = 256
"""Codes that the price of a bit is worked out from."""
SLOWER = 2
"""How much smaller the learning rate is than that of the training before, at the start."""


class QuantiserNoise(nn.Module):
    """The error and the bits of a code model at one rate, both differentiable in the codes."""

    mean: Tensor
    analysis: Tensor | None
    synthesis: Tensor | None
    steps: Tensor
    live: Tensor
    rows: Tensor
    sizes: Tensor
    costs: Tensor

    def __init__(self, model: CodeModel, rate: int, price: float = 0.0) -> None:
        """`price` is what a bit of a code costs, in units of the loss."""
        super().__init__()
        self.standardise, self.price = model.standardise, price
        live = np.flatnonzero(model.rows[rate] >= 0)
        arrays = {
            "mean": model.mean,
            "analysis": None if model.analysis is None else model.analysis[live],
            "synthesis": None if model.synthesis is None else model.synthesis[:, live],
            "steps": model.steps[rate, live],
            "sizes": 2.0 ** model.shifts[rate, live],
            "costs": model.costs,
        }
        for name, array in arrays.items():
            tensor = None if array is None else torch.from_numpy(np.array(array, dtype=np.float32))
            self.register_buffer(name, tensor, persistent=False)
        self.register_buffer("live", torch.from_numpy(live), persistent=False)
        self.register_buffer("rows", torch.from_numpy(model.rows[rate, live].astype(np.int64)), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, d) as a decoder might get them."""
        values = self._coefficients(codes)
        noisy = (values + torch.rand_like(values) - 0.5) * self.steps
        if self.synthesis is not None:
            return noisy @ self.synthesis.T + self.mean
        return torch.zeros_like(codes, dtype=noisy.dtype).index_add(1, self.live, noisy) + self.mean

    def penalty(self, codes: Tensor) -> Tensor:
        """Price of codes (B, d), averaged over them."""
        return self.price * self.bits(codes).mean()

    def bits(self, codes: Tensor) -> Tensor:
        """(B,) bits of codes (B, d): costs of the two symbols next to each coefficient, in proportion.

        This is the mean over the noise of what the rounded noisy coefficients cost. Coefficients beyond the largest
        symbol of a table cost what that one does.
        """
        limit = limit_of(self.costs.shape[1])
        coarse = (self._coefficients(codes) / self.sizes).clamp(-limit, limit)
        below = coarse.detach().floor().clamp(max=limit - 1)
        column = below.long() + limit
        low, high = self.costs[self.rows, column], self.costs[self.rows, column + 1]
        return (low + (high - low) * (coarse - below) + self.sizes.log2()).sum(dim=1)

    def _coefficients(self, codes: Tensor) -> Tensor:
        """(B, live) coefficients in units of their steps."""
        values = codes.float()
        if self.standardise:
            values = nn.functional.layer_norm(values, values.shape[1:], eps=EPSILON)
        values = values - self.mean
        values = values[:, self.live] if self.analysis is None else values @ self.analysis.T
        return values / self.steps


def price_of_bits(model: CodeModel, codes: NDArray[np.floating], rate: int, error: float) -> float:
    """Latent error that a bit is worth at one rate of a code model.

    Parameters
    ----------
    codes : (N, d), quantised at that rate.
    error : what quantising them adds to the mean squared error of the latents.
    """
    live = model.rows[rate] >= 0
    lost = 0.0
    for code in codes:
        values = model.analyse(code)[live] / model.steps[rate, live]
        lost += float(((values - model.quantise(code, rate)[live]) ** 2).sum())
    # Coefficients are scaled so that a step of each costs the same latent error.
    return SLOPE * max(error, 0.0) * len(codes) / lost if lost else 0.0


def nearest_rate(bits: list[float], wanted: float) -> int:
    """Index of the rate whose bits per number are nearest to those wanted."""
    return int(np.argmin(np.abs(np.asarray(bits) - wanted)))


def fine_tune(
    pair: PairSpec,
    data: LatentPairs,
    folder: str | Path,
    config: RunConfig,
    *,
    mapping: Path,
    code: Path,
    rate: int,
    report: CodeReport,
    restart: bool = False,
    progress: Callable[[Tick], None] = lambda tick: None,
) -> TrainingResult:
    """Train a mapping network on with the noise of its quantiser.

    Parameters
    ----------
    folder : of the new run; that of the training before stays as it is.
    config : of the training before, with the steps of this one.
    mapping, code : the trained network and its code model.
    rate : of the code model.
    report : of the code model.

    Raises what `train_mapping` and `CodeModel.load` do.
    """
    model = CodeModel.load(code)
    codes = encode_split(pair, data, "validation", mapping, device=resolve(config.device), limit=PRICED)
    added = report.rates[rate].latent_error - report.latent_error
    variance = 1.0 if config.recipe.standardise_targets else target_variance(data)
    noise = QuantiserNoise(model, rate, price_of_bits(model, codes, rate, added * variance))
    about = {"mapping": sha256_of(mapping), "code": sha256_of(code), "rate": rate}
    return train_mapping(
        pair,
        data,
        folder,
        dataclasses.replace(config, recipe=gentler(config.recipe)),
        start=Start(mapping, noise, about),
        restart=restart,
        progress=progress,
    )


def gentler(recipe: Recipe) -> Recipe:
    """Recipe for going on with a trained network: smaller rates that fall over the whole run."""
    return dataclasses.replace(
        recipe,
        lr=recipe.lr / SLOWER,
        adamw_lr=recipe.adamw_lr / SLOWER,
        final_lr=min(recipe.final_lr, recipe.lr / SLOWER),
        decay_epochs=recipe.epochs,
    )
