"""Points with normals to the feature of MeshAnything, and back to an occupancy that shows what the feature knows.

```text
points (N, 6) ─► tokens (257, w) ─┬─ row 0 ─────────────────────────► cond_head_proj ─► row 0 ───────┐
                                  └─ rows 1.. ─┬────────────────────► cond_proj ─► rows 1.. ─────────┴─► feature
                                               └► moments ► mean ► shape latents ┘
                                                                    └─► occupancy of any place (not part of the feature)
```

State dictionaries have the keys of the published file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squeeze3d.backbones.meshanything.config import PUBLISHED, MeshAnythingConfig
from squeeze3d.backbones.meshanything.layers import Blocks, CrossBlock, code_size, positional_code

QUERY_CHUNK = 32_768
"""Places whose occupancy is computed at once."""
_NORMALS = 3


def _uniform(*shape: int) -> nn.Parameter:
    # Normal numbers would take a second where tensors have no memory: torch has to import something for them.
    return nn.Parameter(nn.init.uniform_(torch.empty(shape), -0.04, 0.04))


class Perceiver(nn.Module):
    """Learned queries look at points, then at each other."""

    def __init__(self, config: MeshAnythingConfig) -> None:
        super().__init__()
        self.frequencies = config.frequencies
        self.query = _uniform(config.tokens, config.width)
        self.input_proj = nn.Linear(code_size(config.frequencies) + _NORMALS, config.width)
        self.cross_attn = CrossBlock(config.width, config.heads)
        self.self_attn = Blocks(config.width, config.heads, config.encoder_layers)
        self.ln_post = nn.LayerNorm(config.width)

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 6) to (B, tokens, width)."""
        code = positional_code(points[..., :3], self.frequencies)
        seen = self.input_proj(torch.cat([code, points[..., 3:]], dim=-1))
        tokens = self.cross_attn(self.query.expand(len(points), -1, -1), seen)
        return self.ln_post(self.self_attn(tokens))


class Occupancy(nn.Module):
    """Shape latents say whether a place is inside."""

    def __init__(self, config: MeshAnythingConfig) -> None:
        super().__init__()
        self.frequencies = config.frequencies
        self.query_proj = nn.Linear(code_size(config.frequencies), config.width)
        self.cross_attn_decoder = CrossBlock(config.width, config.heads)
        self.ln_post = nn.LayerNorm(config.width)
        self.output_proj = nn.Linear(config.width, 1)

    def forward(self, places: Tensor, latents: Tensor) -> Tensor:
        """(B, M, 3) places and (B, latents, width) to (B, M) logits, positive inside."""
        asking = self.query_proj(positional_code(places, self.frequencies))
        return self.output_proj(self.ln_post(self.cross_attn_decoder(asking, latents)))[..., 0]


class ShapeModel(nn.Module):
    """Tokens and shape latents."""

    def __init__(self, config: MeshAnythingConfig, *, whole: bool) -> None:
        super().__init__()
        self.encoder = Perceiver(config)
        self.pre_kl = nn.Linear(config.width, 2 * config.bottleneck)
        self.post_kl = nn.Linear(config.bottleneck, config.width)
        self.transformer = Blocks(config.width, config.heads, config.decoder_layers)
        self.geo_decoder = Occupancy(config) if whole else None


class _Aligned(nn.Module):
    def __init__(self, config: MeshAnythingConfig, *, whole: bool) -> None:
        super().__init__()
        self.shape_model = ShapeModel(config, whole=whole)
        self.shape_projection: nn.Parameter | None = None
        if whole:
            self.shape_projection = _uniform(config.width, config.width)


class _PointEncoder(nn.Module):
    def __init__(self, config: MeshAnythingConfig, *, whole: bool) -> None:
        super().__init__()
        self.model = _Aligned(config, whole=whole)


class MeshAnythingEncoder(nn.Module):
    """All of MeshAnything that describes a mesh. Deterministic: of the bottleneck, the mean is used."""

    def __init__(self, config: MeshAnythingConfig = PUBLISHED, *, whole: bool = False) -> None:
        """`whole` adds what the feature does not need: `occupancy` and `shape_embedding`."""
        super().__init__()
        self.config = config
        self.point_encoder = _PointEncoder(config, whole=whole)
        self.cond_head_proj = nn.Linear(config.width, config.feature)
        self.cond_proj = nn.Linear(2 * config.width, config.feature)

    @property
    def shape_model(self) -> ShapeModel:
        """The part that knows shapes."""
        return self.point_encoder.model.shape_model

    def forward(self, points: Tensor) -> Tensor:
        """(B, N, 6) places and unit normals to features (B, 257, 1024), float32."""
        return self.feature(self.tokens(points))

    def tokens(self, points: Tensor) -> Tensor:
        """(B, N, 6) to (B, 257, 768): the shape token, then the latents."""
        tokens: Tensor = self.shape_model.encoder(points)
        return tokens

    def moments(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the bottleneck, each (B, 256, 64)."""
        mean, log_variance = self.shape_model.pre_kl(tokens[:, 1:]).chunk(2, dim=-1)
        return mean, log_variance

    def shape_latents(self, tokens: Tensor) -> Tensor:
        """(B, 256, 768) of tokens (B, 257, 768)."""
        mean, _ = self.moments(tokens)
        latents: Tensor = self.shape_model.transformer(self.shape_model.post_kl(mean))
        return latents

    def feature(self, tokens: Tensor) -> Tensor:
        """(B, 257, 1024) of tokens (B, 257, 768)."""
        head = self.cond_head_proj(tokens[:, :1])
        rest = self.cond_proj(torch.cat([tokens[:, 1:], self.shape_latents(tokens)], dim=-1))
        return torch.cat([head, rest], dim=1)

    def occupancy(self, shape_latents: Tensor, places: Tensor, *, chunk: int = QUERY_CHUNK) -> Tensor:
        """(B, M) logits of (B, M, 3) places, positive inside. The frame is that of normalised points, [-1, 1].

        Needs a network made with `whole`.
        """
        decoder = self.shape_model.geo_decoder
        assert decoder is not None, "the network was made without occupancy"
        return torch.cat([decoder(part, shape_latents) for part in places.split(chunk, dim=1)], dim=1)

    def shape_embedding(self, tokens: Tensor) -> Tensor:
        """(B, 768) embedding of the whole shape, aligned with pictures and text. Needs a network made with `whole`."""
        projection = self.point_encoder.model.shape_projection
        assert projection is not None, "the network was made without the embedding"
        return tokens[:, 0] @ projection
