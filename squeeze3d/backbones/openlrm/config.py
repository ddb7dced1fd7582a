"""Sizes of the OpenLRM 1.1 networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VisionConfig:
    """A DINOv2 vision transformer with registers."""

    width: int
    heads: int
    depth: int = 12
    patch: int = 14
    """Side of a patch in pixels."""
    native: int = 37
    """Patches along the side of the picture that position embeddings were trained for."""
    registers: int = 4


@dataclass(frozen=True)
class OpenLRMConfig:
    """One size of OpenLRM."""

    vision: VisionConfig
    width: int
    """Numbers of a triplane token."""
    layers: int
    heads: int
    channels: int
    """Of a plane."""
    picture: int
    """Side of the pictures that the network was trained with, in pixels."""
    samples: int
    """Samples on a ray in volume rendering."""
    camera_width: int = 1024
    """Numbers of a camera's embedding."""
    tokens: int = 32
    """Tokens along the side of a plane; the plane has twice as many cells."""

    @property
    def planes_shape(self) -> tuple[int, int, int, int]:
        """(3, C, H, W)."""
        return 3, self.channels, 2 * self.tokens, 2 * self.tokens


_VIT_S = VisionConfig(width=384, heads=6)
_VIT_B = VisionConfig(width=768, heads=12)

SMALL = OpenLRMConfig(_VIT_S, width=512, layers=12, heads=8, channels=32, picture=224, samples=96)
BASE = OpenLRMConfig(_VIT_B, width=768, layers=12, heads=12, channels=48, picture=336, samples=96)
"""The one that the published Squeeze3D mapping speaks to."""
LARGE = OpenLRMConfig(_VIT_B, width=1024, layers=16, heads=16, channels=80, picture=448, samples=128)

HIDDEN = 64
"""Width of the network that reads planes, in all sizes."""
GRID = 384
"""Samples along an axis of the lattice that published meshes are extracted from."""
THRESHOLD = 3.0
"""Density of the surface in published meshes."""
CAMERA_DISTANCE = 2.0
"""From the camera of the picture to the origin."""
