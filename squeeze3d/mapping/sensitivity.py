"""How much an error in each direction of the code costs in the generator latent.

A code error e moves the latent z_G of G numbers by about J e, where J is the Jacobian of the reverse mapping, so it
adds about e^T W e to the mean squared error, with W = E[J^T J] / G. A quantiser that knows W spends its bits where
they count.

J has up to a billion entries and is never formed. For v ~ N(0, I) of the latent's size, g = J^T v is one backward
pass, and E[g g^T] = J^T J.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from squeeze3d.errors import InputError, LimitError

LARGEST_CODE = 10_000
"""Longest code whose (d, d) matrix is computed: 800 MB."""
_VALUES_AT_ONCE = 2**24


def sensitivity(
    reverse: nn.Module, codes: torch.Tensor | NDArray[np.floating], *, probes: int = 4, seed: int = 0
) -> NDArray[np.float64]:
    """W ~= E[J^T J] / G, (d, d), symmetric and positive semi-definite, averaged over codes (N, d).

    Where the code is standardised before it is quantised, pass standardised codes: a LayerNorm that reads a code of
    deviation s makes J proportional to 1 / s, so plain codes of small deviation would drown the others.

    The rank is at most N * probes. The relative error of its trace falls like 1 / sqrt(N * probes), or faster. The
    module is in evaluation mode during the call and then as it was. The same seed gives the same probes on every
    device.

    Raises
    ------
    InputError : codes are not a finite matrix with at least one row, or the latents are not finite.
    LimitError : d is above 10,000.
    """
    values = torch.as_tensor(codes, dtype=torch.float32)
    if values.ndim != 2 or not values.numel() or not torch.isfinite(values).all():
        raise InputError(f"codes are a finite matrix (samples, dimensions), not {tuple(values.shape)}")
    size = values.shape[1]
    if size > LARGEST_CODE:
        raise LimitError(
            f"the sensitivity of a code of {size} numbers is a matrix of {8 * size**2 >> 20} MB",
            hint="fit the code model without sensitivity",
        )
    device = next((p.device for p in reverse.parameters()), values.device)
    random = torch.Generator().manual_seed(seed)
    total = np.zeros((size, size))
    training = reverse.training
    reverse.eval()
    try:
        with torch.no_grad():
            shape = tuple(reverse(values[:1].to(device)).shape[1:])
        for part in values.split(max(1, _VALUES_AT_ONCE // prod(shape))):
            inputs = part.detach().to(device).requires_grad_(True)
            with torch.enable_grad():
                outputs = reverse(inputs)
            for probe in range(probes):
                direction = torch.randn(outputs.shape, generator=random).to(device)
                (gradient,) = torch.autograd.grad(outputs, inputs, direction, retain_graph=probe + 1 < probes)
                rows = gradient.to("cpu", torch.float64).numpy()
                total += rows.T @ rows
    finally:
        reverse.train(training)
    if not np.isfinite(total).all():
        raise InputError("the reverse mapping gives latents that are not finite")
    return total / (len(values) * probes * prod(shape))
