"""Networks of `points.lite`: a PointNet++-like encoder, and a generator that unfolds latent points into patches.

```text
1,024 points ─► 128 groups ─► 32 groups ─► 64 learnt queries look at both ─► (64, 12)               PointEncoder

(130, 10) ─┬─ 128 latent points: place, colour, 4 features ─► mixed with their neighbours ─┐
           └─ style: has colour, 19 numbers ───────────────────────────────────────────────┤
           any number of places on a disc ──────────────► folded ◄─────────────────────────┘
                                                            └─► 128 patches of points with colours  PatchGenerator
```

Encoder: Qi, Yi, Su and Guibas, "PointNet++", 2017. Latent points with features beside a global style: Zeng et al.,
"LION", 2022. Folding: Yang et al., "FoldingNet", 2018. All networks live in the frame of the pair: the longest side of
the box is 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_POINTS = 1024
CENTRES, COARSE = 128, 32
"""Groups of the two levels. Input points come in the order of farthest point sampling, so centres are the first."""
QUERIES, QUERY_CHANNELS = 64, 12
ENCODER_SHAPE = (QUERIES, QUERY_CHANNELS)
"""Of what the network says about one cloud."""

LATENT_POINTS, CHANNELS, STYLE_ROWS = 128, 10, 2
FEATURES = CHANNELS - 6
STYLE = STYLE_ROWS * CHANNELS
LATENT_SHAPE = (LATENT_POINTS + STYLE_ROWS, CHANNELS)
"""Of what the generator unfolds."""
PLACE_SCALE, COLOUR_SCALE, FEATURE_SCALE = 1.0, 0.7, 0.2
"""Numbers of a latent per unit of what they stand for, so that equal errors of a latent do about equal harm.

Mapping networks are graded by the squared error of latents. At a scale of 0.4, what colours differ by within an object
was a fiftieth of what places differ by from object to object.
"""
FLAG_SCALE = 1.0
"""The first number of the style is +-this: with colour, without."""
PATCH = 64
"""Places on the disc that training knows; in use, there may be fewer or more."""

WIDTH, HEADS = 96, 4
_FREQUENCIES = 4


def disc(count: int = PATCH) -> Tensor:
    """(count, 2) places spread evenly over the unit disc: a sunflower."""
    number = torch.arange(count, dtype=torch.float64)
    radius = torch.sqrt((number + 0.5) / count)
    angle = number * math.pi * (3 - math.sqrt(5))
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1).float()


def waves(places: Tensor) -> Tensor:
    """(..., 3) places to (..., 3 + 24) smooth functions of them."""
    scaled = places[..., None, :] * (math.pi * 2.0 ** torch.arange(_FREQUENCIES, device=places.device)[:, None] / 2)
    return torch.cat([places, torch.sin(scaled).flatten(-2), torch.cos(scaled).flatten(-2)], dim=-1)


WAVES = 3 + 6 * _FREQUENCIES


def gather(values: Tensor, index: Tensor) -> Tensor:
    """(B, N, C) and (B, K, k) indices into N -> (B, K, k, C)."""
    batch, _, channels = values.shape
    flat = index.flatten(1)[..., None].expand(-1, -1, channels)
    return values.gather(1, flat).view(batch, *index.shape[1:], channels)


def nearest(centres: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Squared distances and indices (B, K, count) of the nearest of (B, N, 3) points to (B, K, 3) centres."""
    with torch.no_grad():
        squared = torch.cdist(centres.float(), points.float(), compute_mode="donot_use_mm_for_euclid_dist")
        found = squared.topk(count, dim=-1, largest=False)
    return found.values.square(), found.indices


class SetAbstraction(nn.Module):
    """Each centre asks its nearest points, and keeps the strongest answers."""

    def __init__(self, channels: int, hidden: int, out: int, neighbours: int, reach: float) -> None:
        super().__init__()
        self.neighbours, self.reach = neighbours, reach
        self.place = nn.Linear(3, hidden)
        self.content = nn.Linear(channels, hidden, bias=False)
        self.last = nn.Linear(hidden, out)

    def forward(self, centres: Tensor, places: Tensor, content: Tensor) -> Tensor:
        """(B, K, 3), (B, N, 3), (B, N, C) -> (B, K, out)."""
        _, index = nearest(centres, places, self.neighbours)
        relative = (gather(places, index) - centres[:, :, None]) / self.reach
        # The content's layer works on points rather than on groups: each point is in several.
        hidden = functional.gelu(self.place(relative) + gather(self.content(content), index))
        return self.last(hidden).amax(dim=2)


