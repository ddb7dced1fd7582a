"""Latent error: how far the latents that a mapping network makes are from the generator's own.

Errors are mean squares relative to the variance of the latents, so 1 is what a decoder reaches that knows nothing but
the mean latent, and 0 is perfect.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.training.dataset import LatentPairs, Split

LIMIT = 1024
"""Samples that are enough for a mean; large latents take long to read."""
BATCH = 32


def target_variance(data: LatentPairs, *, limit: int = LIMIT) -> float:
    """Mean over all values of a generator latent of their variance over the training split; 1 where that is nothing.

    In one pass with the mean as it grows, because latents have millions of values and may lie far from zero.
    """
    mean: NDArray[np.float64] | float = 0.0
    count, squares, values = 0, 0.0, 1
    for _, latents in data.batches("train", BATCH, limit=limit):
        batch = latents.astype(np.float64)
        centre = batch.mean(axis=0)
        total = count + len(batch)
        squares += float(((batch - centre) ** 2).sum())
        squares += count * len(batch) / total * float(((centre - mean) ** 2).sum())
        mean = mean + (centre - mean) * (len(batch) / total)
        count, values = total, centre.size
    variance = squares / (count * values)
    return variance if variance > 0 else 1.0


def mean_squares(
    predict: Callable[[Tensor], Tensor],
    data: LatentPairs,
    part: Split,
    *,
    device: torch.device | str,
    target: Callable[[Tensor], Tensor] = lambda latents: latents,
    limit: int = LIMIT,
) -> float:
    """Mean squared difference of what is predicted from encoder latents and the `target` of the generator latents."""
    total, count = 0.0, 0
    with torch.no_grad():
        for inputs, targets in data.batches(part, BATCH, limit=limit):
            predicted = predict(torch.from_numpy(inputs).to(device)).float()
            wanted = target(torch.from_numpy(targets).to(device))
            errors = (predicted - wanted).square().flatten(1).mean(dim=1)
            total += float(errors.double().sum())
            count += len(targets)
    return total / max(count, 1)
