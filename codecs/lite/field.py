"""From a structure, and scalars if there are any, to a signed distance field and its surface.

```text
occupied ─► mixed cells ─► neighbourhoods ─┐
scalars · step ────────────────────────────┴─► network ─► fine field ─► marching cubes ─► mesh
all other cells ─────────────────────────────► -0.7 or +0.7 ──┘
```

The fine field covers cells -1 to n + 1 at `factor` sub-cells per axis: sample j lies at grid coordinate
-1.5 + (j + 0.5) / factor. Only cells that were decoded are stored sample by sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_cells
from squeeze3d.codecs.lite.field_net import FieldNetwork, embedded_network
from squeeze3d.codecs.lite.patches import COLUMNS, SCALARS, STRUCTURE_COLUMNS, Neighbourhoods
from squeeze3d.codecs.lite.steps import STEPS
from squeeze3d.geometry.block_field import BlockField

LEVELS = (0.0, 0.05, 0.1, 0.15)
"""Levels at which the field may be meshed, in cells: the network, uncertain about thin walls, leans inwards."""

FAR = 0.7
"""Distance in cells that is written where the surface is not near."""

REACH = 0.3
"""Empty cells are decoded where a neighbour has a distance below this next to them."""

_CHUNK = 2048
"""Cells per call of the network: bounds memory, and keeps the layers in the cache."""

Array = NDArray[np.float32]


def decode_field(
    occupied: NDArray[np.bool_],
    scalars: NDArray[np.integer] | None,
    step_index: int,
    factor: int,
    *,
    limits: Limits | None = None,
    network: FieldNetwork | None = None,
) -> BlockField:
    """Signed distances in cells, clipped to +-0.7, on the fine lattice: factor * (n + 3) samples for a structure n + 1.

    Parameters
    ----------
    occupied : the structure.
    scalars : one for each surface cell in raster order; None without.
    step_index : which of `steps.STEPS`; 0 exactly where `scalars` is None.
    factor : 4, or 2 for means over 2^3 of those sub-cells.
    network : the one that ships with the program where None.

    Raises LimitError if the field is larger than the limits allow.
    """
    assert (scalars is None) == (step_index == 0)
    network = network or embedded_network()
    mixed = mixed_flags(occupied)
    solid = np.pad(occupied, MARGIN)
    cells = np.argwhere(mixed & solid)
    # As many empty cells as that may follow, and each takes part in a few arrays of the isosurface.
    (limits or Limits()).check(16 * len(cells) * factor**3 + 16 * mixed.size, "a distance field")

    view = _View(occupied, scalars, step_index)
    # Empty cells hold next to nothing of the inside. They are worth a call only where the surface comes close.
    blocks = view.decode(cells, network, factor)
    reached = np.zeros_like(mixed)
    for axis in range(3):
        for end, way in ((0, -1), (-1, 1)):
            beside = cells[blocks.take(end, axis=axis + 1).min(axis=(1, 2), initial=FAR) < REACH]
            beside[:, axis] += way
            reached[tuple(beside.T)] = True
    others = np.argwhere(reached & ~solid)
    return BlockField(
        solid, np.concatenate([cells, others]), np.concatenate([blocks, view.decode(others, network, factor)]), FAR
    )


class _View:
    """What the network sees of one structure with its scalars."""

    def __init__(self, occupied: NDArray[np.bool_], scalars: NDArray[np.integer] | None, step_index: int) -> None:
        self._around = Neighbourhoods(occupied)
        self._step = STEPS[step_index]
        self._values: NDArray[np.generic] | None = None
        if scalars is not None:
            places = self._around.places(surface_cells(occupied))
            self._values = self._around.field(places, scalars.astype(np.float32) * np.float32(self._step))
            self._flags = self._around.field(places, np.ones(len(places), dtype=np.uint8))

    def decode(self, cells: NDArray[np.int64], network: FieldNetwork, factor: int) -> Array:
        """(N, factor, factor, factor) distances of cells, margin indices (N, 3)."""
        found = np.empty((len(cells), factor**3), dtype=np.float32)
        columns = np.empty((_CHUNK, STRUCTURE_COLUMNS if self._values is None else COLUMNS), dtype=np.float32)
        for start in range(0, len(cells), _CHUNK):
            part = slice(start, start + _CHUNK)
            found[part] = network(self._columns(cells[part], columns), factor=factor)
        return np.clip(found, -FAR, FAR, out=found).reshape(-1, factor, factor, factor)

    def _columns(self, cells: NDArray[np.int64], room: Array) -> Array:
        places = self._around.places(cells - MARGIN)
        part = room[: len(cells)]
        part[:, :STRUCTURE_COLUMNS] = self._around.structure(places)
        if self._values is not None:
            middle = STRUCTURE_COLUMNS + len(SCALARS)
            part[:, STRUCTURE_COLUMNS:middle] = self._around.scalars(places, self._values)
            part[:, middle:-1] = self._around.scalars(places, self._flags)
            part[:, -1] = self._step
        return part


def extract(field: BlockField, level: float = 0.0) -> tuple[Array, NDArray[np.int32]]:
    """Closed surface of a field: vertices (V, 3) in grid coordinates and triangles (F, 3) that look outwards."""
    positions, triangles = field.isosurface(level)
    positions += 0.5
    positions /= field.factor
    positions -= 0.5 + MARGIN
    return positions, triangles
