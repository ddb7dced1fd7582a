"""A pair without weights, for tests of training: eight points in a box, and a fixed random view of them.

```text
z_G (8, 3) ─► tanh, two corners added ─► points          the generator; refuses latents that start above 1.2
points ─► sin(points @ A) ─► z_E (4, 8)                  the encoder
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.codecs.pairs.spec import Files, PairSpec
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError

if TYPE_CHECKING:
    import torch

VIEW = np.random.default_rng(5).normal(size=(24, 32)).astype(np.float32) / 3
CORNERS = np.array([[-1, -1, -1], [1, 1, 1]], dtype=np.float32)


class CloudEncoder:
    """E."""

    def prepare(self, asset: PointCloud) -> NDArray[np.float32]:
        return asset.positions[:8].reshape(1, 24)

    def encode(self, prepared: NDArray[np.float32]) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.sin(prepared @ VIEW).reshape(1, 4, 8))


class CloudGenerator:
    """G."""

    def __init__(self) -> None:
        self.draws = 0

    def generate(self, latent: torch.Tensor) -> PointCloud:
        if latent[0, 0, 0] > 1.2:
            raise InputError("the surface is empty")
        return PointCloud(np.concatenate([np.tanh(latent[0].numpy()), CORNERS]).astype(np.float32))

    def draw(self, count: int, seed: int) -> torch.Tensor:
        import torch

        self.draws += count
        return torch.randn((count, 8, 3), generator=torch.Generator().manual_seed(seed))


def load_encoder(files: Files, device: str) -> CloudEncoder:
    return CloudEncoder()


def load_generator(files: Files, device: str) -> CloudGenerator:
    return CloudGenerator()


CLOUD = PairSpec(
    id="points.cloud",
    wire=249,
    summary="eight points",
    kind=Kind.POINTS,
    encoder_shape=(4, 8),
    generator_shape=(8, 3),
    code_size=24,
    architecture="residual-mlp",
    mapping="mapping.cloud",
    code=None,
    load_encoder=load_encoder,
    load_generator=load_generator,
)
