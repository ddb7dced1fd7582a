"""Sizes of NeRF-MAE's networks and of the grids they see. Importing this needs no torch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

STAGES = 4


@dataclass(frozen=True, slots=True)
class NerfMaeConfig:
    """Sizes of one network. The defaults are those of the published checkpoint."""

    width: int = 96
    """Numbers of a token in the first stage, and channels of a latent; each stage doubles them."""
    depths: tuple[int, int, int, int] = (2, 2, 18, 2)
    """Blocks of each stage."""
    heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window: int = 4
    """Tokens along a side of the cubes within which attention looks."""
    patch: int = 4
    """Cells of the grid along a side of a token."""
    tokens: int = 40
    """Along a side of the grid."""

    @property
    def size(self) -> int:
        """Cells along a side of the grid."""
        return self.patch * self.tokens

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape of one latent."""
        return self.width, self.tokens, self.tokens, self.tokens

    def unused_shapes(self) -> dict[str, tuple[int, ...]]:
        """Keys of a checkpoint that are not read: what training hides tokens with, and indices that follow from the
        window.
        """
        shapes: dict[str, tuple[int, ...]] = {"mask_token": (self.width,)}
        for stage, depth in enumerate(self.depths):
            # The first layer of all stages but the first merges tokens.
            for block in range(stage > 0, depth + (stage > 0)):
                shapes[f"stages.{stage}.{block}.attn.relative_position_index"] = (self.window**6,)
        return shapes


PUBLISHED = NerfMaeConfig()
TINY = NerfMaeConfig(width=12, depths=(2, 2, 2, 2), heads=(2, 4, 4, 8), tokens=24)
"""Less than a million numbers: for tests."""
OFFSETS = tuple(offset[::-1] for offset in itertools.product((0, 1), repeat=3))
"""Places of the tokens that a merge brings together, along axes 0, 1 and 2, in its order."""
