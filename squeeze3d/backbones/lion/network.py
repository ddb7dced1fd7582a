"""Points to latents and latents to points. State dictionaries have the keys of the published file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from squeeze3d.backbones.lion.config import CHANNELS, LOG_SIGMA_OFFSET, PUBLISHED, SKIP, LionConfig
from squeeze3d.backbones.lion.layers import PVConv, SetAbstraction
from squeeze3d.backbones.lion.unet import RADII, UNet


@dataclass(frozen=True, eq=False)
class Distribution:
    """Independent normal distributions."""

    mean: Tensor
    """(B, n)."""
    log_sigma: Tensor
    """(B, n) logarithms of standard deviations."""


class StyleEncoder(nn.Module):
    """Points to a style."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        w, grid = config.width, config.grid
        self.layers = nn.ModuleList(
            [
                nn.ModuleList(
                    [
                        PVConv(3, w, grid, None),
                        PVConv(w, w, grid, None),
                        SetAbstraction(w, [w, w], config.points // 2, RADII[0], None),
                    ]
                ),
                nn.ModuleList(
                    [
                        PVConv(w, w, grid // 2, None, attention=True),
                        SetAbstraction(w, [w, 2 * w], config.points // 8, RADII[1], None),
                    ]
                ),
            ]
        )
        self.mlp = nn.Linear(2 * w, 2 * config.style)

    def forward(self, cloud: Tensor) -> Distribution:
        """Distribution of the styles of (B, N, 3) points."""
        points = features = cloud.transpose(1, 2)
        for stage in self.layers:
            assert isinstance(stage, nn.ModuleList)
            *convolutions, abstraction = stage
            for convolution in convolutions:
                features = convolution(points, features, None)
            points, features = abstraction(points, features, None)
        return Distribution(*self.mlp(features.amax(dim=2)).chunk(2, dim=1))


class PointEncoder(nn.Module):
    """Points to latent points."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        self.layers = UNet(config, extra=0, outputs=2 * CHANNELS)

    def forward(self, cloud: Tensor, style: Tensor) -> Distribution:
        """Distribution of the latent points (B, 4 N), point by point, of (B, N, 3) points with (B, S) styles."""
        answers = self.layers(cloud.transpose(1, 2), style).transpose(1, 2)
        place, place_sigma, feature, feature_sigma = answers.split([3, 3, 1, 1], dim=2)
        mean = torch.cat([SKIP * place + cloud, feature], dim=2)
        log_sigma = torch.cat([place_sigma, feature_sigma], dim=2) - LOG_SIGMA_OFFSET
        return Distribution(mean.flatten(1), log_sigma.flatten(1))


class PointDecoder(nn.Module):
    """Latent points to points: each moves a little from its place."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        self.layers = UNet(config, extra=CHANNELS - 3, outputs=3)

    def forward(self, latent: Tensor, style: Tensor) -> Tensor:
        """(B, N, 3) points of latent points (B, 4 N) with styles (B, S). Differentiable, see `operations`."""
        latent = latent.unflatten(1, (-1, CHANNELS))
        answers = self.layers(latent.transpose(1, 2), style)
        return SKIP * answers.transpose(1, 2) + latent[:, :, :3]


class LionNetwork(nn.Module):
    """Encoders and decoder."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.style_encoder = StyleEncoder(config)
        self.encoder = PointEncoder(config)
        self.decoder = PointDecoder(config)

    def encode(self, cloud: Tensor) -> Tensor:
        """Latents (B, S + 4 N) of (B, N, 3) points in the frame of the training shapes, means of the distributions."""
        style = self.style_encoder(cloud).mean
        return torch.cat([style, self.encoder(cloud, style).mean], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        """(B, N, 3) points of latents (B, S + 4 N)."""
        style, local = latent.split([self.config.style, latent.shape[1] - self.config.style], dim=1)
        points: Tensor = self.decoder(local, style)
        return points
