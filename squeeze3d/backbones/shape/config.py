"""Sizes of Shap-E's decoder and its lattice. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

GRID = 128
"""Samples along each axis of the published lattice."""
GENERATED = 4
"""Layers whose weights come from the latent."""
LAYERS = 7
OUTPUTS = 12


@dataclass(frozen=True, slots=True)
class ShapeConfig:
    """Sizes of one network. The defaults are those of the published checkpoint."""

    latent: int = 1024
    """Numbers of each row of a latent."""
    hidden: int = 256
    """Neurons of a layer; as many rows of the latent belong to each generated layer."""
    place_octaves: int = 15
    direction_octaves: int = 8

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Shape of one latent: a row for each neuron of the generated layers."""
        return GENERATED * self.hidden, self.latent

    @property
    def place_code(self) -> int:
        """Numbers that stand for a place."""
        return 3 + 6 * self.place_octaves

    @property
    def direction_code(self) -> int:
        """Numbers that stand for a direction."""
        return 3 + 6 * self.direction_octaves

    def layer_shape(self, layer: int) -> tuple[int, int]:
        """Outputs and inputs of layer 0 to 6."""
        inputs = {0: self.place_code, GENERATED: self.hidden + self.direction_code}.get(layer, self.hidden)
        return (OUTPUTS if layer == LAYERS - 1 else self.hidden), inputs


PUBLISHED = ShapeConfig()
TINY = ShapeConfig(latent=24, hidden=16)
"""Some ten thousand numbers: for tests."""
