"""Coding of the scalars: one small integer for each surface cell, its signed distance in quantisation steps.

```text
cells by parity (x, y, z mod 2), 8 passes ─► neighbourhood, scalars of earlier passes ─► ContextNet ─► cascade
```

The structure is known in full on both sides. Of the scalars around a cell those of earlier passes are known, in all
directions. Cells of one pass do not see each other, so that a pass is one call of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.lite.cells import surface_cells
from squeeze3d.codecs.lite.context_net import (
    ContextNet,
    cascade_bits,
    decisions,
    decode_cascade,
    encode_cascade,
    load_net,
)
from squeeze3d.codecs.lite.patches import NEAR, SCALARS, STRUCTURE_COLUMNS, Neighbourhoods
from squeeze3d.codecs.lite.steps import SYMBOLS
from squeeze3d.errors import FormatError

PASSES = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))
"""Parities of the cells of each pass; the last four see all face neighbours. Part of the format, as is the raster order
within a pass."""
UNITS = (0, 3, 2, 1)
"""What one quantisation step is worth as an input of the network, by step index: all are multiples of 0.15 cells. Part
of the format."""
LARGEST_INPUT = 4
INPUTS = STRUCTURE_COLUMNS + 2 * len(SCALARS) + 3
"""Occupancies, box sums in five grades, known scalars, where they are known, step (one of three)."""
OUTPUTS = decisions(max(SYMBOLS))

_CHUNK = 4096


def encode_scalars(
    encoder: SymbolEncoder,
    occupied: NDArray[np.bool_],
    scalars: NDArray[np.integer],
    step_index: int,
    *,
    net: ContextNet | None = None,
) -> None:
    """Append the scalars of all surface cells (raster order), each from -(alphabet // 2) to alphabet // 2.

    Nothing is written at step index 0.
    """
    alphabet = SYMBOLS[step_index]
    for tables, values in _known_passes(occupied, scalars, step_index, net):
        encode_cascade(encoder, values + alphabet // 2, tables, alphabet)


def scalar_bits(
    occupied: NDArray[np.bool_], scalars: NDArray[np.integer], step_index: int, *, net: ContextNet | None = None
) -> float:
    """Bits that `encode_scalars` takes."""
    alphabet = SYMBOLS[step_index]
    passes = _known_passes(occupied, scalars, step_index, net)
    return float(sum(cascade_bits(values + alphabet // 2, tables, alphabet).sum() for tables, values in passes))


def scalar_costs(
    occupied: NDArray[np.bool_], scalars: NDArray[np.integer], step_index: int, *, net: ContextNet | None = None
) -> NDArray[np.float64]:
    """(K, alphabet) bits that each value would take at each surface cell, all others being as they are."""
    alphabet = SYMBOLS[step_index]
    net = net or embedded_scalar_net()
    contexts = _Contexts(occupied, step_index)
    costs = np.zeros((contexts.count, alphabet))
    for rows in contexts.passes():
        tables = contexts.tables(net, rows)
        for value in range(alphabet):
            costs[rows, value] = cascade_bits(np.full(len(rows), value), tables, alphabet)
        contexts.learn(rows, np.asarray(scalars)[rows].astype(np.int64))
    return costs


def decode_scalars(
    decoder: SymbolDecoder, occupied: NDArray[np.bool_], step_index: int, *, net: ContextNet | None = None
) -> NDArray[np.int32] | None:
    """Scalars of all surface cells in raster order; None at step index 0.

    Takes memory in proportion to the structure. Hostile streams give numbers in range, or raise FormatError.
    """
    if not step_index:
        return None
    net = net or embedded_scalar_net()
    contexts = _Contexts(occupied, step_index)
    result = np.zeros(contexts.count, dtype=np.int32)
    alphabet = SYMBOLS[step_index]
    for rows in contexts.passes():
        result[rows] = decode_cascade(decoder, contexts.tables(net, rows), alphabet) - alphabet // 2
        contexts.learn(rows, result[rows])
    return result


def _known_passes(
    occupied: NDArray[np.bool_], scalars: NDArray[np.integer], step_index: int, net: ContextNet | None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """Tables and scalars of each pass."""
    if not step_index:
        return
    net = net or embedded_scalar_net()
    contexts = _Contexts(occupied, step_index)
    assert len(scalars) == contexts.count
    for rows in contexts.passes():
        values = np.asarray(scalars)[rows].astype(np.int64)
        yield contexts.tables(net, rows), values
        contexts.learn(rows, values)


class _Contexts:
    """Contexts of the surface cells of one structure, and what is known of their scalars so far."""

    def __init__(self, occupied: NDArray[np.bool_], step_index: int) -> None:
        cells = surface_cells(occupied)
        self._around = Neighbourhoods(occupied)
        self._places = self._around.places(cells)
        self._parities = cells & 1
        self._step = step_index
        self._values = np.zeros(self._around.size, dtype=np.int8)
        self._known = np.zeros(self._around.size, dtype=np.uint8)

    @property
    def count(self) -> int:
        return len(self._places)

    def passes(self) -> Iterator[NDArray[np.intp]]:
        """Rows of the surface cells of each pass."""
        for parity in PASSES:
            rows = np.flatnonzero((self._parities == parity).all(axis=1))
            if len(rows):
                yield rows

    def learn(self, rows: NDArray[np.intp], values: NDArray[np.integer]) -> None:
        self._values[self._places[rows]] = values * UNITS[self._step]
        self._known[self._places[rows]] = 1

    def tables(self, net: ContextNet, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """(N, 6) tables of the decisions about some surface cells."""
        places = self._places[rows]
        parts = [self._tables(net, places[start : start + _CHUNK]) for start in range(0, len(places), _CHUNK)]
        return np.concatenate(parts)

    def _tables(self, net: ContextNet, places: NDArray[np.int64]) -> NDArray[np.intp]:
        values = self._around.scalars(places, self._values)
        known = self._around.scalars(places, self._known)
        return net.choose(network_inputs(self._around.structure(places), values, known, self._step))


def network_inputs(
    structure: NDArray[np.integer], values: NDArray[np.generic], known: NDArray[np.generic], step_index: int
) -> NDArray[np.float32]:
    """(N, 565) inputs: whole numbers up to `LARGEST_INPUT`.

    Parameters
    ----------
    structure : (N, 376) occupancies and box sums.
    values : (N, 93) known scalars times the unit of the step.
    known : (N, 93) whether they are.
    """
    inputs = np.zeros((len(structure), INPUTS), dtype=np.float32)
    inputs[:, : len(NEAR)] = structure[:, : len(NEAR)]
    inputs[:, len(NEAR) : STRUCTURE_COLUMNS] = (structure[:, len(NEAR) :] + 3) // 7
    middle = STRUCTURE_COLUMNS + len(SCALARS)
    inputs[:, STRUCTURE_COLUMNS:middle] = values
    inputs[:, middle:-3] = known
    inputs[:, -4 + step_index] = 1
    return inputs


@cache
def embedded_scalar_net() -> ContextNet:
    """The network that ships with the program."""
    import squeeze3d

    return load_scalar_net(Path(squeeze3d.__file__).parent / "weights" / "embedded" / "lite-scalars.safetensors")


def load_scalar_net(path: str | Path) -> ContextNet:
    """Read a network; raises as `load_net`, and FormatError if it is for something else."""
    net = load_net(path)
    if (net.inputs, net.outputs, net.groups) != (INPUTS, OUTPUTS, 1) or net.limit < LARGEST_INPUT:
        raise FormatError(f"`{path}` is not the context network of scalars", hint="install squeeze3d again")
    return net