class Attention(nn.Module):
    """Multi-head attention with a residual connection, then a small network with another.

    With `near`, heads prefer what is near; how much is learnt.
    """

    def __init__(self, width: int = WIDTH, heads: int = HEADS, *, near: bool = False, cross: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.others = nn.LayerNorm(width) if cross else None
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.small = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.nearness = nn.Parameter(torch.linspace(0.0, 4.0, heads)) if near else None

    def forward(self, tokens: Tensor, memory: Tensor | None = None, squared: Tensor | None = None) -> Tensor:
        """(B, T, W) tokens look at themselves or at (B, S, W) memory; `squared` (B, T, S) distances."""
        inner = self.before(tokens)
        source = inner if self.others is None or memory is None else self.others(memory)
        q = self._split(self.query(inner))
        k, v = (self._split(part) for part in self.key_value(source).chunk(2, dim=-1))
        bias = None
        if self.nearness is not None and squared is not None:
            bias = (-self.nearness.exp()[:, None, None] * squared[:, None]).to(q.dtype)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        return tokens + self.small(self.between(tokens))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PointEncoder(nn.Module):
    """E: what a cloud looks like, in 64 tokens."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.fine = SetAbstraction(4 + WAVES, 48, 64, 24, 0.15)
        self.coarse = SetAbstraction(64 + WAVES, 96, 96, 16, 0.4)
        self.from_fine = nn.Linear(64 + WAVES + 4, width)
        self.from_coarse = nn.Linear(96 + WAVES + 4, width)
        self.queries = nn.Parameter(torch.randn(QUERIES, width) * 0.5)
        self.looks = nn.ModuleList(Attention(width, cross=True) for _ in range(2))
        self.mixes = nn.ModuleList(Attention(width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, QUERY_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, INPUT_POINTS, 7): place, colour - 1/2, +1 or -1 for with and without colour -> (B, *ENCODER_SHAPE)."""
        places, content = x[..., :3], x[..., 3:]
        embedded = torch.cat([content, waves(places)], dim=-1)
        first, second = places[:, :CENTRES], places[:, :COARSE]
        fine = torch.cat([self.fine(first, places, embedded), waves(first)], dim=-1)
        coarse = torch.cat([self.coarse(second, first, fine), waves(second)], dim=-1)
        memory = torch.cat(
            [
                self.from_fine(torch.cat([fine, content[:, :CENTRES]], dim=-1)),
                self.from_coarse(torch.cat([coarse, content[:, :COARSE]], dim=-1)),
            ],
            dim=1,
        )
        tokens = self.queries.expand(len(x), -1, -1)
        for look, mix in zip(self.looks, self.mixes, strict=True):
            tokens = mix(look(tokens, memory))
        return self.out(self.norm(tokens))


class PatchGenerator(nn.Module):
    """G: latent points with a style unfold into patches."""

    def __init__(self, width: int = WIDTH, blocks: int = 3) -> None:
        super().__init__()
        self.embed = nn.Linear(CHANNELS + WAVES, width)
        self.style = nn.Linear(STYLE, width)
        self.around = SetAbstraction(CHANNELS, 48, width, 12, 0.2)
        self.blocks = nn.ModuleList(Attention(width, near=True) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.frame = nn.Linear(width, 6)
        self.fold_token = nn.Linear(width, 64)
        self.fold_place = nn.Linear(5, 64)
        self.fold_hidden = nn.Linear(64, 64)
        self.fold_out = nn.Linear(64, 6)

    def forward(self, latent: Tensor, on_disc: Tensor) -> tuple[Tensor, Tensor]:
        """(B, *LATENT_SHAPE), and (P, 2) places on the disc -> (B, 128 * P, 3) places and sRGB colours."""
        points, style = latent[:, :LATENT_POINTS], latent[:, LATENT_POINTS:].flatten(1)
        places = points[..., :3] / PLACE_SCALE
        colours = points[..., 3:6] / COLOUR_SCALE + 0.5
        content = torch.cat([places, points[..., 3:6] / COLOUR_SCALE, points[..., 6:] / FEATURE_SCALE], dim=-1)
        tokens = self.embed(torch.cat([content, waves(places)], dim=-1)) + self.style(style)[:, None]
        tokens = tokens + self.around(places, places, content)
        squared = (places[:, :, None] - places[:, None]).square().sum(dim=-1)
        for block in self.blocks:
            tokens = block(tokens, squared=squared)
        tokens = self.norm(tokens)
        # Patches are as large as the latent points are apart; the nearest is the point itself.
        size = spacing(places)[..., None, None]
        tangents = self.frame(tokens).unflatten(-1, (2, 3))
        flat = on_disc @ tangents
        grid = torch.cat([on_disc, on_disc.square(), on_disc.prod(dim=-1, keepdim=True)], dim=-1)
        hidden = functional.gelu(self.fold_token(tokens)[:, :, None] + self.fold_place(grid))
        folded = self.fold_out(functional.gelu(self.fold_hidden(hidden)))
        out = places[:, :, None] + size * (flat + folded[..., :3])
        shown = colours[:, :, None] + folded[..., 3:] / 4
        return out.flatten(1, 2), shown.flatten(1, 2)


def spacing(places: Tensor) -> Tensor:
    """(B, K) root mean square distance of (B, K, 3) places to their four nearest others, without gradient."""
    squared, _ = nearest(places, places, 5)
    return (squared[..., 1:].mean(dim=-1) + 1e-6).sqrt()
