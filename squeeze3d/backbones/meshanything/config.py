"""Sizes of MeshAnything's point encoder. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

POINTS = 4096
"""Points that the published network was trained with; any number of them is accepted."""


@dataclass(frozen=True, slots=True)
class MeshAnythingConfig:
    """Sizes of one network. The defaults are those of the published checkpoint."""

    latents: int = 256
    """Learned queries beside the one of the shape token."""
    width: int = 768
    heads: int = 12
    encoder_layers: int = 8
    """Self-attention blocks behind the cross-attention."""
    decoder_layers: int = 16
    """Blocks that turn the bottleneck into shape latents."""
    bottleneck: int = 64
    """Numbers of a latent between encoder and decoder."""
    feature: int = 1024
    """Numbers of each row of the feature."""
    frequencies: int = 8
    """Octaves of the positional code."""

    @property
    def tokens(self) -> int:
        """Rows of the feature: the shape token and the latents."""
        return self.latents + 1

    @property
    def feature_shape(self) -> tuple[int, int]:
        """Shape of the feature of one mesh."""
        return self.tokens, self.feature


PUBLISHED = MeshAnythingConfig()
TINY = MeshAnythingConfig(width=48, heads=4, encoder_layers=2, decoder_layers=2, bottleneck=16, feature=64)
"""A few hundred thousand numbers: for tests."""
