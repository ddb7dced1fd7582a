"""How far each cell is from the border of the solid, and in which order cells are visited from there.

```text
                 outside: distance to the nearest cell of the solid        3 2 1 │ S 2 3 …   inside: to the nearest cell
layers           1, √2, √3, 2 … cells, half a cell each                          │           that is not in it
```

`S`, the *skin*, are the cells of the solid with a face towards the outside. Every other cell goes back to a cell of
the skin near it: it copies that of its 26 neighbours, in the layers before, which goes back to the nearest one. All
distances are squared and integer, and exact, so that encoder and decoder agree on every layer and every neighbour.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits

AROUND = np.array([step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)], dtype=np.int64)
"""(26, 3) neighbours of a cell."""
FAR = 1 << 30
"""Squared distance of cells that are further outside than `REACH`."""
REACH = 4
"""Cells outside the solid whose distances are told apart. Part of the format."""
_LENGTHS = (AROUND * AROUND).sum(axis=1).astype(np.int32)
_BLOCK = 1 << 15
"""Cells whose neighbours are looked at at once; bounds memory, changes nothing."""
_BYTES_PER_CELL = 80
"""Working memory of a cell of the grid: two exact distance transforms."""
_BYTES_PER_LISTED = 200
"""Working memory of a cell in the layers: neighbours, places, values."""


def signed_squares(solid: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(X, Y, Z) squared distances in cells: positive outside the solid, to its nearest cell; negative inside, to the
    nearest cell that is not in it. What lies beyond the grid is outside. FAR more than REACH cells outside.
    """
    from scipy.ndimage import distance_transform_edt

    result = np.full(solid.shape, FAR, dtype=np.int32)
    window = window_of(solid, REACH)
    near = solid[window]
    if near.size:
        # The transform returns roots of integers, correctly rounded; squares of those round to the integers again.
        outside = np.rint(distance_transform_edt(~near) ** 2).astype(np.int32)
        inside = np.rint(distance_transform_edt(np.pad(near, 1))[1:-1, 1:-1, 1:-1] ** 2).astype(np.int32)
        result[window] = np.where(outside > REACH * REACH, FAR, outside - inside)
    return result


def window_of(filled: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice, slice]:
    """The box of all cells that are set, and `margin` cells around it within the grid; empty if none is set."""
    slices = []
    for axis in range(3):
        there = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, -margin)
        slices.append(slice(max(first - margin, 0), max(last + margin, 0)))
    return slices[0], slices[1], slices[2]


