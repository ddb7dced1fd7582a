"""The triplane transformer: tokens of three planes look at a picture's tokens and at each other.

```text
camera ─► embedding ───┬──────────────────────┬─────────────────────┐
                       ▼                      ▼                     ▼
x ─► modulated norm ─► cross-attention ─► + ─► self-attention ─► + ─► perceptron ─► + ─► ... ─► norm
     picture's tokens ─┘
```

Parameters have the names of the published checkpoints. Attention has no biases.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.openlrm.vision import split_heads

_EPSILON = 1e-6
CAMERA_NUMBERS = 16


class CameraEmbedder(nn.Module):
    """A camera of 16 numbers to an embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(CAMERA_NUMBERS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, cameras: Tensor) -> Tensor:
        """(B, 16) to (B, width)."""
        return self.mlp(cameras)


class ModulatedNorm(nn.Module):
    """LayerNorm, then a shift and a scale that follow from the camera's embedding."""

    def __init__(self, width: int, camera_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(camera_width, 2 * width))

    def forward(self, x: Tensor, camera: Tensor) -> Tensor:
        """(B, T, width) of the same shape; `camera` is (B, camera_width)."""
        shift, scale = self.mlp(camera)[:, None].chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class Attention(nn.Module):
    """Multi-head attention of x to a memory.

    Parameters follow the layout of torch's own module: one packed matrix where both have the same width, else one each
    for query, key and value.
    """

    def __init__(self, width: int, heads: int, memory_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.packed = memory_width == width
        if self.packed:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        else:
            self.q_proj_weight = nn.Parameter(torch.empty(width, width))
            self.k_proj_weight = nn.Parameter(torch.empty(width, memory_width))
            self.v_proj_weight = nn.Parameter(torch.empty(width, memory_width))
        self.out_proj = nn.Linear(width, width, bias=False)
        for parameter in self.parameters(recurse=False):
            nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """(B, T, width) looks at (B, S, memory_width)."""
        if self.packed:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        query, key, value = (
            split_heads(functional.linear(source, weight), self.heads)
            for source, weight in zip((x, memory, memory), weights, strict=True)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One layer of the transformer."""

    def __init__(self, width: int, heads: int, memory_width: int, camera_width: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(width, camera_width)
        self.cross_attn = Attention(width, heads, memory_width)
        self.norm2 = ModulatedNorm(width, camera_width)
        self.self_attn = Attention(width, heads, width)
        self.norm3 = ModulatedNorm(width, camera_width)
        # The number 2 in the checkpoints is a dropout, which has no parameters.
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, memory: Tensor, camera: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        x = x + self.cross_attn(self.norm1(x, camera), memory)
        inner = self.norm2(x, camera)
        x = x + self.self_attn(inner, inner)
        return x + self.mlp(self.norm3(x, camera))


class TriplaneTransformer(nn.Module):
    """All layers, and a norm."""

    def __init__(self, width: int, heads: int, layers: int, memory_width: int, camera_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, memory_width, camera_width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    def forward(self, x: Tensor, memory: Tensor, camera: Tensor) -> Tensor:
        """Tokens (B, T, width) from tokens, a memory (B, S, memory_width) and embeddings (B, camera_width)."""
        for layer in self.layers:
            x = layer(x, memory, camera)
        return self.norm(x)
