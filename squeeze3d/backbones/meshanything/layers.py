"""Building blocks of MeshAnything's point encoder. Modules and parameters carry the names of the published file.

Fused projections are laid out head by head: the outputs of one head are its query, key and value, then the next head
follows. Blocks are pre-norm; LayerNorm has eps 1e-5 and GELU is the exact one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EXPANSION = 4
"""Hidden numbers of an MLP for each of its inputs."""


def positional_code(points: Tensor, frequencies: int) -> Tensor:
    """(..., 3) coordinates to (..., 3 + 6 * frequencies): themselves, then sines and then cosines of 2^k times them.

    Coordinate by coordinate, the octaves of each together. There is no factor pi.
    """
    octaves = 2.0 ** torch.arange(frequencies, device=points.device, dtype=points.dtype)
    angles = (points[..., None] * octaves).flatten(-2)
    return torch.cat([points, angles.sin(), angles.cos()], dim=-1)


def code_size(frequencies: int) -> int:
    """Numbers of a positional code."""
    return 3 + 6 * frequencies


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_qkv = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        query, key, value = _heads(self.c_qkv(tokens), self.heads, 3)
        return self.c_proj(_joined(functional.scaled_dot_product_attention(query, key, value)))


class CrossAttention(nn.Module):
    """Multi-head attention to other tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_q = nn.Linear(width, width, bias=False)
        self.c_kv = nn.Linear(width, 2 * width, bias=False)
        self.c_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """(B, T, width) tokens look at (B, S, width) memory."""
        (query,) = _heads(self.c_q(tokens), self.heads, 1)
        key, value = _heads(self.c_kv(memory), self.heads, 2)
        return self.c_proj(_joined(functional.scaled_dot_product_attention(query, key, value)))


class MLP(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, EXPANSION * width)
        self.c_proj = nn.Linear(EXPANSION * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., width) of the same shape."""
        return self.c_proj(functional.gelu(self.c_fc(tokens)))


class SelfBlock(nn.Module):
    """Self-attention and an MLP, each behind a LayerNorm and with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        tokens = tokens + self.attn(self.ln_1(tokens))
        return tokens + self.mlp(self.ln_2(tokens))


class CrossBlock(nn.Module):
    """Attention to other tokens and an MLP, each behind a LayerNorm and with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = CrossAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.ln_3 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """(B, T, width) tokens that have looked at (B, S, width) memory."""
        tokens = tokens + self.attn(self.ln_1(tokens), self.ln_2(memory))
        return tokens + self.mlp(self.ln_3(tokens))


class Blocks(nn.Module):
    """Several self-attention blocks, one after the other."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(SelfBlock(width, heads) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        for block in self.resblocks:
            tokens = block(tokens)
        return tokens


def _heads(fused: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """(B, T, heads * parts * d) to `parts` tensors (B, heads, T, d)."""
    return fused.unflatten(-1, (heads, -1)).transpose(1, 2).chunk(parts, dim=-1)


def _joined(mixed: Tensor) -> Tensor:
    """(B, heads, T, d) to (B, T, heads * d)."""
    return mixed.transpose(1, 2).flatten(2)
