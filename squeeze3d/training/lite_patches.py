"""Samples for the local networks of the embedded mesh pair: cells with their neighbourhoods and what is true there.

```text
structures, fine distances ─► some mixed cells of each ─► Pool ─► batches, each part turned by one of 48 symmetries
```

Neighbourhoods are kept as bytes, 626 a cell, so that a million of them fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_cells
from squeeze3d.codecs.lite.field_net import OUTPUTS, SUB
from squeeze3d.codecs.lite.patches import (
    SCALARS,
    STRUCTURE_COLUMNS,
    Neighbourhoods,
    column_order,
    moved,
    symmetries,
)
from squeeze3d.errors import UsageError
from squeeze3d.training.lite_data import UNIT, LiteData, Split

SYMMETRIES = 48
NEAR_EMPTY = 0.3
"""Empty cells are of interest where a sub-cell is closer to the surface than this, in cells."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Cells, row by row."""

    structure: NDArray[np.uint8]
    """(N, 376) occupancies and box sums."""
    distances: NDArray[np.int8]
    """(N, 93) signed distances at the centres of surface cells around, in units of `UNIT`; 0 elsewhere."""
    surface: NDArray[np.bool_]
    """(N, 93) which cells around are surface cells."""
    fine: NDArray[np.int8]
    """(N, 64) signed distances of the sub-cells, in units of `UNIT`; (N, 0) where nobody needs them."""

    def __len__(self) -> int:
        return len(self.structure)

    def take(self, rows: NDArray[np.integer], symmetry: int = 0) -> Pool:
        """Some rows, turned by a symmetry."""
        columns = column_order(symmetry)
        near = columns[STRUCTURE_COLUMNS : STRUCTURE_COLUMNS + len(SCALARS)] - STRUCTURE_COLUMNS
        return Pool(
            self.structure[rows][:, columns[:STRUCTURE_COLUMNS]],
            self.distances[rows][:, near],
            self.surface[rows][:, near],
            self.fine[rows][:, sub_cell_order(symmetry)] if self.fine.shape[1] else self.fine[rows],
        )


def join(pools: Iterable[Pool]) -> Pool:
    """All rows of several pools."""
    parts = list(pools)
    return Pool(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Pool)))


def load_cells(data: LiteData, split: Split, counts: Mapping[int, int], *, seed: int, surface: bool = False) -> Pool:
    """Cells of all objects of a split.

    Parameters
    ----------
    counts : by resolution, at most how many of each object.
    surface : surface cells without their sub-cells, instead of mixed cells.

    Raises UsageError if there are none.
    """
    rng = np.random.default_rng(seed)
    pools = []
    for resolution, count in sorted(counts.items()):
        for field in data.fields(resolution, split):
            if surface:
                pools.append(sample_surface_cells(field.occupied, field.centres, count, rng))
            else:
                pools.append(sample_cells(field.occupied, field.fine, field.centres, count, rng))
    if not sum(map(len, pools)):
        raise UsageError(f"`{data.folder}` has no objects for {split}", hint="pack more objects")
    return join(pools)


def sample_cells(
    occupied: NDArray[np.bool_],
    fine: NDArray[np.int8],
    centres: NDArray[np.int8],
    count: int,
    rng: np.random.Generator,
) -> Pool:
    """At most `count` mixed cells of one structure: occupied ones, and empty ones that the surface comes near to.

    Parameters
    ----------
    occupied : structure.
    fine : (M, 64) distances at the sub-cells of its mixed cells, in raster order, in units of `UNIT`.
    centres : (K,) distances at its surface cells in raster order, in units of `UNIT`.
    """
    mixed = mixed_flags(occupied)
    cells = np.argwhere(mixed) - MARGIN
    wanted = np.flatnonzero(np.pad(occupied, MARGIN)[mixed] | (fine.min(axis=1) < NEAR_EMPTY / UNIT))
    rows = np.sort(rng.permutation(wanted)[:count])
    return gather(occupied, centres, cells[rows], fine[rows])


def sample_surface_cells(
    occupied: NDArray[np.bool_], centres: NDArray[np.int8], count: int, rng: np.random.Generator
) -> Pool:
    """At most `count` surface cells of one structure, without their sub-cells; the middle distance is their own."""
    cells = surface_cells(occupied)
    rows = np.sort(rng.permutation(len(cells))[:count])
    return gather(occupied, centres, cells[rows], np.empty((len(rows), 0), dtype=np.int8))


def gather(
    occupied: NDArray[np.bool_], centres: NDArray[np.int8], cells: NDArray[np.int64], fine: NDArray[np.int8]
) -> Pool:
    around = Neighbourhoods(occupied)
    surface = around.places(surface_cells(occupied))
    places = around.places(cells)
    return Pool(
        around.structure(places),
        around.scalars(places, around.field(surface, centres)),
        around.scalars(places, around.field(surface, np.ones(len(surface), dtype=bool))),
        fine,
    )


@cache
def sub_cell_order(symmetry: int) -> NDArray[np.int64]:
    """Sub-cells to read so that a cell looks as after a symmetry."""
    span = np.arange(SUB) * 2 - (SUB - 1)
    offsets = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(OUTPUTS, 3)
    return moved(offsets, list(symmetries())[symmetry])
