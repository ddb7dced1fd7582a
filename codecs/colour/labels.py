"""Which palette entry each cell shows.

```text
label of the root ─► handed to one child; the others coded ─► handed to one child each; … ─► label of each cell
```

The label of a coarse cell is the label of one of the cells in it: it is handed down to the first child, which then
costs nothing. A level's labels are coded in passes; the known labels around a cell vote, entries are ranked by votes,
and the rank is coded: first or not, second or not, which of the others. Contexts are how clear the vote is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import INCREMENT, AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.colour.cells import OFFSETS, Hierarchy, Level
from squeeze3d.codecs.colour.priors import FIRST_PRIOR, SECOND_PRIOR

_VOTES = np.array([{0: 0, 1: 4, 2: 2, 3: 1}[int(np.abs(offset).sum())] for offset in OFFSETS], dtype=np.int64)
"""Votes of a known neighbour: it shares a face, an edge or a corner."""


class LabelTables:
    """The adaptive tables of the labels of a palette with K entries."""

    def __init__(self, entries: int) -> None:
        self.first = AdaptiveTables(FIRST_PRIOR)
        self.second = AdaptiveTables(SECOND_PRIOR)
        rest = max(1, entries - 2)
        self.rest = AdaptiveTables(np.maximum(2 * INCREMENT >> np.arange(rest), INCREMENT >> 1))


@dataclass(frozen=True, eq=False)
class _Vote:
    """Entries ranked by the votes of known neighbours of some cells."""

    keys: NDArray[np.int64]
    """(N, K) 16 votes + 15 - entry: no two alike in a row, ties go to the lower entry."""
    first: NDArray[np.int64]
    """(N,) table row of the flag `rank 0`."""
    second: NDArray[np.int64]
    """(N,) table row of the flag `rank 1`."""

    def ranks(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) ranks of the labels."""
        own = self.keys[np.arange(len(labels)), labels]
        return np.count_nonzero(self.keys > own[:, None], axis=1)

    def labels(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) labels of the ranks; inverse of `ranks`."""
        order = np.argsort(-self.keys, axis=1)
        labels: NDArray[np.int64] = order[np.arange(len(ranks)), ranks]
        return labels


def _vote(level: Level, cells: NDArray[np.intp], labels: NDArray[np.int64], entries: int, height: int) -> _Vote:
    """Votes for some cells; labels of first children and of earlier passes are known."""
    around = level.neighbours[cells]
    known = np.append(level.first, False)[around] | level.earlier[cells]
    weights = np.where(known, _VOTES, 0)
    slots = np.arange(len(cells))[:, None] * entries + np.append(labels, 0)[around]
    # Sums of small whole numbers: exact in the float64 that bincount adds in.
    sums = np.bincount(slots.reshape(-1), weights.reshape(-1), len(cells) * entries)
    votes = sums.astype(np.int64).reshape(len(cells), entries)
    total = votes.sum(axis=1)
    keys = votes * 16 + (15 - np.arange(entries))
    top = keys.max(axis=1)
    best = top >> 4
    other = np.where(keys == top[:, None], 0, votes).max(axis=1)
    share = np.searchsorted([8, 10, 12, 14, 15, 16], best * 16 // np.maximum(total, 1), side="right")
    amount = np.searchsorted([4, 9, 16], total, side="right")
    size = 0 if entries == 2 else 1 if entries <= 4 else 2
    fine = min(height, 2)
    first = ((fine * 7 + share) * 4 + amount) * 3 + size
    rival = np.where(other == 0, 0, np.where(2 * other > best, 2, 1))
    return _Vote(keys, first, (np.minimum(fine, 1) * 3 + rival) * 2 + (size == 2))


def encode_labels(
    encoder: SymbolEncoder,
    hierarchy: Hierarchy,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    entries: int,
    tables: LabelTables,
) -> NDArray[np.int64]:
    """Append (N,) labels of the cells; returns those a decoder gets.

    A cell of weight 0 takes whatever label is cheapest.
    """
    wanted = _wanted(hierarchy, labels, weights)
    current = wanted[0][0]
    encoder.encode_raw(current, (entries - 1).bit_length())
    last = len(hierarchy.levels) - 1
    for position in range(1, last + 1):
        level = hierarchy.levels[position]
        goal, needed = wanted[position]
        current = np.where(level.first, current[level.parents], 0)
        for waiting in level.passes:
            cells = waiting[~level.first[waiting]]
            if len(cells) == 0:
                continue
            vote = _vote(level, cells, current, entries, last - position)
            ranks = np.where(needed[cells], vote.ranks(goal[cells]), 0)
            encoder.encode((ranks > 0).astype(np.int64), tables.first, vote.first)
            later = ranks > 0
            if later.any() and entries > 2:
                encoder.encode((ranks[later] > 1).astype(np.int64), tables.second, vote.second[later])
                encoder.encode(ranks[ranks > 1] - 2, tables.rest)
            current[cells] = vote.labels(ranks)
    return current


def decode_labels(decoder: SymbolDecoder, hierarchy: Hierarchy, entries: int) -> NDArray[np.int64]:
    """(N,) labels of the cells, each smaller than `entries`; inverse of `encode_labels`."""
    tables = LabelTables(entries)
    current = np.minimum(decoder.decode_raw(1, (entries - 1).bit_length()).astype(np.int64), entries - 1)
    last = len(hierarchy.levels) - 1
    for position in range(1, last + 1):
        level = hierarchy.levels[position]
        current = np.where(level.first, current[level.parents], 0)
        for waiting in level.passes:
            cells = waiting[~level.first[waiting]]
            if len(cells) == 0:
                continue
            vote = _vote(level, cells, current, entries, last - position)
            ranks = decoder.decode(len(cells), tables.first, vote.first).astype(np.int64)
            later = np.flatnonzero(ranks)
            if len(later) and entries > 2:
                more = decoder.decode(len(later), tables.second, vote.second[later]) == 1
                ranks[later[more]] = 2 + decoder.decode(int(np.count_nonzero(more)), tables.rest)
            current[cells] = vote.labels(ranks)
    return current


def _wanted(
    hierarchy: Hierarchy, labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Label that each cell of each level should have, root first, and whether it matters.

    A coarse cell takes the label of its first child that matters.
    """
    result = [(labels, weights > 0)]
    for position in range(len(hierarchy.levels) - 1, 0, -1):
        level = hierarchy.levels[position]
        goal, needed = result[-1]
        above = np.zeros(hierarchy.levels[position - 1].count, dtype=np.int64)
        matters = np.zeros(len(above), dtype=bool)
        # In reverse order of rank, so that the last assignment to a parent is by the child that counts.
        order = np.lexsort((-level.parity, needed))
        above[level.parents[order]] = goal[order]
        matters[level.parents[needed]] = True
        result.append((above, matters))
    return result[::-1]
