"""`BlockField`: samples on a fine lattice that are constant but for blocks of some cells, and their isosurface.

```text
. . . . . .        .  outside, one value          work and memory grow with the surface, not with the volume
. b b b b .        b  block of factor^3 samples
. b # # b .        #  inside, one value
. b b b b .
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.isosurface import CORNERS, polygonise

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BlockField:
    """Samples on the fine lattice of a grid of cells; lower values are inside.

    Where an inside cell without a block touches an outside one without a block, nothing is between them: there must be
    none, corners included.
    """

    inside: NDArray[np.bool_]
    """(X, Y, Z) which side the cells without a block are on. Everything beyond the grid is outside."""
    cells: NDArray[np.int64]
    """(N, 3) cells with a block, each once."""
    blocks: Array
    """(N, F, F, F) their samples."""
    far: float
    """Samples elsewhere are this outside, minus this inside."""

    @property
    def factor(self) -> int:
        """Samples of a cell along an axis, F."""
        return self.blocks.shape[1]

    def dense(self) -> Array:
        """All samples, (F X, F Y, F Z)."""
        factor = self.factor
        fine = np.empty([size * factor for size in self.inside.shape], dtype=np.float32)
        view = fine.reshape([part for size in self.inside.shape for part in (size, factor)])
        view[:] = np.where(self.inside, np.float32(-self.far), np.float32(self.far))[:, None, :, None, :, None]
        i, j, k = self.cells.T
        view[i, :, j, :, k, :] = self.blocks
        return fine

    def isosurface(self, level: float = 0.0) -> tuple[Array, NDArray[np.int32]]:
        """Surface where samples equal `level`, between -far and far.

        Returns
        -------
        positions : (V, 3) in index coordinates of the samples.
        triangles : (F, 3), looking outwards. Closed; no vertex is unused.
        """
        factor, count = self.factor, len(self.cells)
        # Two rows more: what lies outside and inside. A border of two cells, as cubes start one cell before a block.
        table = np.concatenate([self.blocks, np.full((2, factor, factor, factor), self.far, dtype=np.float32)])
        table[count + 1] *= -1
        row = np.pad(count + self.inside.astype(np.int32), 2, constant_values=count)
        row[tuple((self.cells + 2).T)] = np.arange(count, dtype=np.int32)
        starts = np.zeros(row.shape, dtype=bool)
        for corner in CORNERS:
            starts[tuple((self.cells + 2 - corner).T)] = True
        homes = np.argwhere(starts)
        home_of = np.full(row.shape, -1, dtype=np.int32)
        home_of[tuple(homes.T)] = np.arange(len(homes), dtype=np.int32)

        samples = np.empty((len(homes), factor + 1, factor + 1, factor + 1), dtype=np.float32)
        for corner in CORNERS:
            source = table[row[tuple((homes + corner).T)]]
            taken = tuple(slice(0, 1) if beyond else slice(None) for beyond in corner)
            given = tuple(slice(factor, None) if beyond else slice(0, factor) for beyond in corner)
            samples[:, *given] = source[:, *taken]
        inside = samples < level
        block, i, j, k = np.nonzero(_mixed(inside))
        side = factor + 1
        places = (((block * side + i) * side + j) * side + k)[:, None] + CORNERS @ np.array([side * side, side, 1])
        # Which cube starts at a sample; at the far faces of a block those of the next one. Only cubes are ever read.
        cubes = np.empty(samples.shape, dtype=np.int32)
        cubes[block, i, j, k] = np.arange(len(block), dtype=np.int32)
        for corner in CORNERS[1:]:
            source = cubes[home_of[tuple((homes + corner).T)]]
            taken = tuple(slice(0, 1) if beyond else slice(0, factor) for beyond in corner)
            given = tuple(slice(factor, None) if beyond else slice(0, factor) for beyond in corner)
            cubes[:, *given] = source[:, *taken]
        origins = factor * (homes[block] - 2) + np.stack([i, j, k], axis=1)
        return polygonise(
            samples.reshape(-1)[places], inside.reshape(-1)[places], level, origins, cubes.reshape(-1)[places]
        )


def _mixed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cubes of each block with inside and outside corners: (N, F, F, F) of (N, F + 1, F + 1, F + 1) samples."""
    some, every = inside, inside
    for axis in (1, 2, 3):
        low, high = (
            tuple(part if a == axis else slice(None) for a in range(4)) for part in (slice(-1), slice(1, None))
        )
        some, every = some[low] | some[high], every[low] & every[high]
    result: NDArray[np.bool_] = some & ~every
    return result
