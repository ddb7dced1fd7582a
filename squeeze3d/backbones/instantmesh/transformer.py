"""The triplane transformer of InstantMesh: learned queries look at image tokens and become planes."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig

_BLOCK_EPSILON = 1e-5
_FINAL_EPSILON = 1e-6


class TriplaneTransformer(nn.Module):
    """Image tokens to planes."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.side = config.low_resolution
        self.pos_embed = nn.Parameter(torch.empty(1, 3 * self.side**2, config.width))
        # Uniform: normal numbers on the meta device import torch's compiler, which takes seconds.
        bound = (3 / config.width) ** 0.5
        nn.init.uniform_(self.pos_embed, -bound, bound)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=_FINAL_EPSILON)
        self.deconv = nn.ConvTranspose2d(config.width, config.channels, 2, 2)

    def forward(self, image_tokens: Tensor) -> Tensor:
        """Planes (B, 3, C, 2 side, 2 side) of image tokens (B, T, D)."""
        tokens = self.pos_embed.expand(len(image_tokens), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, image_tokens)
        # Tokens are ordered by plane, row, column.
        cells = self.norm(tokens).unflatten(1, (3, self.side, self.side)).movedim(-1, 2)
        planes: Tensor = self.deconv(cells.flatten(0, 1))
        return planes.unflatten(0, (-1, 3))


class Block(nn.Module):
    """Cross-attention to the image, self-attention, MLP. Image tokens come as they are, without a norm."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, eps=_BLOCK_EPSILON)
        self.cross_attn = CrossAttention(width, config.encoder_width, config.heads)
        self.norm2 = nn.LayerNorm(width, eps=_BLOCK_EPSILON)
        self.self_attn = SelfAttention(width, config.heads)
        self.norm3 = nn.LayerNorm(width, eps=_BLOCK_EPSILON)
        # The names of the published layers, which have a dropout in between.
        self.mlp = nn.Sequential(
            OrderedDict([("0", nn.Linear(width, 4 * width)), ("1", nn.GELU()), ("3", nn.Linear(4 * width, width))])
        )

    def forward(self, tokens: Tensor, image_tokens: Tensor) -> Tensor:
        """(B, N, W) and (B, T, D)."""
        tokens = tokens + self.cross_attn(self.norm1(tokens), image_tokens)
        tokens = tokens + self.self_attn(self.norm2(tokens))
        return tokens + self.mlp(self.norm3(tokens))


class CrossAttention(nn.Module):
    """Multi-head attention to tokens of another width, without biases."""

    def __init__(self, width: int, memory_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj_weight = _weight(width, width)
        self.k_proj_weight = _weight(width, memory_width)
        self.v_proj_weight = _weight(width, memory_width)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """(B, N, W) look at (B, T, D)."""
        q = functional.linear(tokens, self.q_proj_weight)
        k = functional.linear(memory, self.k_proj_weight)
        v = functional.linear(memory, self.v_proj_weight)
        result: Tensor = self.out_proj(_attention(q, k, v, self.heads))
        return result


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other, without biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = _weight(3 * width, width)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, W)."""
        q, k, v = functional.linear(tokens, self.in_proj_weight).chunk(3, dim=-1)
        result: Tensor = self.out_proj(_attention(q, k, v, self.heads))
        return result


def _weight(out: int, into: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(out, into)))


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
