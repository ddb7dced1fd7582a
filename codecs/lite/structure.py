"""Coding the binary grid that says where the surface is: a pyramid whose cells a context network predicts.

```text
S ─► pyramid ─► root flag ─► level by level: enclosed parents: one flag each; other parents: children by fronts
                                             contexts ─► integer network ─► table ─► range coder
```

A parent whose 26 neighbours are occupied lies inside the solid, and nearly always all its children do as well; one
flag says so for all eight. So the work grows with the surface, not with the volume.
"""

from __future__ import annotations

import itertools
from functools import cache
from importlib.resources import as_file, files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.lite.context_net import ContextNet, counted_table, load_net, odds_costs, odds_tables
from squeeze3d.codecs.lite.pyramid import DYNAMIC, FEATURES, OCTANTS, Cells, LevelContexts, Shape, pyramid, shapes
from squeeze3d.errors import FormatError

WEIGHTS = "lite-structure.safetensors"
BLOCK = 8192
"""Contexts that are prepared at once; bounds memory, changes no output."""
ROOT_TABLE = 124
"""Table of the flag that the grid has an occupied cell at all. Part of the format."""
WHOLE_PRIOR = (1, 2000)
"""Counts that the flags of enclosed parents start with: some children empty, all occupied. Part of the format."""
WHOLE_INCREMENT = 50
"""What a flag adds to its count. Part of the format."""
WHOLE_FIRST = 16
"""Flags with the first table. Part of the format."""
_BYTES_PER_CELL = 160
"""Working memory of a cell of the grid: the levels and lists of cells."""
_BYTES_PER_CONTEXT = 16 * FEATURES


