"""Sizes of LION's networks. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SKIP = 0.01
"""What a U-Net's answer counts beside the places it is added to. Of the published training runs, like the offset."""
LOG_SIGMA_OFFSET = 6.0
"""Taken off the logarithms of standard deviations of latent points."""
CHANNELS = 4
"""Numbers of a latent point: its place and a feature."""
VAE, PRIORS = "vae_state_dict.", "dae_state_dict."
"""What precedes the keys of the networks in the checkpoint. Files of one of them alone do without."""


@dataclass(frozen=True, slots=True)
class LionConfig:
    """Sizes of the networks. The defaults are those of the published checkpoint."""

    style: int = 128
    """Numbers of a style."""
    points: int = 2048
    """Latent points, and points of a cloud. Weights do not tell it."""
    width: int = 32
    """Channels of the first layer, a multiple of 8; all others are multiples of it."""
    grid: int = 32
    """Voxels along each side of the finest grid, a multiple of 4. Weights do not tell it."""
    prior: int = 2048
    """Channels of the global prior."""
    steps: int = 1000
    """Of the priors' diffusion."""

    @property
    def latent(self) -> int:
        """Numbers of a latent: the style and the latent points."""
        return self.style + CHANNELS * self.points


PUBLISHED = LionConfig()
TINY = LionConfig(style=16, points=128, width=8, grid=8, prior=16, steps=4)
"""For tests."""


def prefix_of(keys: Iterable[str], part: str) -> str:
    """What precedes the keys of `VAE` or `PRIORS` in a file with these keys."""
    return part if any(key.startswith(part) for key in keys) else ""
