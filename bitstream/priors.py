"""What binary contexts know before the first bit: fitted to files, kept in a few bits each, part of the format.

A context's chance and confidence are the beta distribution under which its bits in all files are most likely: where
files agree the confidence is large, where they differ small. Contexts that few files have seen borrow the chance of
groups that they belong to.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import LIMIT, ONE, UNIT, Contexts

LEVELS = 128
"""Chances are kept as one of so many, evenly spaced in the logarithm of the odds."""
SPACING = 7
"""Levels a unit of that logarithm."""
CONFIDENCES = (0, 2, 4, 8, 15, 30, 60, LIMIT)
"""How many bits a chance may be worth."""
BORROWED = 3.0
"""How many files a group of contexts is worth."""
TYPICAL = 20.0
"""Confidence that is believed in mildly, for contexts that few files have seen."""
PASSES = 2
"""Over all files, that fit the mixers."""
PARTS = 256
"""Weights of mixers are kept in parts of `UNIT`."""


def _chances() -> NDArray[np.int64]:
    """(LEVELS,) chance that each level stands for."""
    levels = np.arange(LEVELS) - LEVELS // 2
    return np.array([round(ONE / (1 + math.exp(-x / SPACING))) for x in levels.tolist()], dtype=np.int64)


CHANCES = _chances()

Tally = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(U,) contexts that a file used and (U, 2) how often they saw a 0 and a 1."""