class _Channel(Protocol):
    """Where outcomes go to or come from."""

    def level(self, depth: int) -> NDArray[np.bool_] | None:
        """A whole level, where it is known in advance."""

    def whole(self, depth: int, parents: NDArray[np.intp], table: int) -> NDArray[np.bool_]:
        """Whether all children of (K, 3) parents, seen from level `depth`, are occupied."""

    def cells(self, depth: int, index: NDArray[np.intp], tables: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether (K, 3) cells of level `depth` are occupied."""


class _Known:
    """A channel whose outcomes are known; subclasses say what happens to them."""

    def __init__(self, levels: list[NDArray[np.bool_]]) -> None:
        self._levels = levels

    def level(self, depth: int) -> NDArray[np.bool_] | None:
        return self._levels[depth]

    def whole(self, depth: int, parents: NDArray[np.intp], table: int) -> NDArray[np.bool_]:
        outcome = np.ones(len(parents), dtype=bool)
        for octant in OCTANTS:
            outcome &= self._at(depth, 2 * parents + octant)
        self._take(outcome, np.full(len(parents), table))
        return outcome

    def cells(self, depth: int, index: NDArray[np.intp], tables: NDArray[np.intp]) -> NDArray[np.bool_]:
        outcome = self._at(depth, index)
        self._take(outcome, tables)
        return outcome

    def _at(self, depth: int, index: NDArray[np.intp]) -> NDArray[np.bool_]:
        x, y, z = index.T
        return self._levels[depth][x, y, z]

    def _take(self, outcome: NDArray[np.bool_], tables: NDArray[np.intp]) -> None:
        raise NotImplementedError


class _Writer(_Known):
    def __init__(self, levels: list[NDArray[np.bool_]], encoder: SymbolEncoder) -> None:
        super().__init__(levels)
        self._encoder = encoder

    def _take(self, outcome: NDArray[np.bool_], tables: NDArray[np.intp]) -> None:
        self._encoder.encode(outcome, odds_tables(), tables)


class _Counter(_Known):
    def __init__(self, levels: list[NDArray[np.bool_]]) -> None:
        super().__init__(levels)
        self.bits = 0.0

    def _take(self, outcome: NDArray[np.bool_], tables: NDArray[np.intp]) -> None:
        self.bits += float(odds_costs()[tables, outcome.astype(np.intp)].sum())


class _Reader:
    def __init__(self, decoder: SymbolDecoder) -> None:
        self._decoder = decoder

    def level(self, depth: int) -> NDArray[np.bool_] | None:
        return None

    def whole(self, depth: int, parents: NDArray[np.intp], table: int) -> NDArray[np.bool_]:
        return self._decoder.decode(len(parents), odds_tables(), table).astype(bool)

    def cells(self, depth: int, index: NDArray[np.intp], tables: NDArray[np.intp]) -> NDArray[np.bool_]:
        return self._decoder.decode(len(tables), odds_tables(), tables).astype(bool)


def encode_structure(encoder: SymbolEncoder, occupied: NDArray[np.bool_]) -> None:
    """Append a grid of any shape with at least one cell; the shape is not written.

    Lossless. `decode_structure` is the inverse.
    """
    levels = _levels(occupied)
    _walk(occupied.shape, _Writer(levels, encoder), structure_net())


def structure_bits(occupied: NDArray[np.bool_], net: ContextNet | None = None) -> float:
    """Bits that `encode_structure` would take, without coding; with another network on request."""
    counter = _Counter(_levels(occupied))
    _walk(occupied.shape, counter, net or structure_net())
    return counter.bits


def decode_structure(decoder: SymbolDecoder, shape: Shape, limits: Limits) -> NDArray[np.bool_]:
    """Next grid of a shape that the caller knows.

    Preconditions: the sides are positive; their product is bounded by `limits` here. Hostile streams give some grid of
    this shape or raise FormatError; work is bounded by the number of cells.

    Raises
    ------
    LimitError : the grid needs more memory than allowed.
    FormatError : the stream is no range code.
    """
    if min(shape) < 1:
        raise FormatError(f"a grid of {shape} cells cannot be", hint="the file is damaged")
    limits.check(
        shape[0] * shape[1] * shape[2] * _BYTES_PER_CELL + BLOCK * _BYTES_PER_CONTEXT,
        f"a grid of {shape[0]} x {shape[1]} x {shape[2]} cells",
    )
    return _walk(shape, _Reader(decoder), structure_net())


@cache
def structure_net() -> ContextNet:
    """The network in the package.

    Raises InputError or FormatError where the installation is damaged.
    """
    with as_file(files("squeeze3d.weights").joinpath("embedded", WEIGHTS)) as path:
        return check_net(load_net(path))


def check_net(net: ContextNet) -> ContextNet:
    """The network itself, if it fits contexts and passes.

    Raises FormatError if it does not.
    """
    if (net.groups, net.inputs, net.outputs, net.limit) != (len(OCTANTS), FEATURES, 1, 1):
        raise FormatError(
            f"a structure network has {len(OCTANTS)} groups, {FEATURES} inputs up to 1 and 1 output, not {net.groups}, "
            f"{net.inputs} up to {net.limit} and {net.outputs}",
            hint="install squeeze3d again",
        )
    dynamic = net.layers[0].weights[:, :, :DYNAMIC]
    if (dynamic != dynamic[:1]).any():
        raise FormatError(
            "a structure network treats all octants alike in their own level", hint="install squeeze3d again"
        )
    return net


def _levels(occupied: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    if occupied.ndim != 3 or occupied.size == 0:
        raise ValueError(f"a structure has three axes and at least one cell, not the shape {occupied.shape}")
    return pyramid(occupied)


def _walk(shape: Shape, channel: _Channel, net: ContextNet) -> NDArray[np.bool_]:
    """Visit all decisions in the order of the file; returns the grid. Encoder and decoder share every line of it."""
    sides = shapes(shape)
    root = channel.cells(len(sides) - 1, np.zeros((1, 3), dtype=np.intp), np.array([ROOT_TABLE]))
    level = root.reshape(1, 1, 1)
    flags = _WholeFlags(channel)
    for depth in range(len(sides) - 2, -1, -1):
        contexts = LevelContexts(level, sides[depth], depth)
        enclosed = contexts.enclosed()
        inner = np.argwhere(enclosed)
        whole = flags.visit(depth, inner)
        enclosed[enclosed] = whole
        cells = contexts.cells(np.argwhere(level & ~enclosed))
        known = channel.level(depth)
        if known is None:
            contexts.fill(inner[whole])
            _front_by_front(depth, contexts, cells, channel, net)
        else:
            contexts.load(known)
            _all_at_once(depth, contexts, cells, channel, net)
        level = contexts.result()
    return level


class _WholeFlags:
    """Flags of enclosed parents, with a table that follows the counts so far.

    The table is renewed after `WHOLE_FIRST` flags, then whenever their number has doubled.
    """

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._counts = list(WHOLE_PRIOR)
        self._table = counted_table(*self._counts)
        self._seen, self._next = 0, WHOLE_FIRST

    def visit(self, depth: int, parents: NDArray[np.intp]) -> NDArray[np.bool_]:
        parts = [np.empty(0, dtype=bool)]
        start = 0
        while start < len(parents):
            stop = min(len(parents), start + self._next - self._seen)
            part = self._channel.whole(depth, parents[start:stop], self._table)
            parts.append(part)
            self._seen += len(part)
            ones = int(part.sum())
            self._counts[1] += WHOLE_INCREMENT * ones
            self._counts[0] += WHOLE_INCREMENT * (len(part) - ones)
            if self._seen == self._next:
                self._table = counted_table(*self._counts)
                self._next *= 2
            start = stop
        return np.concatenate(parts)


def _static(contexts: LevelContexts, cells: Cells, part: slice, net: ContextNet) -> NDArray[np.float32]:
    """(K, H) sums of the first layer, as far as they do not depend on the own level."""
    features, octants = contexts.static(cells.index[part]), cells.octants[part]
    result = np.empty((len(features), net.width), dtype=np.float32)
    for octant in range(len(OCTANTS)):
        chosen = np.flatnonzero(octants == octant)
        result[chosen] = net.sums(features[chosen], DYNAMIC, octant, biased=True)
    return result


def _last_front(fronts: NDArray[np.intp], start: int) -> int:
    """End of the last front within a block that begins at `start`; a block holds one front at least."""
    ends = fronts[fronts > start]
    fitting = ends[ends <= start + BLOCK]
    return int(fitting[-1] if len(fitting) else ends[0])


def _all_at_once(depth: int, contexts: LevelContexts, cells: Cells, channel: _Channel, net: ContextNet) -> None:
    for start in range(0, len(cells), BLOCK):
        part = slice(start, start + BLOCK)
        sums = _static(contexts, cells, part, net)
        sums += net.sums(contexts.dynamic(contexts.places(cells.index[part])), 0)
        channel.cells(depth, cells.index[part], net.finish(sums)[:, 0])


def _front_by_front(depth: int, contexts: LevelContexts, cells: Cells, channel: _Channel, net: ContextNet) -> None:
    prepared = 0
    for start, stop in itertools.pairwise(cells.fronts.tolist()):
        if stop > prepared:
            # Whole fronts, as many as fit a block.
            begin, prepared = start, _last_front(cells.fronts, start)
            static = _static(contexts, cells, slice(begin, prepared), net)
            places = contexts.places(cells.index[begin:prepared])
        part = slice(start - begin, stop - begin)
        sums = net.sums(contexts.dynamic(places[part]), 0)
        sums += static[part]
        outcome = channel.cells(depth, cells.index[start:stop], net.finish(sums)[:, 0])
        contexts.mark(places[part][outcome])
