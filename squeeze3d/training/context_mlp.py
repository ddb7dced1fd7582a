"""Training side of the integer context networks: a float MLP that becomes one by rounding.

Weights and activations lie on grids of powers of two, so that the integer network needs shifts only:

```text
weights ─► clip ±127/64 ─► round to 1/64          activations ─► clip 0 ... 127/16 ─► round to 1/16
```

Training starts without rounding (the clips are there from the start) and ends with it; gradients pass the rounding as
if it were not there (straight-through estimator, Bengio et al. 2013). The output is log-odds in bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from squeeze3d.codecs.lite.context_net import LARGEST_ACTIVATION, LOG_ODDS_STEP, TABLES, ContextNet, Layer

WEIGHT_BITS = 6
"""Weights are multiples of 2**-6."""
ACTIVATION_BITS = 4
"""Activations are multiples of 2**-4."""
LARGEST_WEIGHT = 127 / (1 << WEIGHT_BITS)
LARGEST_LOG_ODDS = TABLES / 2 * LOG_ODDS_STEP


class ContextMLP(nn.Module):
    """Float counterpart of `ContextNet`.

    The first layer of group g is a matrix that all groups share plus one of its own: the shared part learns from all
    contexts, and only what differs has to be learnt by group. An exported network holds the sums. The first `common`
    inputs have no part of their own.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int = 1, *, groups: int = 1, common: int = 0
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden, outputs]
        self.shared = nn.Parameter(torch.empty(widths[1], inputs))
        self.own = nn.Parameter(torch.zeros(groups, widths[1], inputs - common))
        self.first_bias = nn.Parameter(torch.zeros(groups, widths[1]))
        self.weights = nn.ParameterList(torch.empty(b, a) for a, b in itertools.pairwise(widths[1:]))
        self.biases = nn.ParameterList(torch.zeros(b) for b in widths[2:])
        for weight in (self.shared, *self.weights):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        self.rounding = False
        """Whether weights and activations are rounded."""

    def forward(self, contexts: Tensor) -> Tensor:
        """(groups, N, inputs) contexts to (groups, N, outputs) log-odds in bits."""
        first = self._weight(self._first())
        values = torch.baddbmm(self._bias(self.first_bias, 0)[:, None], contexts, first.transpose(1, 2))
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            values = self._activation(values)
            values = values @ self._weight(weight).T + self._bias(bias, number)
        return values

    def _first(self) -> Tensor:
        """(groups, H, inputs) matrices of the first layer."""
        return self.shared + nn.functional.pad(self.own, (self.shared.shape[1] - self.own.shape[2], 0))

    def _weight(self, weight: Tensor) -> Tensor:
        clipped = weight.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        return _rounded(clipped, WEIGHT_BITS) if self.rounding else clipped

    def _bias(self, bias: Tensor, layer: int) -> Tensor:
        return _rounded(bias, WEIGHT_BITS + (ACTIVATION_BITS if layer else 0)) if self.rounding else bias

    def _activation(self, values: Tensor) -> Tensor:
        clipped = values.clamp(0, LARGEST_ACTIVATION / (1 << ACTIVATION_BITS))
        return _rounded(clipped, ACTIVATION_BITS) if self.rounding else clipped

    @torch.no_grad()
    def export(self, *, limit: int = 1) -> ContextNet:
        """The integer network that this one is with `rounding`.

        Raises FormatError if a sum could leave the range in which float32 is exact.
        """
        layers = [_layer(self._first(), self.first_bias, 0, WEIGHT_BITS - ACTIVATION_BITS)]
        last = len(self.weights)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            # The table number is the log-odds in steps, rounded down: tables stand for the middle of a step.
            shift = WEIGHT_BITS if number < last else WEIGHT_BITS + ACTIVATION_BITS + round(math.log2(LOG_ODDS_STEP))
            layers.append(_layer(weight[None], bias[None], number, shift, to_nearest=number < last))
        return ContextNet(layers, limit=limit)


def cost(log_odds: Tensor, outcomes: Tensor) -> Tensor:
    """Bits that each outcome, 0 or 1, costs; log-odds in bits."""
    losses = nn.functional.binary_cross_entropy_with_logits(log_odds * math.log(2), outcomes, reduction="none")
    return losses / math.log(2)


def _layer(weight: Tensor, bias: Tensor, number: int, shift: int, *, to_nearest: bool = True) -> Layer:
    scale = 1 << WEIGHT_BITS
    whole = torch.round(weight.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT) * scale)
    whole_bias = torch.round(bias * (scale << (ACTIVATION_BITS if number else 0)))
    half = (1 << shift >> 1) if to_nearest else 0
    return Layer(whole.cpu().numpy().astype(np.int8), whole_bias.cpu().numpy().astype(np.int32) + np.int32(half), shift)


def _rounded(values: Tensor, bits: int) -> Tensor:
    """Nearest multiple of 2**-bits, with the gradient of the identity."""
    # Half goes up, as in the integer network.
    nearest = torch.floor(values * (1 << bits) + 0.5) / (1 << bits)
    return values + (nearest - values).detach()
