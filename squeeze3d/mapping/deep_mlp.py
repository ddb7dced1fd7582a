"""Deep MLP: the mapping network of the point-cloud pairs (Squeeze3D, appendix A.1).

```text
z_E ─► first_layer ─► LayerNorm ─► r ─► GELU ─► [hidden 0, + r] ─► ... ─► [hidden 4, + own input] ─► hidden 5 ─► code
code ─► GELU ─► hidden 6 ─► ... ─► [hidden 8, + own input] ─► ... ─► hidden 10 ─► GELU ─► output_layer ─► z_G
```

Every hidden layer is followed by GELU and dropout. With `num_layers` layers there are `num_layers - 1` hidden ones,
and the code is what the middle one gives before its activation. Skips span one layer, at every fourth index, so none
crosses the code.

Modules and parameters carry the names of the published checkpoints: the reverse half starts at `hidden_layers.6`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from squeeze3d.errors import UsageError

DROPOUT = 0.3
"""Dropout of the published training runs."""
NUM_LAYERS = 12
_SKIP_EVERY = 4


class DeepForward(nn.Module):
    """Compressor: (B, *encoder_shape) to code (B, code_size)."""

    def __init__(
        self, encoder_shape: Sequence[int], code_size: int, *, dropout: float = DROPOUT, num_layers: int = NUM_LAYERS
    ) -> None:
        super().__init__()
        first, _ = _hidden_layers(num_layers)
        self.first_layer = nn.Linear(prod(encoder_shape), code_size)
        self.layer_norm = nn.LayerNorm(code_size)
        self.hidden_layers = nn.ModuleDict({str(i): nn.Linear(code_size, code_size) for i in first})
        self.dropout = nn.Dropout(dropout)
        _initialise(self)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Code of a batch of encoder latents."""
        start = self.layer_norm(self.first_layer(latent.flatten(1)))
        hidden = start
        for name, layer in self.hidden_layers.items():
            active = self.dropout(functional.gelu(hidden))
            hidden = layer(active)
            if int(name) == 0:
                hidden = hidden + start
            elif int(name) % _SKIP_EVERY == 0:
                hidden = hidden + active
        return hidden


class DeepReverse(nn.Module):
    """Decompressor: code (B, code_size) to (B, *generator_shape)."""

    ignores_shift_and_scale: ClassVar[bool] = False

    def __init__(
        self, generator_shape: Sequence[int], code_size: int, *, dropout: float = DROPOUT, num_layers: int = NUM_LAYERS
    ) -> None:
        super().__init__()
        _, second = _hidden_layers(num_layers)
        self.generator_shape = tuple(generator_shape)
        self.hidden_layers = nn.ModuleDict({str(i): nn.Linear(code_size, code_size) for i in second})
        self.output_layer = nn.Linear(code_size, prod(generator_shape))
        self.dropout = nn.Dropout(dropout)
        _initialise(self)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Generator latent of a batch of codes."""
        active = self.dropout(functional.gelu(code))
        for name, layer in self.hidden_layers.items():
            hidden = layer(active)
            if int(name) % _SKIP_EVERY == 0:
                hidden = hidden + active
            active = self.dropout(functional.gelu(hidden))
        return self.output_layer(active).unflatten(1, self.generator_shape)

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer that ends the network."""
        return self.output_layer


def _hidden_layers(num_layers: int) -> tuple[range, range]:
    """Indices of the hidden layers before and behind the code."""
    if num_layers < 2:
        raise UsageError(f"a deep MLP of {num_layers} layers has no code", hint="take at least 2")
    behind = (num_layers - 1) // 2 + 1
    return range(behind), range(behind, num_layers - 1)


def _initialise(module: nn.Module) -> None:
    # The published runs start from He's initialisation, not from PyTorch's default.
    for layer in module.modules():
        # Where tensors have no memory there is nothing to draw, and torch would take a second to find that out.
        if isinstance(layer, nn.Linear) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
