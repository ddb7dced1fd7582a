"""Residual MLP: the mapping network of the three mesh pairs (Squeeze3D, appendix A.1).

```text
forward   z_E ─► flatten ─► fc1 ─► u ─► LayerNorm ─► GELU ─► dropout ─► fc2 ─► + ─► code
                                   └───────────────────────────────────────────┘
reverse   code ─► LayerNorm ─► GELU ─► dropout ─► fc3 ─► z_G
```

The research code reports the output of `fc2` as the compressed representation. That number cannot be decoded: the
reverse half reads it with the residual u added. Their sum is what is transmitted here; it has the same size, and the
published weights give the published output.

Modules and parameters carry the names of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

DROPOUT = 0.35
"""Dropout of the published training runs."""


class ResidualForward(nn.Module):
    """Compressor: (B, *encoder_shape) to code (B, code_size)."""

    def __init__(self, encoder_shape: Sequence[int], code_size: int, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.fc1 = nn.Linear(prod(encoder_shape), code_size)
        self.ln1 = nn.LayerNorm(code_size)
        self.fc2 = nn.Linear(code_size, code_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Code of a batch of encoder latents."""
        identity = self.fc1(latent.flatten(1))
        return self.fc2(self.dropout(functional.gelu(self.ln1(identity)))) + identity


class ResidualReverse(nn.Module):
    """Decompressor: code (B, code_size) to (B, *generator_shape)."""

    ignores_shift_and_scale: ClassVar[bool] = True
    """Only a LayerNorm reads the code, so (code - mean) / sqrt(variance + 1e-5) decodes to the same latent."""

    def __init__(self, generator_shape: Sequence[int], code_size: int, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.generator_shape = tuple(generator_shape)
        self.ln2 = nn.LayerNorm(code_size)
        self.fc3 = nn.Linear(code_size, prod(generator_shape))
        self.dropout = nn.Dropout(dropout)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Generator latent of a batch of codes."""
        latent = self.fc3(self.dropout(functional.gelu(self.ln2(code))))
        return latent.unflatten(1, self.generator_shape)

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer that ends the network."""
        return self.fc3