@dataclass(frozen=True, eq=False)
class Priors:
    """Initial state of a stream, as coarse as it is kept."""

    levels: NDArray[np.uint8]
    """(C,) index into `CHANCES`."""
    confidences: NDArray[np.uint8]
    """(C,) index into `CONFIDENCES`."""
    weights: NDArray[np.int16]
    """(M, I) weights of mixers, of `PARTS`."""

    @classmethod
    def even(cls, contexts: int, mixers: int, inputs: int) -> Priors:
        """Priors that know nothing."""
        return cls(
            np.full(contexts, LEVELS // 2, np.uint8),
            np.zeros(contexts, np.uint8),
            np.full((mixers, inputs), PARTS * 6 // (5 * inputs), np.int16),
        )

    def contexts(self) -> Contexts:
        """A fresh state."""
        weights = self.weights.astype(np.int64) * (UNIT // PARTS)
        return Contexts(CHANCES[self.levels], np.array(CONFIDENCES)[self.confidences], weights)

    def pack(self, more: bytes = b"") -> bytes:
        """The content of a priors file, with something else behind it."""
        parts = (self.levels, self.confidences, self.weights.astype("<i2"))
        return zlib.compress(b"".join(part.tobytes() for part in parts) + more, 9)

    @classmethod
    def unpack(cls, data: bytes, contexts: int, mixers: int, inputs: int, more: int = 0) -> tuple[Priors, bytes]:
        """Inverse of `pack`; `more` bytes are behind it."""
        raw = zlib.decompress(data)
        size = 2 * (contexts + mixers * inputs)
        assert len(raw) == size + more, "priors are of another layout: fit them anew"
        levels, confidences = np.frombuffer(raw, np.uint8, 2 * contexts).reshape(2, contexts)
        weights = np.frombuffer(raw, "<i2", mixers * inputs, 2 * contexts)
        return cls(levels, confidences, weights.reshape(mixers, inputs)), raw[size:]


Run = Callable[[Contexts, NDArray[np.int32]], None]
"""Codes a file in contexts, and counts decisions in a (C, 2) tally; in none if that is (0, 2)."""


def fit(files: Sequence[Run], groups: Sequence[NDArray[np.int64]], mixers: int, inputs: int) -> Priors:
    """Priors of files; `groups` as in `fit_chances`."""
    even = Priors.even(len(groups[-1]), mixers, inputs)
    tallies = []
    for run in files:
        counts = np.zeros((len(groups[-1]), 2), dtype=np.int32)
        run(even.contexts(), counts)
        tallies.append(used(counts))
    levels, confidences = fit_chances(tallies, groups)
    weights = even.weights
    for _ in range(PASSES):
        weights = fit_mixers(files, Priors(levels, confidences, weights))
    return Priors(levels, confidences, weights)


def fit_mixers(files: Sequence[Run], priors: Priors) -> NDArray[np.int16]:
    """(M, I) weights of mixers: the mean of what they become in the course of each file."""
    weights = priors.contexts().weights
    total, passed = np.zeros(weights.shape), 0
    order = np.random.default_rng(1).permutation(len(files)).tolist()
    for place, index in enumerate(order):
        fresh = priors.contexts()
        state = Contexts(fresh.chances, fresh.seen, weights)
        files[index](state, np.zeros((0, 2), dtype=np.int32))
        weights = state.weights
        if 2 * place >= len(order):
            total += weights
            passed += 1
    return np.rint(total / max(passed, 1) * PARTS / UNIT).clip(-32768, 32767).astype(np.int16)


def used(counts: NDArray[np.integer]) -> Tally:
    """The tally of (C, 2) counts."""
    some = np.flatnonzero(counts.any(axis=1))
    return some, counts[some].astype(np.int64)


def fit_chances(
    tallies: Sequence[Tally], groups: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(C,) chances and confidences as `Priors` keeps them.

    Parameters
    ----------
    groups : for each level, from coarse to fine, (C,) group of each context; the last one is the context itself.
    """
    from scipy.special import betaln

    size = len(groups[-1])
    owner = np.concatenate([some for some, _ in tallies])
    counts = np.concatenate([found for _, found in tallies]).astype(np.float64)
    strength = np.full(size, TYPICAL)
    for _ in range(3):
        chance = _mean_chances(owner, counts, strength, groups)
        best = np.full(size, -np.inf)
        for confidence in CONFIDENCES:
            worth = confidence + 0.5
            p = chance[owner]
            a, b = worth * p, worth * (1 - p)
            gains = betaln(a + counts[:, 1], b + counts[:, 0]) - betaln(a, b)
            likelihood = np.bincount(owner, gains, minlength=size).astype(np.float64)
            likelihood -= 0.5 * math.log(worth / TYPICAL) ** 2
            better = likelihood > best
            best[better] = likelihood[better]
            strength[better] = worth
    levels = np.rint(SPACING * np.log(chance / (1 - chance))).clip(-LEVELS // 2, LEVELS // 2 - 1) + LEVELS // 2
    kept = np.array(CONFIDENCES) + 0.5
    return levels.astype(np.uint8), np.abs(strength[:, None] - kept).argmin(axis=1).astype(np.uint8)


def _mean_chances(
    owner: NDArray[np.int64],
    counts: NDArray[np.float64],
    strength: NDArray[np.float64],
    groups: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """(C,) mean chance; files weigh by how much their bits say."""
    size = len(strength)
    total = counts.sum(axis=1)
    # Bits of one file are alike: `total` of them are worth no more than `strength` ones.
    weight = 1 / (1 + total / strength[owner])
    ones = np.bincount(owner, weight * counts[:, 1], minlength=size)
    both = np.bincount(owner, weight * total, minlength=size)
    chance = np.full(size, 0.5)
    for group in groups:
        group_ones = np.bincount(group, ones, minlength=size)[group]
        group_both = np.bincount(group, both, minlength=size)[group]
        chance = (group_ones + BORROWED * chance) / (group_both + BORROWED)
    return chance.clip(1e-4, 1 - 1e-4)


def nested_groups(sets: Sequence[tuple[tuple[int, ...], int]]) -> list[NDArray[np.int64]]:
    """Groups for `fit_chances`: of each context set, those that agree in its first axes, and in the decision.

    Parameters
    ----------
    sets : shape and decisions of each set, in the order of their contexts.
    """
    depth = max(len(shape) for shape, _ in sets) + 1
    size = sum(math.prod(shape) * width for shape, width in sets)
    groups = np.tile(np.arange(size), (depth, 1))
    first = 0
    for shape, width in sets:
        count = math.prod(shape) * width
        own = np.arange(count).reshape(*shape, width)
        for level in range(depth - 1):
            kept = min(level, len(shape))
            merged = own[(slice(None),) * kept + (slice(0, 1),) * (len(shape) - kept)]
            groups[level, first : first + count] = first + np.broadcast_to(merged, own.shape).reshape(-1)
        first += count
    return list(groups)
