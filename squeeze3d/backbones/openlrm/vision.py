"""DINOv2 with registers: a picture to tokens.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023; Darcet et al., "Vision Transformers
Need Registers", 2024. Parameters have the names of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.openlrm.config import VisionConfig
from squeeze3d.errors import InputError

_EPSILON = 1e-6


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, W) to (B, heads, T, W / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class LayerScale(nn.Module):
    """A learnt factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) of the same shape."""
        return x * self.gamma


class Perceptron(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) of the same shape."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and perceptron, each behind a norm and with a scaled residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = Perceptron(width)
        self.ls2 = LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Patches(nn.Module):
    """A picture cut into square patches, each as one token."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, width, H / side, W / side)."""
        return self.proj(images)


class VisionTransformer(nn.Module):
    """Pictures to tokens."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.native**2, config.width))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, config.width))
        self.patch_embed = Patches(config.width, config.patch)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=_EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens (B, 1 + patches, width) of pictures (B, 3, H, W): the class token, then patches row after row.

        Pictures are RGB in [0, 1] as they are, without the shift and scale of DINOv2's own training.

        Raises InputError for pictures whose sides are no multiples of the patch.
        """
        side = self.config.patch
        height, width = images.shape[-2:]
        if height % side or width % side or not (height and width):
            raise InputError(f"pictures have sides that are multiples of {side}, not {width} x {height}")
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        count = len(images)
        x = torch.cat([self.cls_token.expand(count, -1, -1), patches], dim=1)
        x = x + self._positions(height // side, width // side)
        # Registers have no place: they come in after the positions, and what they hold at the end is dropped.
        registers = self.register_tokens.expand(count, -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return torch.cat([x[:, :1], x[:, 1 + self.config.registers :]], dim=1)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, width)."""
        native = self.config.native
        if rows == columns == native:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].unflatten(1, (native, native)).permute(0, 3, 1, 2)
        resized = functional.interpolate(
            grid, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False
        )
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