@dataclass(frozen=True, eq=False)
class Layers:
    """Cells in the order in which values spread from the skin: the skin itself, then layer by layer.

    Cells are numbered in this order.
    """

    shape: tuple[int, int, int]
    cells: NDArray[np.int64]
    """(N,) places in the flat grid: the skin in raster order, then each layer in raster order."""
    skin: int
    """Number of cells of the skin."""
    bounds: NDArray[np.int64]
    """Where the layers begin and the last one ends."""
    sources: NDArray[np.int64]
    """(E,) numbers of the cells that each cell behind the skin copies, cell by cell."""
    starts: NDArray[np.int64]
    """(N - skin + 1,) where the sources of each cell begin and those of the last one end."""
    homes: NDArray[np.int32]
    """(N,) number of the cell of the skin that each cell goes back to; -1 where there is no way."""

    def gathered(self, amounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(S,) sum of (N,) amounts over the cells that go back to each cell of the skin, itself included."""
        total = np.zeros(self.skin, dtype=np.int64)
        found = self.homes >= 0
        np.add.at(total, self.homes[found], amounts[found])
        return total

    def copied(self, values: NDArray[np.int64], first: int, last: int) -> NDArray[np.int64]:
        """(last - first, C) means, rounded half up, of the sources of some cells behind the skin; 0 without sources."""
        begin, end = self.starts[first - self.skin], self.starts[last - self.skin]
        starts = self.starts[first - self.skin : last - self.skin + 1] - begin
        counts = np.diff(starts)[:, None]
        sums = np.zeros((last - first, values.shape[1]), dtype=np.int64)
        filled = counts[:, 0] > 0
        if filled.any():
            sums[filled] = np.add.reduceat(values[self.sources[begin:end]], starts[:-1][filled], axis=0)
        return (2 * sums + counts) // np.maximum(2 * counts, 1)


def skin_of(squares: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Cells of the solid with a face towards the outside."""
    return squares == -1


def layers_of(squares: NDArray[np.int32], listed: NDArray[np.bool_], limits: Limits | None = None) -> Layers:
    """Order of the skin, all of it, and of the cells behind it that are `listed`.

    A cell inside the solid copies cells of the solid, one outside copies cells outside and the skin.

    Raises LimitError if that needs too much memory.
    """
    shape: tuple[int, int, int] = squares.shape
    skin = skin_of(squares)
    listed = listed & ~skin
    count = int(np.count_nonzero(skin)) + int(np.count_nonzero(listed))
    (limits or Limits()).check(_BYTES_PER_CELL * squares.size + _BYTES_PER_LISTED * count, "layers of cells")
    places = np.flatnonzero(listed)
    found = squares.reshape(-1)[places].astype(np.int64)
    # Twice the distance, rounded down. IEEE roots of small integers are exact where it matters.
    layer = np.sqrt(4 * np.abs(found)).astype(np.int64)
    order = np.argsort(layer, kind="stable")
    behind = places[order]
    ends = np.flatnonzero(np.diff(layer[order], prepend=-1, append=-1))
    first = np.flatnonzero(skin.reshape(-1))
    cells = np.concatenate([first, behind])
    bounds = (ends + len(first)).astype(np.int64) if len(behind) else np.array([len(first)], dtype=np.int64)
    return Layers(shape, cells, len(first), bounds, *_sources(squares, cells, len(first), bounds.tolist()))


def _sources(
    squares: NDArray[np.int32], cells: NDArray[np.int64], skin: int, bounds: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Sources of the cells behind the skin, where those of each cell begin, and the homes of all cells."""
    padded = tuple(side + 2 for side in squares.shape)
    strides = np.array([padded[1] * padded[2], padded[2], 1], dtype=np.int64)
    steps = AROUND @ strides
    spots = np.stack(np.unravel_index(cells, squares.shape), axis=1).astype(np.int32) + np.int32(1)
    places = spots @ strides
    # Numbers of the cells that may be copied: those of the layers before. The skin belongs to both sides.
    inside = squares.reshape(-1)[cells] < 0
    known = [np.full(padded, -1, dtype=np.int32).reshape(-1) for _ in range(2)]
    for side in known:
        side[places[:skin]] = np.arange(skin)
    homes = np.full(len(cells), -1, dtype=np.int32)
    homes[:skin] = np.arange(skin)
    parts, counts = [np.empty(0, dtype=np.int64)], [np.zeros(1, dtype=np.int64)]
    for first, last in itertools.pairwise(bounds):
        for start in range(first, last, _BLOCK):
            own = np.arange(start, min(start + _BLOCK, last))
            around = places[own, None] + steps
            near = np.where(inside[own, None], known[1][around], known[0][around])
            home = np.where(near < 0, -1, homes[near])
            offset = spots[home] - spots[own, None]
            # Squared distance to the home of a neighbour; of equally near ones the neighbour next to the cell.
            score = np.where(home < 0, FAR, 4 * (offset * offset).sum(axis=2) + _LENGTHS)
            best = score.min(axis=1)
            chosen = (score == best[:, None]) & (best < FAR)[:, None]
            parts.append(near[chosen])
            counts.append(np.count_nonzero(chosen, axis=1))
            homes[own] = home[np.arange(len(own)), score.argmin(axis=1)]
        layer = np.arange(first, last)
        for side, members in zip(known, (layer[~inside[layer]], layer[inside[layer]]), strict=True):
            side[places[members]] = members
    return np.concatenate(parts), np.cumsum(np.concatenate(counts)), homes
