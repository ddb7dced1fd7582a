"""Learns a bank of integer tables, and which coefficient uses which one.

```text
generalised normal family ─► assign ─► choose symbols ─► histograms ─► assign ─► pool ─► tables ─┐
                                            ▲────────────────────────────────────────────────────┘
```

Coefficients of all rates share the tables, since what counts is the shape of the distribution in steps. Each table
starts as a member of a family and is replaced by the pooled histogram of its coefficients; the family stays in it as a
prior. Symbols, assignment and tables are refined in turn, as in entropy-constrained scalar quantisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.mapping.code_tables import choose, costs_of, indices, price, split

LIMIT = 127
ALPHABET = 2 * LIMIT + 2
WIDEST = 16.0
"""Largest standard deviation in coarse units: LIMIT is 7.9 of them."""
DEAD = 0.02
"""Root mean square, in steps, below which a coefficient is always zero: nothing of it would reach half a step."""

_SHAPES = (0.7, 1.0, 2.0)
_SCALES = 2.0 ** (np.arange(-10, 14) / 3)
_STRENGTH = 32.0
"""Symbols that the family is worth in a pooled table."""
_WINDOW = 256
"""Symbols that a histogram should hold before it chooses a table alone; below, its neighbours in rank help."""
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Context:
    """Which table a rate's coefficients use; row -1 is always zero."""

    rows: NDArray[np.int64]
    shifts: NDArray[np.int64]

    @property
    def live(self) -> NDArray[np.intp]:
        """Numbers of the coefficients that have a table."""
        return np.flatnonzero(self.rows >= 0)


def learn_bank(
    values: list[NDArray[np.float64]], *, tables: int, symmetric: bool, rounds: int = _ROUNDS
) -> tuple[NDArray[np.uint16], list[Context]]:
    """(T, K) counts, and a context per rate, from (N, k) coefficients in steps for each rate.

    Parameters
    ----------
    tables : largest T.
    symmetric : whether a symbol and its negative count alike, as signs of transformed coefficients are arbitrary.
    """
    scales = [np.sqrt((x**2).mean(axis=0)) for x in values]
    lives = [np.flatnonzero(scale >= DEAD) for scale in scales]
    orders = [np.argsort(-scale[live], kind="stable") for scale, live in zip(scales, lives, strict=True)]
    shifts = [_shifts(scale[live]) for scale, live in zip(scales, lives, strict=True)]
    parts = [x[:, live] for x, live in zip(values, lives, strict=True)]
    family = _family()
    if not sum(len(live) for live in lives):
        return _integers(family[-1:]), [
            Context(np.full(x.shape[1], -1), np.zeros(x.shape[1], np.int64)) for x in values
        ]
    pmf, rows = family, [_nearest(scale[live], shift) for scale, live, shift in zip(scales, lives, shifts, strict=True)]
    for turn in range(rounds):
        costs = -np.log2(pmf)
        histograms = []
        for part, row, shift in zip(parts, rows, shifts, strict=True):
            # Weight 0 at first: the rows are only guesses yet.
            coarse = split(choose(costs, part, row, shift, float(turn > 0)), shift)[0]
            histograms.append(_histogram(coarse))
        smooth = np.concatenate([_smoothed(h, o) for h, o in zip(histograms, orders, strict=True)])
        counted = np.concatenate(histograms)
        if symmetric:
            smooth, counted = smooth + _mirrored(smooth), counted + _mirrored(counted)
        bill = smooth @ costs.T
        kept = _affordable(bill, tables)
        pmf, bill = pmf[kept], bill[:, kept]
        flat = bill.argmin(axis=1)
        pmf = _pooled(counted, flat, pmf)
        rows = np.split(flat, np.cumsum([len(live) for live in lives])[:-1])
    contexts = []
    for x, live, row, shift in zip(values, lives, rows, shifts, strict=True):
        context = Context(np.full(x.shape[1], -1), np.zeros(x.shape[1], np.int64))
        context.rows[live], context.shifts[live] = row, shift
        contexts.append(context)
    return _integers(pmf), contexts


