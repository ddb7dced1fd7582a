"""Sizes of the InstantMesh networks. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

IMAGE_SIZE = 320
"""Side of the views that the published encoders were trained with."""
VIEWS = 6


@dataclass(frozen=True, slots=True)
class InstantMeshConfig:
    """Sizes of one network. The defaults are those of the published large mesh model."""

    encoder_width: int = 768
    encoder_layers: int = 12
    encoder_heads: int = 12
    encoder_hidden: int = 3072
    patch: int = 16
    """Side of a patch in pixels."""
    native_image: int = 224
    """Side of the images whose patches have a position embedding of their own; it is resized for others."""
    width: int = 1024
    """Of the triplane transformer."""
    layers: int = 16
    heads: int = 16
    low_resolution: int = 32
    """Tokens along a side of a plane; planes have twice as many cells."""
    channels: int = 80
    """Of the planes."""
    decoder_hidden: int = 64
    nerf: bool = False
    """A density network instead of the four networks of the mesh models."""
    grid: int = 128
    """Cubes of the lattice along each axis."""
    grid_scale: float = 2.1
    """Side of the lattice."""
    deformation_multiplier: float = 4.0
    """Lattice points move by at most 1 / (grid * deformation_multiplier) along each axis."""

    @property
    def planes_shape(self) -> tuple[int, int, int, int]:
        """Shape of one triplane."""
        return 3, self.channels, 2 * self.low_resolution, 2 * self.low_resolution

    @property
    def native_patches(self) -> int:
        """Patches along a side of a native image."""
        return self.native_image // self.patch


LARGE = InstantMeshConfig()
BASE = InstantMeshConfig(layers=12, channels=40)
CONFIGS = {
    "instant_mesh_large": LARGE,
    "instant_mesh_base": BASE,
    "instant_nerf_large": replace(LARGE, nerf=True),
    "instant_nerf_base": replace(BASE, nerf=True),
}
"""Published models by the stem of their file."""

TINY = InstantMeshConfig(
    encoder_width=24,
    encoder_layers=3,
    encoder_heads=3,
    encoder_hidden=48,
    patch=8,
    native_image=32,
    width=32,
    layers=3,
    heads=4,
    low_resolution=4,
    channels=6,
    grid=16,
)
"""For tests."""
