"""NeRF-MAE: a grid of colour and opacity to a latent, and a latent to a grid.

```text
grid (4, 160^3) ─► patches ─► + places ─► 4 stages ─► f0 (96, 40^3), f1 (192, 20^3), f2 (384, 10^3), f3 (768, 5^3)
f3 ─► decoder4 (f2) ─► decoder3 (f1) ─► decoder2 (f0) ─► latent (96, 40^3)                       the encoder
latent ─► decoder1 ─► out ─► r, g, b, log-odds of opacity (4, 160^3)                             the generator
```

The published network is one U-Net. The codec cuts it behind `decoder2`, where all skips have been used: what follows
needs the latent alone. Nothing is hidden from the encoder, as it is in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squeeze3d.backbones.nerfmae.config import PUBLISHED, STAGES, NerfMaeConfig
from squeeze3d.backbones.nerfmae.slabs import decode_grid
from squeeze3d.backbones.nerfmae.swin import stage
from squeeze3d.backbones.nerfmae.unet import UpBlock

CHANNELS = 4


def place_code(config: NerfMaeConfig) -> Tensor:
    """(1, n, n, n, width) sines and cosines of the places of tokens, along axes 1, 0 and 2: what `pos_embed` is."""
    octaves = config.width // 6
    rates = 10000.0 ** (-torch.arange(octaves, dtype=torch.float64) / octaves)
    angles = torch.arange(config.tokens, dtype=torch.float64)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    shape = (config.tokens,) * 3
    codes = [line.view([-1 if k == axis else 1 for k in range(3)] + [2 * octaves]) for axis in (1, 0, 2)]
    return torch.cat([code.expand(*shape, -1) for code in codes], dim=-1)[None]


class _ChannelsLast(nn.Module):
    """Gives the norm behind it the number it has in the checkpoint."""

    def forward(self, grid: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, X, Y, Z, C)."""
        return grid.movedim(1, -1)


class NerfMaeEncoder(nn.Module):
    """Grids to latents. Parameters have the names of the published checkpoint."""

    def __init__(self, config: NerfMaeConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = nn.Parameter(place_code(config))
        self.patch_partition = nn.Sequential(
            nn.Conv3d(CHANNELS, width, config.patch, stride=config.patch), _ChannelsLast(), nn.LayerNorm(width)
        )
        self.stages = nn.ModuleList(stage(config, number) for number in range(STAGES))
        self.decoder4 = UpBlock(8 * width, 4 * width)
        self.decoder3 = UpBlock(4 * width, 2 * width)
        self.decoder2 = UpBlock(2 * width, width)

    def forward(self, grid: Tensor) -> Tensor:
        """Latents (B, 96, 40, 40, 40) of grids (B, 4, 160, 160, 160): r, g, b and opacity, each 0 to 1."""
        f0, f1, f2, f3 = self.features(grid)
        up4 = self.decoder4(f3, f2)
        return self.decoder2(self.decoder3(up4, f1), f0)

    def features(self, grid: Tensor) -> list[Tensor]:
        """(B, C, X, Y, Z) tokens behind each of the four stages."""
        tokens = self.patch_partition(grid) + self.pos_embed
        found = []
        for each in self.stages:
            tokens = each(tokens)
            found.append(tokens.movedim(-1, 1))
        return found


class _Out(nn.Module):
    """Gives the last convolution the name it has in the checkpoint."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, CHANNELS, 1)


class NerfMaeDecoder(nn.Module):
    """Latents to grids."""

    def __init__(self, config: NerfMaeConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.decoder1 = UpBlock(config.width, config.width // 2, config.patch, skip=False)
        self.out = _Out(config.width // 2)

    def forward(self, latent: Tensor) -> Tensor:
        """Grids (B, 4, 160, 160, 160) of latents (B, 96, 40, 40, 40): r, g, b as they come, and log-odds of opacity.

        One by one, and without gradients; see `slabs`.
        """
        return torch.stack([decode_grid(self.decoder1, self.out.conv, each) for each in latent])