def evaluate(
    values: NDArray[np.float64], counts: NDArray[np.uint16], context: Context, *, weight: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) bits and (N,) squared error in steps of (N, k) coefficients."""
    live = context.live
    costs = costs_of(counts)
    symbols = choose(costs, values[:, live], context.rows[live], context.shifts[live], weight)
    bits = price(costs, symbols, context.rows[live], context.shifts[live]).sum(axis=1)
    errors = (values**2).sum(axis=1) - (values[:, live] ** 2).sum(axis=1)
    return bits, errors + ((values[:, live] - symbols) ** 2).sum(axis=1)


def _shifts(scales: NDArray[np.float64]) -> NDArray[np.int64]:
    """Raw low bits that bring standard deviations down to `WIDEST`."""
    return np.maximum(0, np.ceil(np.log2(np.maximum(scales, 1e-9) / WIDEST))).astype(np.int64)


def _family() -> NDArray[np.float64]:
    """(T, K) probabilities of discretised generalised normal distributions, exp(-|x / a|**shape)."""
    parts = 32
    centres = (np.arange(ALPHABET * parts // 2) + 0.5) / parts
    rows = []
    for shape in _SHAPES:
        for scale in _SCALES:
            a = scale * math.sqrt(math.gamma(1 / shape) / math.gamma(3 / shape))
            density = np.exp(-((centres / a) ** shape))
            density /= 2 * density.sum()
            # The first half cell is one half of the zero; what lies beyond LIMIT is the escape.
            half = np.add.reduceat(density, [0, *range(parts // 2, len(centres), parts)])
            side = half[1 : LIMIT + 1]
            rows.append(np.concatenate([side[::-1], [2 * half[0]], side, [2 * half[LIMIT + 1 :].sum()]]))
    return _positive(np.array(rows))


def _nearest(scales: NDArray[np.float64], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the normal distributions of the family with the nearest scales."""
    distance = np.abs(np.log2(scales / 2.0**shifts)[:, None] - np.log2(_SCALES)[None, :])
    return distance.argmin(axis=1) + _SHAPES.index(2.0) * len(_SCALES)


def _histogram(coarse: NDArray[np.int64]) -> NDArray[np.float64]:
    """(k, K) occurrences of each column's symbols."""
    size = coarse.shape[1]
    flat = indices(coarse, LIMIT) + ALPHABET * np.arange(size)
    return np.bincount(flat.ravel(), minlength=size * ALPHABET).reshape(size, ALPHABET).astype(np.float64)


def _smoothed(histograms: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sums over neighbours in rank, as many as a reliable choice of a table takes."""
    if not len(histograms):
        return histograms
    reach = math.ceil((_WINDOW / histograms[0].sum() - 1) / 2)
    if reach <= 0:
        return histograms
    total = np.concatenate([np.zeros((1, ALPHABET)), histograms[order].cumsum(axis=0)])
    place = np.arange(len(order))
    result = np.empty_like(histograms)
    result[order] = total[np.minimum(place + reach + 1, len(order))] - total[np.maximum(place - reach, 0)]
    return result


def _mirrored(histograms: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([histograms[:, -2::-1], histograms[:, -1:]], axis=1)


def _affordable(bill: NDArray[np.float64], tables: int) -> NDArray[np.intp]:
    """Tables to keep, at most `tables`: unused ones go first, then again and again the one that is missed least.

    `bill` (M, T) is what each coefficient pays with each table.
    """
    kept = np.unique(bill.argmin(axis=1))
    while len(kept) > tables:
        order = np.partition(bill[:, kept], 1, axis=1)
        loss = np.bincount(bill[:, kept].argmin(axis=1), weights=order[:, 1] - order[:, 0], minlength=len(kept))
        kept = np.delete(kept, loss.argmin())
    return kept


def _pooled(
    histograms: NDArray[np.float64], rows: NDArray[np.int64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(T, K) probabilities from the histograms of each table's coefficients."""
    pooled = _STRENGTH * prior
    np.add.at(pooled, rows, histograms)
    return _positive(pooled / pooled.sum(axis=1, keepdims=True))


def _positive(pmf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities no smaller than those a range coder table can hold."""
    pmf = np.maximum(pmf, 2.0**-24)
    return pmf / pmf.sum(axis=1, keepdims=True)


def _integers(pmf: NDArray[np.float64]) -> NDArray[np.uint16]:
    """(T, K) counts; the largest of each row is 65535."""
    counts = np.rint(pmf / pmf.max(axis=1, keepdims=True) * 65535).astype(np.uint16)
    counts[:, -1] = np.maximum(counts[:, -1], 1)
    return counts
