"""What planes say about a point: small networks that read its features in all three planes.

Everything here is differentiable with respect to planes and points. For whole lattices see `lattice.py`, for meshes
`mesh.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
from squeeze3d.backbones.triplane_sampling import sample_planes

WEIGHT_SCALE = 0.1
"""Of the raw weights of FlexiCubes."""
_WEIGHTS = 21
_CORNERS = 8
_MARGIN = 0.001
"""Colours may pass 0 and 1 by so much, so that the sigmoid need not saturate to reach them."""
_SHIFT = 1.0
"""Subtracted from a raw density before its softplus."""


class FlexiDecoder(nn.Module):
    """The mesh models' four networks: signed distance, deformation and weights of FlexiCubes, colour.

    The signed distance is negative inside, and a distance in name only: its slope is whatever training made of it.
    """

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.config = config
        features, hidden = 3 * config.channels, config.decoder_hidden
        self.net_sdf = _mlp(features, hidden, 1)
        self.net_rgb = _mlp(features, hidden, 3)
        self.net_deformation = _mlp(features, hidden, 3)
        self.net_weight = _mlp(_CORNERS * features, hidden, _WEIGHTS)

    def forward(self, planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distances (B, N) and colours (B, N, 3) at points (B, N, 3), given planes (B, 3, C, H, W).

        Colours are sRGB, from -0.001 to 1.001: clamp them where they are shown.
        """
        features = sample_planes(planes, points)
        return self.net_sdf(features)[..., 0], _colour(self.net_rgb(features))

    def sdf(self, planes: Tensor, points: Tensor) -> Tensor:
        """The signed distances of `forward`."""
        values: Tensor = self.net_sdf(sample_planes(planes, points))[..., 0]
        return values

    def rgb(self, planes: Tensor, points: Tensor) -> Tensor:
        """The colours of `forward`."""
        return _colour(self.net_rgb(sample_planes(planes, points)))

    def deformation(self, raw: Tensor) -> Tensor:
        """How far lattice points move (..., 3), from what `net_deformation` says."""
        return torch.tanh(raw) / (self.config.grid * self.config.deformation_multiplier)


class NerfDecoder(nn.Module):
    """The NeRF models' one network: density and colour."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.config = config
        self.net = _mlp(3 * config.channels, config.decoder_hidden, 4)

    def forward(self, planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Densities (B, N), at least 0, and colours (B, N, 3) as of `FlexiDecoder`."""
        values = self.net(sample_planes(planes, points))
        return self.density(values[..., 0]), _colour(values[..., 1:])

    def rgb(self, planes: Tensor, points: Tensor) -> Tensor:
        """The colours of `forward`."""
        return self(planes, points)[1]

    def density(self, raw: Tensor) -> Tensor:
        """Density from the first number that `net` says."""
        return functional.softplus(raw - _SHIFT)


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """The linear layers of a network of a decoder; between each two is a ReLU."""
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def _mlp(features: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, out),
    )


def _colour(raw: Tensor) -> Tensor:
    return torch.sigmoid(raw) * (1 + 2 * _MARGIN) - _MARGIN
