"""Building blocks of LION's networks. Modules and parameters carry the names of the published file.

Everything is (B, C, ...), channels first. A style (B, S) sets scale and shift of what the norms make, except in the
style encoder, which has none. Dropout is left out: networks are not trained here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.lion.operations import (
    average_voxels,
    ball_query,
    farthest_points,
    interpolate,
    read_voxels,
    voxel_coordinates,
)
from squeeze3d.backbones.point_sets import gather

GROUPS = 8
"""Of every norm."""
NEIGHBOURS = 32
"""Points of a group."""
HEAD = 32
"""Channels of an attention head."""


class StyledNorm(nn.Module):
    """Group normalisation whose scale and shift a style changes."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.emd = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, ...) of the same shape."""
        factor, shift = self.emd(style).chunk(2, dim=1)
        weight = (self.norm.weight * factor).flatten()
        bias = (self.norm.bias * factor + shift).flatten()
        # Groups of one cloud are among the groups of all: then both scales are applied in the norm's own pass.
        flat = x.reshape(1, -1, *x.shape[2:])
        return functional.group_norm(flat, GROUPS * len(x), weight, bias, self.norm.eps).view_as(x)


class PlainNorm(nn.GroupNorm):
    """Group normalisation in a network without a style."""

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """(B, C, ...) of the same shape."""
        return super().forward(x)


def norm(channels: int, style: int | None) -> nn.Module:
    """Norm of a network with styles of so many numbers, or without."""
    return PlainNorm(GROUPS, channels) if style is None else StyledNorm(channels, style)


class SharedMLP(nn.Module):
    """The same layers for every point: 1x1 convolution, norm, swish."""

    def __init__(self, channels: int, widths: Sequence[int], style: int | None, *, dims: int = 1) -> None:
        """`dims` axes follow the channels."""
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv1d
        self.layers = nn.ModuleDict()
        for number, (a, b) in enumerate(zip([channels, *widths[:-1]], widths, strict=True)):
            self.layers[str(3 * number)] = convolution(a, b, 1)
            self.layers[str(3 * number + 1)] = norm(b, style)

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        """(B, channels, ...) to (B, widths[-1], ...)."""
        layers = list(self.layers.values())
        for convolution, normalise in zip(layers[::2], layers[1::2], strict=True):
            x = functional.silu(normalise(convolution(x), style))
        return x


class ChannelGate(nn.Module):
    """Scales channels by what their means say (squeeze and excitation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.ModuleDict(
            {
                "0": nn.Linear(channels, channels // 8, bias=False),
                "2": nn.Linear(channels // 8, channels, bias=False),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Factors (B, C) for a grid (B, C, r, r, r)."""
        return torch.sigmoid(self.fc["2"](functional.relu(self.fc["0"](x.mean(dim=(2, 3, 4))))))


class LinearAttention(nn.Module):
    """Attention without a product of all points with all: keys are softmaxed over points. Replaces its input."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Conv2d(channels, 3 * heads * HEAD, 1, bias=False)
        self.to_out = nn.Conv2d(heads * HEAD, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, N) of the same shape."""
        query, key, value = self.to_qkv(x[..., None])[..., 0].unflatten(1, (3, self.heads, HEAD)).unbind(1)
        context = key.softmax(dim=-1) @ value.transpose(-1, -2)
        mixed = context.transpose(-1, -2) @ query
        out: Tensor = self.to_out(mixed.flatten(1, 2)[..., None])[..., 0]
        return out


class PVConv(nn.Module):
    """Features from convolutions in voxels and from each point alone, added."""

    def __init__(
        self, channels: int, width: int, resolution: int, style: int | None, *, attention: bool = False
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.voxel_layers = nn.ModuleDict(
            {
                "0": nn.Conv3d(channels, width, 3, padding=1),
                "1": norm(width, style),
                "4": nn.Conv3d(width, width, 3, padding=1),
                "5": norm(width, style),
                "6": ChannelGate(width),
            }
        )
        self.point_features = SharedMLP(channels, [width], style)
        self.attn = LinearAttention(width, 4) if attention else None

    def forward(self, points: Tensor, features: Tensor, style: Tensor | None) -> Tensor:
        """(B, width, N) of (B, 3, N) points and (B, channels, N) features."""
        coordinates = voxel_coordinates(points, self.resolution)
        layers = self.voxel_layers
        grid = layers["0"](average_voxels(features, coordinates, self.resolution))
        grid = layers["4"](functional.silu(layers["1"](grid, style)))
        grid = layers["5"](grid, style)
        # Reading is linear: what scales a channel of the grid scales what is read of it.
        read = read_voxels(grid, coordinates) * layers["6"](grid)[..., None]
        mixed: Tensor = read + self.point_features(features, style)
        return mixed if self.attn is None else self.attn(mixed)


class SetAbstraction(nn.Module):
    """Fewer points, each with what is around it."""

    def __init__(self, channels: int, widths: Sequence[int], centres: int, radius: float, style: int | None) -> None:
        super().__init__()
        self.centres, self.radius = centres, radius
        self.mlps = nn.ModuleList([SharedMLP(3 + channels, widths, style, dims=2)])

    def forward(self, points: Tensor, features: Tensor, style: Tensor | None) -> tuple[Tensor, Tensor]:
        """Centres (B, 3, S) and features (B, widths[-1], S) of (B, 3, N) points with (B, channels, N) features."""
        centres = gather(points, farthest_points(points, self.centres))
        index = ball_query(centres, points, self.radius, NEIGHBOURS)
        grouped = torch.cat([gather(points, index) - centres[..., None], gather(features, index)], dim=1)
        return centres, self.mlps[0](grouped, style).amax(dim=-1)


class FeaturePropagation(nn.Module):
    """Features of few points to more of them, beside those that these have already."""

    def __init__(self, channels: int, widths: Sequence[int], style: int | None) -> None:
        super().__init__()
        self.mlp = SharedMLP(channels, widths, style)

    def forward(self, points: Tensor, centres: Tensor, coarse: Tensor, own: Tensor, style: Tensor | None) -> Tensor:
        """(B, widths[-1], N) of (B, 3, N) points with `own` (B, C, N) and (B, 3, S) centres with `coarse` (B, D, S)."""
        spread: Tensor = self.mlp(torch.cat([interpolate(points, centres, coarse), own], dim=1), style)
        return spread
