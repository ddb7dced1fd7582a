"""Blocks of NeRF-MAE's decoder: upsampling by a transposed convolution, then a residual pair of convolutions.

```text
grid ─► transposed convolution ─► [+ skip, as channels] ─┬─► conv 3^3 ─► IN ─► LReLU ─► conv 3^3 ─► IN ─► + ─► LReLU
                                                         └──────────────► [conv 1^3 ─► IN] ───────────────┘
```

IN is instance normalisation without weights: it always uses the mean and variance of the volume at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.01
"""Of LeakyReLU, below zero."""
EPSILON = 1e-5
"""Added to variances."""


class ConvBlock(nn.Module):
    """Residual block of 3^3 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.conv3 = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, grid: Tensor) -> Tensor:
        """(B, inputs, X, Y, Z) to (B, outputs, X, Y, Z)."""
        inner = functional.leaky_relu(functional.instance_norm(self.conv1(grid), eps=EPSILON), SLOPE)
        made = functional.instance_norm(self.conv2(inner), eps=EPSILON)
        if self.conv3 is not None:
            grid = functional.instance_norm(self.conv3(grid), eps=EPSILON)
        return functional.leaky_relu(made + grid, SLOPE)


class UpBlock(nn.Module):
    """Upsampling by a factor, with or without a skip of as many channels as come out."""

    def __init__(self, inputs: int, outputs: int, factor: int = 2, *, skip: bool = True) -> None:
        super().__init__()
        self.transp_conv = nn.ConvTranspose3d(inputs, outputs, factor, stride=factor)
        self.conv_block = ConvBlock(2 * outputs if skip else outputs, outputs)

    def forward(self, grid: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, inputs, X, Y, Z) to (B, outputs, f X, f Y, f Z)."""
        up = self.transp_conv(grid)
        return self.conv_block(up if skip is None else torch.cat([up, skip], dim=1))
