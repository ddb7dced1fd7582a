"""`PlaneDecoder`: what planes say about a place. Everything is differentiable with respect to planes and places."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.openlrm.config import HIDDEN, OpenLRMConfig
from squeeze3d.backbones.triplane_sampling import folded, lattice_values, sample_sum

_WIDENING = 0.001
"""Colours may leave [0, 1] by this much, so that a finite number can mean black or white."""


def density_of(raw: Tensor) -> Tensor:
    """Density, positive, from what the network says."""
    return functional.softplus(raw - 1)


class PlaneDecoder(nn.Module):
    """Planes and points to density and colour. Parameters are those of `synthesizer.decoder` in the checkpoints."""

    def __init__(self, config: OpenLRMConfig) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Sequential(
            nn.Linear(3 * config.channels, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 4),
        )

    @property
    def layers(self) -> list[nn.Linear]:
        """The linear layers, with a ReLU between each two."""
        return [layer for layer in self.net if isinstance(layer, nn.Linear)]

    def forward(self, planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Raw density (B, N, 1) and sRGB colours (B, N, 3) in [-0.001, 1.001] at points.

        `density_of` makes the raw density one; volume rendering averages it before that.

        Parameters
        ----------
        planes : (B, 3, C, H, W).
        points : (B, N, 3) in [-1, 1]; what lies further out sees zeros.
        """
        return self.read(self.folded(planes), points)

    def folded(self, planes: Tensor) -> Tensor:
        """Planes (B, 3, 64, H, W) for `read`: with the first layer already in them."""
        return folded(planes, self.layers[0].weight)

    def read(self, folded_planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """As calling the module, for planes that are asked more than once."""
        hidden = sample_sum(folded_planes, points) + self.layers[0].bias
        raw, colour = self.net[1:](hidden).split((1, 3), dim=-1)
        return raw, torch.sigmoid(colour) * (1 + 2 * _WIDENING) - _WIDENING

    @torch.no_grad()
    def density_grid(self, planes: Tensor, count: int) -> Tensor:
        """(n, n, n) density of planes (3, C, H, W) on the lattice from -1 to 1, indexed [x, y, z], on the CPU.

        Needs four bytes a sample, and little else.
        """
        places = torch.linspace(-1, 1, count, device=planes.device)
        values = lattice_values(planes, self.layers, places)
        for slab in values:
            slab.copy_(density_of(slab))
        return values
