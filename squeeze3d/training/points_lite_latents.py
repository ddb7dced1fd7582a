"""Latents of given clouds for the generator of `points.lite`, in an order that makes them comparable, and their prior.

```text
cloud ─► 128 centres, each asks its 32 nearest points ─► attention ─► places, colours, features; style
                                                                       │
                template of 128 places ─► optimal transport ───────────┴─► latent points in the order of the template
```

The generator does not care for the order of its latent points, but a mapping network does: number k should mean the
same part of every object. The assignment to a fixed template with the least sum of squared distances gives such an
order. Places as transport carries them are known to vary almost linearly with shape: Wang, Slepcev, Basu, Ozolek and
Rohde, "A linear optimal transportation framework for quantifying and visualizing variations in sets of images", 2013.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.points_lite import (
    COLOUR_SCALE,
    FEATURE_SCALE,
    FEATURES,
    FLAG_SCALE,
    LATENT_POINTS,
    PLACE_SCALE,
    STYLE,
    STYLE_ROWS,
    WAVES,
    WIDTH,
    Attention,
    gather,
    nearest,
    spacing,
    waves,
)

NEIGHBOURS = 32
ROUNDS = 4
"""Times that a template is replaced by the mean of what is assigned to it."""


class LatentNetwork(nn.Module):
    """Reads the latent of a cloud. Only training needs it."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.point = nn.Linear(6, 48)
        self.group = nn.Linear(48, 64)
        self.token = nn.Linear(64 + 4 + WAVES, width)
        self.mix = Attention(width, near=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 6 + FEATURES)
        self.style = nn.Linear(2 * width, STYLE - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, 7) clouds as the encoder sees them, of any N from 128 on -> (B, *LATENT_SHAPE)."""
        places, colours = x[..., :3], x[..., 3:6]
        centres = places[:, :LATENT_POINTS]
        size = spacing(centres)[..., None]
        _, index = nearest(centres, places, NEIGHBOURS)
        relative = (gather(places, index) - centres[:, :, None]) / size[..., None]
        around = gather(colours, index)
        mean = around.mean(dim=2)
        hidden = functional.gelu(self.point(torch.cat([relative, 4 * (around - mean[:, :, None])], dim=-1)))
        groups = self.group(hidden).amax(dim=2)
        content = torch.cat([groups, mean, x[:, :LATENT_POINTS, 6:], waves(centres)], dim=-1)
        squared = (centres[:, :, None] - centres[:, None]).square().sum(dim=-1)
        tokens = self.norm(self.mix(self.token(content), squared=squared))
        out = self.out(tokens).float()
        shifted = centres + size * torch.tanh(out[..., :3])
        shown = mean + torch.tanh(out[..., 3:6]) / 4
        points = torch.cat(
            [shifted * PLACE_SCALE, shown * COLOUR_SCALE, torch.tanh(out[..., 6:]) * FEATURE_SCALE], dim=-1
        )
        style = FEATURE_SCALE * torch.tanh(self.style(torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=-1)))
        style = torch.cat([x[:, 0, 6:] * FLAG_SCALE, style.float()], dim=1)
        return torch.cat([points, style.unflatten(1, (STYLE_ROWS, -1))], dim=1)


def transport(template: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.int64]:
    """(K,) for each of (K, 3) template places, the one of (K, 3) places that is assigned to it."""
    a, b = template.astype(np.float64), places.astype(np.float64)
    cost = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    order: NDArray[np.int64] = linear_sum_assignment(cost)[1]
    return order


def make_template(places: NDArray[np.floating], seed: int = 0) -> NDArray[np.float32]:
    """(K, 3) template: a barycentre of (N, K, 3) sets of places."""
    random = np.random.default_rng(seed)
    template = random.normal(size=places.shape[1:]) * places.std(axis=(0, 1))
    for _ in range(ROUNDS):
        template = np.mean([each[transport(template, each)] for each in places], axis=0)
    return template.astype(np.float32)


def ordered(latents: Tensor, template: NDArray[np.floating]) -> Tensor:
    """(B, *LATENT_SHAPE) latents with their latent points in the template's order."""
    result = latents.clone()
    for row, latent in enumerate(latents):
        order = transport(template, latent[:LATENT_POINTS, :3].detach().numpy() / PLACE_SCALE)
        result[row, :LATENT_POINTS] = latent[torch.from_numpy(order)]
    return result


def fit_prior(latents: Tensor, *, factors: int, examples: int, seed: int = 0) -> dict[str, Tensor]:
    """Tensors of the generator's prior from (N, *LATENT_SHAPE) latents, see `squeeze3d.codecs.points_lite`.

    `prior.mean` (D), `prior.factors` (F, D) orthonormal rows, `prior.examples` (N', F) latents in terms of them,
    `prior.flags` (N') +-1 with and without colour, `prior.rest` (D) standard deviation of what factors leave.
    """
    flat = latents.flatten(1).double()
    flags = flat[:, LATENT_POINTS * latents.shape[2]].sign()
    mean = flat.mean(dim=0)
    _, _, rows = torch.linalg.svd(flat - mean, full_matrices=False)
    rows = rows[:factors]
    codes = (flat - mean) @ rows.T
    rest = (flat - mean - codes @ rows).std(dim=0, unbiased=False)
    kept = torch.from_numpy(np.random.default_rng(seed).permutation(len(flat))[:examples])
    found = {"mean": mean, "factors": rows, "examples": codes[kept], "flags": flags[kept], "rest": rest}
    return {f"prior.{name}": tensor.float() for name, tensor in found.items()}
