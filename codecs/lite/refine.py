"""Refinement of scalars: gradient steps through the frozen field network, against the original.

```text
scalars ─► field network ─► distances ─► error against the true field + lambda x bits
   ▲                                                      │
   └── a step of one where the gradient says it pays ◄────┘
```

Rounding the distance at the centre of each cell is right on average. What counts is the surface that the network makes
of all of them, and that a likely number takes fewer bits than an unlikely one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_cells
from squeeze3d.codecs.lite.field import FAR
from squeeze3d.codecs.lite.field_net import SUB, FieldNetwork, embedded_network
from squeeze3d.codecs.lite.patches import COLUMNS, SCALARS, STRUCTURE_COLUMNS, Neighbourhoods
from squeeze3d.codecs.lite.scalars import scalar_costs
from squeeze3d.codecs.lite.steps import STEPS, SYMBOLS

CLIP = 0.6
"""Distances in cells beyond which the truth is not followed: as in training."""
BEND = 0.05
"""Errors above this, in cells, count by their size, smaller ones by their square."""
FIRST_SHARE, LEAST_SHARE = 0.3, 0.01
"""Parts of the scalars that a step changes, first and at last."""

_CHUNK = 2048

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Refined:
    """Scalars and what they come to."""

    scalars: NDArray[np.int32]
    error: float
    """Sum over sub-cells of what they are off, in cells."""
    bits: float


class _Problem:
    """One structure with its true field."""

    def __init__(
        self, occupied: NDArray[np.bool_], truth: Array, step_index: int, level: float, network: FieldNetwork
    ) -> None:
        self.network = network
        self.step_index = step_index
        self.occupied = occupied
        self._around = Neighbourhoods(occupied)
        self._surface = self._around.places(surface_cells(occupied))
        cells = np.argwhere(mixed_flags(occupied) & np.pad(occupied, MARGIN))
        self._places = self._around.places(cells - MARGIN)
        blocks = truth.reshape([part for size in truth.shape for part in (size // SUB, SUB)])
        i, j, k = cells.T
        # The surface is where the network says `level`.
        self._truth = np.clip(blocks[i, :, j, :, k, :].reshape(len(cells), SUB**3) + np.float32(level), -CLIP, CLIP)
        self._flags = self._around.field(self._surface, np.ones(len(self._surface), dtype=np.uint8))

    def evaluate(self, scalars: NDArray[np.integer]) -> tuple[float, NDArray[np.float64]]:
        """Error, and its derivative by each scalar, in quantisation steps."""
        step = np.float32(STEPS[self.step_index])
        values = self._around.field(self._surface, scalars.astype(np.float32) * step)
        total, slopes = 0.0, np.zeros(self._around.size)
        for start in range(0, len(self._places), _CHUNK):
            part = slice(start, start + _CHUNK)
            error, into = self._chunk(self._places[part], values, step, self._truth[part])
            total += error
            there = self._places[part, None] + SCALARS @ self._around.strides
            slopes += np.bincount(there.reshape(-1), into.reshape(-1), self._around.size)
        return total, slopes[self._surface] * float(step)

    def _chunk(self, places: NDArray[np.int64], values: Array, step: np.float32, truth: Array) -> tuple[float, Array]:
        columns = np.empty((len(places), COLUMNS), dtype=np.float32)
        middle = STRUCTURE_COLUMNS + len(SCALARS)
        columns[:, :STRUCTURE_COLUMNS] = self._around.structure(places)
        columns[:, STRUCTURE_COLUMNS:middle] = self._around.scalars(places, values)
        columns[:, middle:-1] = self._around.scalars(places, self._flags)
        columns[:, -1] = step
        (matrix, bias), *between, (out, out_bias) = self.network.layers
        hidden = np.maximum(columns @ matrix + bias, 0)
        active = [hidden > 0]
        for weight, offset in between:
            change = hidden @ weight + offset
            active.append(change > 0)
            hidden = hidden + np.maximum(change, 0)
        found = hidden @ out + out_bias
        # Where the truth is far, anything beyond on the same side is right.
        found = np.where((truth >= CLIP) & (found > CLIP) | (truth <= -CLIP) & (found < -CLIP), truth, found)
        off = np.clip(found, -FAR, FAR) - truth
        size = np.abs(off)
        error = float(np.where(size > BEND, size - BEND / 2, size * size / (2 * BEND)).sum())
        back = np.clip(off / BEND, -1, 1).astype(np.float32) @ out.T
        for (weight, _), on in zip(between[::-1], active[:0:-1], strict=True):
            back = back + (back * on) @ weight.T
        into: Array = (back * active[0]) @ matrix[STRUCTURE_COLUMNS:middle].T
        return error, into


def refine_scalars(
    occupied: NDArray[np.bool_],
    scalars: NDArray[np.int32],
    truth: Array,
    step_index: int,
    level: float,
    price: float,
    rounds: int,
    *,
    network: FieldNetwork | None = None,
) -> Refined:
    """Scalars of the surface cells after some gradient steps; never worse than the given ones at this price.

    Parameters
    ----------
    truth : signed distances in cells on the fine lattice, as `Solid.fine` gives them with 4 sub-cells.
    step_index : which of `steps.STEPS`, not 0.
    level : at which the surface will be meshed, in cells.
    price : error that a bit is worth.
    """
    assert step_index
    problem = _Problem(occupied, truth, step_index, level, network or embedded_network())
    largest = SYMBOLS[step_index] // 2
    everyone = np.arange(len(scalars))
    random = np.random.Generator(np.random.PCG64(0))

    def looked(values: NDArray[np.int32]) -> tuple[Refined, NDArray[np.float64], NDArray[np.float64]]:
        error, slopes = problem.evaluate(values)
        costs = scalar_costs(occupied, values, step_index)
        return Refined(values, error, float(costs[everyone, values + largest].sum())), slopes, costs

    best, slopes, costs = looked(scalars)
    share = FIRST_SHARE
    for _ in range(rounds):
        here = best.scalars
        gains = np.full((2, len(here)), -np.inf)
        for row, way in enumerate((-1, 1)):
            able = np.flatnonzero(np.abs(here + way) <= largest)
            now, then = costs[able, here[able] + largest], costs[able, here[able] + way + largest]
            gains[row, able] = -way * slopes[able] - price * (then - now)
        gain, moves = gains.max(axis=0), 2 * gains.argmax(axis=0) - 1
        # Neighbours that move together go too far: half of them at random, and of these the best.
        chosen = np.flatnonzero((gain > 0) & (random.random(len(here)) < 0.5))
        chosen = chosen[np.argsort(-gain[chosen], kind="stable")[: max(1, int(share * len(here)))]]
        if not len(chosen):
            break
        trial = here.copy()
        trial[chosen] += moves[chosen].astype(np.int32)
        found, new_slopes, new_costs = looked(trial)
        if found.error + price * found.bits < best.error + price * best.bits:
            best, slopes, costs = found, new_slopes, new_costs
        else:
            share /= 2
            if share < LEAST_SHARE:
                break
    return best
