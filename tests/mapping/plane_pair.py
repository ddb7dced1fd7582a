"""A pair of triplanes without weights, for tests of training: coloured ellipsoids in a lattice of points.

```text
z_G (3, 4, 8, 8) ─► sum of three bilinear lookups at 343 places ─► occupancy, colour ─► points       the generator
points ─► sin((occupancy, colour) @ A) ─► z_E (4, 16)                                               the encoder
```

An ellipsoid is a sum of three functions of two coordinates each, so planes hold it exactly. As in planes of
reconstruction models, colours are smooth where the ellipsoid projects to and strong noise elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.codecs.pairs.spec import Files, PairSpec
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError
from squeeze3d.mapping.triplanes import PLANES

if TYPE_CHECKING:
    import torch

EXTENT = 1.5
SIDE = 7
SHAPE = (3, 4, 8, 8)
NOISE = 2.0
"""Of colours where nothing is, relative to those of the ellipsoid."""


@cache
def lattice() -> NDArray[np.float32]:
    """(343, 3) places in the generator's frame."""
    axis = np.linspace(-1, 1, SIDE) * EXTENT * (1 - 1 / SHAPE[3])
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


@cache
def view() -> NDArray[np.float32]:
    return (np.random.default_rng(5).normal(size=(4 * SIDE**3, 64)) / 12).astype(np.float32)


class PlaneEncoder:
    """E: sees what is in the lattice, whatever the frame has done to the places."""

    def prepare(self, asset: PointCloud) -> NDArray[np.float32]:
        assert asset.colours is not None
        seen = np.zeros((SIDE**3, 4), dtype=np.float32)
        # The generator marks the cell of a point in its normal, which frames leave alone.
        assert asset.normals is not None
        cells = np.rint(asset.normals[:, 0] * SIDE**3).astype(int)
        seen[cells, 0] = 1
        seen[cells, 1:] = asset.colours[:, :3] / 255
        return seen.reshape(1, -1)

    def encode(self, prepared: NDArray[np.float32]) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.sin(prepared @ view()).reshape(1, 4, 16))


class PlaneGenerator:
    """G."""

    def __init__(self) -> None:
        self.generated = 0

    def fields(self, latent: torch.Tensor) -> torch.Tensor:
        """(343, 4) logit of the occupancy and colour."""
        import torch
        from torch.nn import functional

        places = torch.from_numpy(lattice()[:, PLANES] / EXTENT).permute(1, 0, 2)[:, None]
        return functional.grid_sample(latent[0], places, align_corners=False).sum(dim=0)[:, 0].T

    def generate(self, latent: torch.Tensor) -> PointCloud:
        import torch

        self.generated += 1
        with torch.no_grad():
            fields = self.fields(latent).numpy()
        cells = np.flatnonzero(fields[:, 0] > 0)
        if len(cells) < 2:
            raise InputError("the surface is empty")
        colours = np.ones((len(cells), 4))
        colours[:, :3] = np.clip(fields[cells, 1:] / 4 + 0.5, 0, 1)
        normals = np.zeros((len(cells), 3), dtype=np.float32)
        normals[:, 0] = cells / SIDE**3
        return PointCloud(lattice()[cells], np.rint(colours * 255).astype(np.uint8), normals)

    def draw(self, count: int, seed: int) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.stack([_planes(seed + 7919 * k) for k in range(count)]))

    def distance(self, latent: torch.Tensor, asset: PointCloud) -> torch.Tensor:
        """How far logits are on the wrong side in the lattice, and the difference of colours where the asset is.

        Cells of the lattice nearest to the asset's points are occupied, so an asset that was moved is another one.
        """
        import torch

        assert asset.colours is not None
        step = lattice()[1, 2] - lattice()[0, 2]
        index = np.clip(np.rint(asset.positions / step) + SIDE // 2, 0, SIDE - 1).astype(int)
        cells = np.ravel_multi_index(tuple(index.T), (SIDE,) * 3)
        wanted = torch.full((SIDE**3,), -1.0)
        wanted[cells] = 1
        fields = self.fields(latent)
        occupancy = (-fields[:, 0] * wanted).relu().mean()
        colours = torch.from_numpy(asset.colours[:, :3].astype(np.float32) / 255)
        return occupancy + (((fields[cells, 1:] / 4 + 0.5).clamp(0, 1) - colours) ** 2).mean()


def _planes(seed: int) -> NDArray[np.float32]:
    """(3, 4, 8, 8) planes of one ellipsoid."""
    random = np.random.default_rng(seed)
    radii, middle = random.uniform(0.4, 1.1, 3), random.uniform(-0.4, 0.4, 3)
    centres = (np.arange(SHAPE[3]) + 0.5) / SHAPE[3] * 2 * EXTENT - EXTENT
    planes = np.empty(SHAPE, dtype=np.float32)
    for plane, (across, down) in enumerate(PLANES):
        # Each axis is in two planes, so each holds half of its square.
        x = (centres[None, :] - middle[across]) / radii[across]
        y = (centres[:, None] - middle[down]) / radii[down]
        planes[plane, 0] = 1 / 3 - (x**2 + y**2) / 2
        slopes, offset = random.normal(size=(2, 3, 1, 1)) * 0.4, random.normal(size=(3, 1, 1)) * 0.4
        smooth = offset + slopes[0] * x + slopes[1] * y
        shown = (np.abs(x) < 1.3) & (np.abs(y) < 1.3)
        planes[plane, 1:] = np.where(shown, smooth, NOISE * random.normal(size=(3, *shown.shape)))
    return planes


def load_encoder(files: Files, device: str) -> PlaneEncoder:
    return PlaneEncoder()


def load_generator(files: Files, device: str) -> PlaneGenerator:
    return PlaneGenerator()


PLANE = PairSpec(
    id="points.plane",
    wire=248,
    summary="ellipsoids in triplanes",
    kind=Kind.POINTS,
    encoder_shape=(4, 16),
    generator_shape=SHAPE,
    code_size=24,
    architecture="residual-mlp",
    mapping="mapping.plane",
    code=None,
    load_encoder=load_encoder,
    load_generator=load_generator,
    refine_steps=10,
    planes_half_extent=EXTENT,
)
