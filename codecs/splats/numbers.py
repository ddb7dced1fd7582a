"""Coding of integers of splats, pass by pass, by the same walk in encoder and decoder.

```text
known splats ─► prediction, spread ─► what is missing, in steps ─► class with an adaptive table ─► known splats …
```

The context of a number is how much the splats that predict it differ, and how large the numbers of the same splat
before it were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.integers import SCALES, IntegerTables, best_scale, decode_integers, encode_integers
from squeeze3d.codecs.splats.order import Pass

SPREADS = (2, 4, 8, 16)
"""Bounds of the classes of spread, in half steps. Part of the format."""
BEFORE = (1, 3)
"""Bounds of the classes of the numbers before. Part of the format."""
_SPREAD_SHIFT = (-2, -1, 0, 1, 2)
_BEFORE_SHIFT = (-1, 0, 1)
"""How much wider the priors of the classes are. Part of the format."""
SCALE_BITS = 5
LARGEST = (1 << 20) - 1
"""Largest number."""


class Channel(Protocol):
    """Where the numbers of a set of components come from, or go to."""

    def numbers(self, each: Pass, expected: NDArray[np.int64], contexts: Contexts) -> NDArray[np.int64]:
        """(T, C) numbers of the splats of a pass, given (T, C) what is expected of their values."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """Rows of tables for the numbers of a pass."""

    spreads: NDArray[np.int64]
    """(T, C) classes."""

    def rows(self, component: int, before: NDArray[np.int64]) -> NDArray[np.int64]:
        """(T,) rows for a component, given (T,) the largest magnitude of the components before it."""
        start = component * len(_SPREAD_SHIFT) * len(_BEFORE_SHIFT)
        behind = np.searchsorted(BEFORE, before, side="right") if component else np.ones_like(before)
        rows: NDArray[np.int64] = start + self.spreads[:, component] * len(_BEFORE_SHIFT) + behind
        return rows


def tables_of(scales: list[int]) -> IntegerTables:
    """Tables of components of which each has a prior scale."""
    moved = [s + a + (b if i else 0) for i, s in enumerate(scales) for a in _SPREAD_SHIFT for b in _BEFORE_SHIFT]
    return IntegerTables([min(max(scale, 0), SCALES - 1) for scale in moved])


@dataclass
class Wanted:
    """A channel that asks for values and keeps what they become."""

    values: NDArray[np.float64]
    """(N, C) in units."""
    steps: NDArray[np.int64]
    """(N,) of each splat, in units."""
    rounding: float = 0.5
    """What is added to a magnitude before it is rounded down; less than 0.5 favours small numbers."""
    found: list[tuple[Contexts, NDArray[np.int64]]] = field(default_factory=list)

    def numbers(self, each: Pass, expected: NDArray[np.int64], contexts: Contexts) -> NDArray[np.int64]:
        missing = (self.values[each.targets] - expected) / self.steps[each.targets][:, None]
        size = np.minimum(np.floor(np.abs(missing) + self.rounding), LARGEST)
        numbers = np.where(missing < 0, -size, size).astype(np.int64)
        self.found.append((contexts, numbers))
        return numbers

    def write(self, encoder: SymbolEncoder) -> None:
        """Append the scales of the priors and all numbers."""
        write(encoder, self.found)


def write(encoder: SymbolEncoder, found: list[tuple[Contexts, NDArray[np.int64]]]) -> None:
    """Append numbers of all passes, with the scales of their priors in front."""
    everything = np.concatenate([numbers for _, numbers in found])
    scales = [best_scale(column) for column in everything.T]
    encoder.encode_raw(scales, SCALE_BITS)
    tables = tables_of(scales)
    for contexts, numbers in found:
        before = np.zeros(len(numbers), dtype=np.int64)
        for component, column in enumerate(numbers.T):
            encode_integers(encoder, column, tables, contexts.rows(component, before))
            before = np.maximum(before, np.abs(column))


class Reader:
    """A channel that reads numbers. Any bytes give some."""

    def __init__(self, decoder: SymbolDecoder, components: int) -> None:
        self._decoder = decoder
        self._components = components
        self._tables = tables_of(decoder.decode_raw(components, SCALE_BITS).tolist())

    def numbers(self, each: Pass, expected: NDArray[np.int64], contexts: Contexts) -> NDArray[np.int64]:
        count = len(each.targets)
        numbers = np.zeros((count, self._components), dtype=np.int64)
        before = np.zeros(count, dtype=np.int64)
        for component in range(self._components):
            rows = contexts.rows(component, before)
            numbers[:, component] = decode_integers(self._decoder, count, self._tables, rows)
            before = np.maximum(before, np.abs(numbers[:, component]))
        return numbers


def contexts_of(spreads: NDArray[np.int64], steps: NDArray[np.int64]) -> Contexts:
    """Contexts from (T, C) spreads in units and (T,) steps."""
    return Contexts(np.searchsorted(SPREADS, 2 * spreads // steps[:, None], side="right"))


def walk(
    passes: tuple[Pass, ...],
    steps: NDArray[np.int64],
    components: int,
    channel: Channel,
    limit: Callable[[NDArray[np.int64]], NDArray[np.int64]] = lambda values: values,
) -> NDArray[np.int64]:
    """(N, components) values in units.

    Parameters
    ----------
    steps : (N,) of each splat, in units.
    limit : what values are brought into range with before others are predicted from them.
    """
    values = np.zeros((len(steps), components), dtype=np.int64)
    for each in passes:
        expected, spreads = each.predict(values)
        step = steps[each.targets]
        numbers = channel.numbers(each, expected, contexts_of(spreads, step))
        values[each.targets] = limit(expected + numbers * step[:, None])
    return values
