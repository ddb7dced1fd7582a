"""Samples for the structure network: contexts of cells of pyramids, packed to bits.

Every grid is turned and mirrored at random first. Each grid gives about as many samples as any other, whatever its
size: a byte saved counts more in a small file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.pyramid import FEATURES, OCTANTS, LevelContexts, pyramid


@dataclass(frozen=True, eq=False)
class Samples:
    """Contexts and outcomes of one octant."""

    contexts: NDArray[np.uint8]
    """(N, ceil(FEATURES / 8)), eight features in a byte."""
    outcomes: NDArray[np.uint8]
    """(N,) 0 or 1."""

    def unpacked(self, chosen: NDArray[np.integer]) -> NDArray[np.uint8]:
        """(K, FEATURES) zeros and ones."""
        return np.unpackbits(self.contexts[chosen], axis=1, count=FEATURES)


def turned(occupied: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    """One of the 48 symmetries of the cube, applied to a grid."""
    result = occupied.transpose(random.permutation(3))
    for axis in range(3):
        if random.integers(2):
            result = np.flip(result, axis)
    return np.ascontiguousarray(result)


def sample(
    grids: Iterable[NDArray[np.bool_]], random: np.random.Generator, *, count: int, turn: bool = True
) -> list[Samples]:
    """About `count` random cells of each grid, by octant."""
    packed: list[list[NDArray[np.uint8]]] = [[] for _ in OCTANTS]
    outcomes: list[list[NDArray[np.uint8]]] = [[] for _ in OCTANTS]
    for grid in grids:
        for group, contexts, outcome in _of_grid(turned(grid, random) if turn else grid, random, count):
            packed[group].append(contexts)
            outcomes[group].append(outcome)
    width = -(-FEATURES // 8)
    return [
        Samples(np.concatenate([np.empty((0, width), np.uint8), *a]), np.concatenate([np.empty(0, np.uint8), *b]))
        for a, b in zip(packed, outcomes, strict=True)
    ]


def _of_grid(
    grid: NDArray[np.bool_], random: np.random.Generator, count: int
) -> Iterable[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
    levels = pyramid(grid)
    visited = []
    for depth in range(len(levels) - 2, -1, -1):
        contexts = LevelContexts(levels[depth + 1], _shape(levels[depth]), depth)
        contexts.load(levels[depth])
        whole = contexts.enclosed()
        inner = np.argwhere(whole)
        outcome = np.ones(len(inner), dtype=bool)
        for octant in OCTANTS:
            outcome &= levels[depth][tuple((2 * inner + octant).T)]
        whole[whole] = outcome
        visited.append((depth, contexts, contexts.cells(np.argwhere(levels[depth + 1] & ~whole))))
    # What is kept of each cell is decided over all levels together.
    share = min(1.0, count / max(1, sum(len(cells) for *_, cells in visited)))
    for depth, contexts, cells in visited:
        chosen = np.flatnonzero(random.random(len(cells)) < share)
        index, octants = cells.index[chosen], cells.octants[chosen]
        found = np.concatenate([contexts.dynamic(contexts.places(index)), contexts.static(index)], axis=1)
        packed = np.packbits(found.astype(bool), axis=1)
        outcome = levels[depth][tuple(index.T)].astype(np.uint8)
        for place in range(len(OCTANTS)):
            yield place, packed[octants == place], outcome[octants == place]


def _shape(level: NDArray[np.bool_]) -> tuple[int, int, int]:
    x, y, z = level.shape
    return x, y, z
