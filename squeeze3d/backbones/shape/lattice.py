"""Signed distance on a lattice: at all samples, or at those that a surface may pass.

```text
every 4th sample ─► cells that may hold surface ─► their samples ─► surface leaves them? ─► neighbours, and again
```

A lattice of 128^3 is two million places, most of them far from any surface. The quick way asks where the coarse samples
show a surface or come close to one, and follows each surface from cell to cell until it is closed. It can miss a part
that touches no other, is thinner than the coarse spacing, and lies where the distance says nothing is near.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.backbones.shape.config import GRID
from squeeze3d.backbones.shape.network import ShapeNetwork, Weights
from squeeze3d.errors import InputError

_CPU_CHUNK, _CHUNK = 1 << 14, 1 << 17
"""Places that go through the network at once. On a CPU, a quarter would be a tenth faster on one thread, but threads
that wait for each other at every layer take twice as long where the machine has other things to do."""
STRIDE = 4
"""Spacing of the coarse samples, of the quick way."""
REACH = 1.0
"""A cell may hold surface if the least distance at its corners is no more than this times the largest difference of
distances within it or one of its neighbours."""


def chunk_for(device: torch.device) -> int:
    """Places that go through the network at once on a device."""
    return _CPU_CHUNK if device.type == "cpu" else _CHUNK


@torch.no_grad()
def signed_distances(
    network: ShapeNetwork, weights: Weights, places: torch.Tensor, *, chunk: int | None = None
) -> torch.Tensor:
    """(N,) signed distances, positive inside, at (N, 3) places of one shape; `chunk` of them at once."""
    size = chunk or chunk_for(places.device)
    parts = [network.fields(part[None], weights).signed_distance[0] for part in places.split(size)]
    return torch.cat(parts)


def lattice_axis(size: int) -> torch.Tensor:
    """(size,) coordinates from -1 to 1, both included."""
    return torch.arange(size, dtype=torch.float32) / (size - 1) * 2 - 1


def signed_distance_grid(
    network: ShapeNetwork, weights: Weights, *, size: int = GRID, stride: int = 1, chunk: int | None = None
) -> NDArray[np.float32]:
    """(size, size, size) signed distances [x, y, z] on [-1, 1]^3, positive inside, of one shape (a batch of 1).

    Parameters
    ----------
    stride : 1 computes every sample. Above, samples far from surfaces have the sign of the truth and the value of a
        coarse sample near by.

    Raises InputError where the network makes numbers that are not finite.
    """
    values = np.zeros(size**3, dtype=np.float32)
    axis = lattice_axis(size)
    device = weights[0].device
    step = chunk or chunk_for(device)

    def ask(wanted: NDArray[np.bool_]) -> None:
        flat = np.flatnonzero(wanted.reshape(-1))
        for start in range(0, len(flat), step):
            part = flat[start : start + step]
            index = torch.from_numpy(np.stack(np.unravel_index(part, (size,) * 3), axis=1))
            found = signed_distances(network, weights, axis[index].to(device), chunk=step)
            values[part] = found.float().cpu().numpy()
        if not np.isfinite(values[flat]).all():
            raise InputError("the generator made distances that are not finite")

    grid = values.reshape(size, size, size)
    if stride <= 1:
        ask(np.ones_like(grid, dtype=bool))
        return grid
    knots = np.unique(np.append(np.arange(0, size, stride), size - 1))
    known = np.zeros_like(grid, dtype=bool)
    known[np.ix_(knots, knots, knots)] = True
    ask(known)
    coarse = grid[np.ix_(knots, knots, knots)]
    below = np.minimum(np.searchsorted(knots, np.arange(size), side="right") - 1, len(knots) - 2)
    grid[~known] = coarse[np.ix_(below, below, below)][~known]

    # member[s, c]: sample s lies within or on the border of cell c.
    samples = np.arange(size)[:, None]
    member = ((samples >= knots[:-1]) & (samples <= knots[1:])).astype(np.float32)
    cells = _may_hold_surface(coarse)
    # Where a shape reaches the border, a surface closes it there and follows the values.
    border = np.ones_like(known)
    border[1:-1, 1:-1, 1:-1] = False
    while (wanted := (_carried(member, cells) | border & (grid > 0)) & ~known).any():
        ask(wanted)
        known |= wanted
        inside = grid > 0
        has_both = _carried(member.T, known & inside) & _carried(member.T, known & ~inside)
        # Cells with both signs, some of whose samples are still guesses.
        cells = has_both & _carried(member.T, ~known)
    return grid


def _may_hold_surface(coarse: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which cells between coarse samples (n, n, n), as an array (n - 1, n - 1, n - 1)."""
    corners = np.stack(
        [coarse[tuple(slice(k >> a & 1, len(coarse) - 1 + (k >> a & 1)) for a in range(3))] for k in range(8)]
    )
    inside = corners > 0
    spread = corners.max(axis=0) - corners.min(axis=0)
    padded = np.pad(spread, 1)
    for axis in range(3):
        count = padded.shape[axis] - 2
        padded = np.maximum.reduce([padded.take(range(k, k + count), axis=axis) for k in range(3)])
    near = np.abs(corners).min(axis=0) <= REACH * padded
    result: NDArray[np.bool_] = near | (inside.any(axis=0) & ~inside.all(axis=0))
    return result


def _carried(member: NDArray[np.float32], marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks (n, n, n) along the second axis of `member` (m, n) to (m, m, m) along the first."""
    sums = marks.astype(np.float32)
    for axis in range(3):
        sums = np.moveaxis(np.tensordot(member, sums, axes=(1, axis)), 0, axis)
    result: NDArray[np.bool_] = sums > 0
    return result
