"""The view encoder of InstantMesh: DINO's ViT-B/16, modulated by the camera.

```text
image ─► patches, class token, positions ─► 12 x [LN ─► shift, scale ─► attention, LN ─► shift, scale ─► MLP] ─► LN
camera (16) ─► MLP ─► one vector ──────────────────────┴────────────────────────────┘
```

Caron et al., "Emerging properties in self-supervised vision transformers", 2021; the modulation is that of adaptive
layer norms (Peebles and Xie, "Scalable diffusion models with transformers", 2023) without gates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig

_EPSILON = 1e-12
_CAMERA = 16
_ROUND_UP = 0.1
"""Patches added to the wanted number before the scale of positions is taken, so that rounding down gives it. Published
weights were trained with the scale that results."""


class CameraViT(nn.Module):
    """Tokens of views."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        width = config.encoder_width
        self.model = VisionTransformer(config)
        self.camera_embedder = nn.Sequential(nn.Linear(_CAMERA, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, images: Tensor, cameras: Tensor) -> Tensor:
        """Tokens (B, V, 1 + h * w, D) of views, class token first.

        Parameters
        ----------
        images : (B, V, 3, H, W) in 0..1, white background.
        cameras : (B, V, 16), see `cameras.py`.
        """
        batch = images.shape[:2]
        tokens: Tensor = self.model(images.flatten(0, 1), self.camera_embedder(cameras.flatten(0, 1)))
        return tokens.unflatten(0, batch)


class VisionTransformer(nn.Module):
    """ViT whose blocks take a modulation."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Blocks(config)
        self.layernorm = nn.LayerNorm(config.encoder_width, eps=_EPSILON)

    def forward(self, images: Tensor, modulation: Tensor) -> Tensor:
        """(N, 3, H, W) in 0..1 and (N, D) -> (N, 1 + h * w, D)."""
        # Pixels from -1 to 1: mean and deviation 0.5, not those of ImageNet.
        tokens = self.encoder(self.embeddings(2 * images - 1), functional.silu(modulation))
        normed: Tensor = self.layernorm(tokens)
        return normed


class Embeddings(nn.Module):
    """Patches as tokens, a class token, and where they are."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        width = config.encoder_width
        self.native = config.native_patches
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + self.native**2, width))
        self.patch_embeddings = Patches(width, config.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1 + h * w, D)."""
        patches = self.patch_embeddings(pixels)
        height, width = patches.shape[-2:]
        tokens = torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return tokens + self._positions(height, width)

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, 1 + height * width, D)."""
        if height == width == self.native:
            return self.position_embeddings
        first, others = self.position_embeddings[:, :1], self.position_embeddings[:, 1:]
        grid = others.transpose(1, 2).unflatten(2, (self.native, self.native))
        # With the scale given, cells are sampled at steps of its inverse, not of the ratio of the sizes.
        scale = [(size + _ROUND_UP) / self.native for size in (height, width)]
        resized = functional.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
        return torch.cat([first, resized.flatten(2).transpose(1, 2)], dim=1)


class Patches(nn.Module):
    """Squares of pixels, one token each."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, width, patch, patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D, h, w)."""
        result: Tensor = self.projection(pixels)
        return result


class Blocks(nn.Module):
    """All blocks, one after the other."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(ModulatedBlock(config) for _ in range(config.encoder_layers))

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        """(N, T, D) and (N, D), the latter behind its SiLU."""
        for block in self.layer:
            tokens = block(tokens, modulation)
        return tokens


class ModulatedBlock(nn.Module):
    """Attention and MLP, each behind a LayerNorm that the camera shifts and scales."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        width, hidden = config.encoder_width, config.encoder_hidden
        self.attention = Attention(width, config.encoder_heads)
        self.intermediate = Dense(width, hidden)
        self.output = Dense(hidden, width)
        self.layernorm_before = nn.LayerNorm(width, eps=_EPSILON)
        self.layernorm_after = nn.LayerNorm(width, eps=_EPSILON)
        # The SiLU is the same for all blocks, and is taken before them.
        self.adaLN_modulation = nn.Sequential(nn.Identity(), nn.Linear(width, 4 * width))

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        """(N, T, D) and (N, D), the latter behind its SiLU."""
        shift_1, scale_1, shift_2, scale_2 = self.adaLN_modulation(modulation)[:, None].chunk(4, dim=-1)
        tokens = tokens + self.attention(self.layernorm_before(tokens) * (1 + scale_1) + shift_1)
        inner = self.layernorm_after(tokens) * (1 + scale_2) + shift_2
        return tokens + self.output(functional.gelu(self.intermediate(inner)))


class Attention(nn.Module):
    """Multi-head self-attention, and a layer behind it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Heads(width, heads)
        self.output = Dense(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D)."""
        result: Tensor = self.output(self.attention(tokens))
        return result


class Heads(nn.Module):
    """Multi-head self-attention, heads side by side."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D)."""
        q, k, v = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Dense(nn.Module):
    """A linear layer under the name that it has in published files."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.dense = nn.Linear(into, out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., into) -> (..., out)."""
        result: Tensor = self.dense(x)
        return result
