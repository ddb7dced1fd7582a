"""Integer networks that choose a probability table for each binary decision from its context.

```text
context (integers) ─► W0 x + b0 ─► >> shift ─► clip 0 ... 127 ─► ... ─► WL x + bL ─► >> shift ─► table 0 ... 127
                      int8   int32   floor                                             one row per decision
```

All numbers that decide how bits are read are integers, and every sum stays below 2**24 in magnitude. Products and sums
of such integers are exact in float32, in any order and with or without fused operations, so the matrix products may run
in the fastest routine a machine has and still give the same tables everywhere. Loading checks the bound.

A table stands for log-odds on a grid of a quarter of a bit, from -15.875 to 15.875 bits (`odds_counts`).
Symbols with more than two values are cascades of decisions (`encode_cascade`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import TOTAL, SymbolDecoder, SymbolEncoder, Tables, frequencies
from squeeze3d.errors import FormatError, InputError
from squeeze3d.files import atomic_write

VERSION = 1
TABLES = 128
"""Number of probability tables. Part of the format."""
LOG_ODDS_STEP = 0.25
"""Bits of log-odds between two tables. Part of the format."""
LARGEST_ACTIVATION = 127
"""Part of the format."""
EXACT = 1 << 24
"""Integers below this, and sums of them that stay below it, are exact in float32."""

MAX_WEIGHTS = 1 << 24
MAX_LAYERS = 8

_EIGHTHS = (71468, 84990, 101070, 120194)
"""2**16 times 2**(1/8), 2**(3/8), 2**(5/8), 2**(7/8). Part of the format."""

_HINT = "the file is damaged or of another version; install squeeze3d again"


def odds_counts() -> NDArray[np.int64]:
    """(TABLES, 2) integer counts of the outcomes 0 and 1.

    Table t has log-odds of (2 (t - 64) + 1) / 8 bits: for t >= 64 and k = t - 64 the counts are 2**16 and
    `_EIGHTHS[k % 4] << (k // 4)`; table 127 - t is table t with the outcomes swapped.
    """
    steps = np.arange(TABLES // 2)
    likely = np.array(_EIGHTHS, dtype=np.int64)[steps % 4] << (steps // 4)
    upper = np.stack([np.full_like(likely, 1 << 16), likely], axis=1)
    return np.concatenate([upper[::-1, ::-1], upper])


@cache
def odds_tables() -> Tables:
    """The tables of `odds_counts` for the range coder."""
    return Tables(odds_counts())


@cache
def odds_costs() -> NDArray[np.float64]:
    """(TABLES, 2) bits that an outcome costs."""
    costs = np.log2(TOTAL) - np.log2(frequencies(odds_counts()))
    costs.flags.writeable = False
    return costs


def counted_table(zeros: int, ones: int) -> int:
    """Table for positive counts of the two outcomes: the one whose step holds their log-odds, log2(ones / zeros)."""
    if ones < zeros:
        return TABLES - 1 - counted_table(ones, zeros)
    # The floor of 4 log2 of the ratio, without a logarithm.
    steps = (ones**4 // zeros**4).bit_length() - 1
    return TABLES // 2 + min(steps, TABLES // 2 - 1)


@dataclass(frozen=True, eq=False)
class Layer:
    """One matrix product with the shift behind it."""

    weights: NDArray[np.int8]
    """(G, O, I). G > 1 only in the first layer: one matrix for each group of contexts."""
    biases: NDArray[np.int32]
    """(G, O)."""
    shift: int
    """The sum is divided by 2**shift and rounded down. Rounding to nearest is a bias of 2**(shift - 1)."""


class ContextNet:
    """A multi-layer perceptron in integers.

    Parameters
    ----------
    layers : the first may have several groups, the others have one; inputs and outputs must fit together.
    limit : largest magnitude of an input.

    Raises FormatError where shapes do not fit together or a sum could leave the range that float32 holds exactly.
    """

    def __init__(self, layers: Sequence[Layer], *, limit: int = 1) -> None:
        if not 1 <= len(layers) <= MAX_LAYERS or not 1 <= limit <= LARGEST_ACTIVATION:
            raise FormatError(
                f"a context network has 1 to {MAX_LAYERS} layers and inputs up to {LARGEST_ACTIVATION}", hint=_HINT
            )
        width = layers[0].weights.shape[-1]
        largest = limit
        for number, layer in enumerate(layers):
            _check_layer(layer, number, width, largest)
            width, largest = layer.weights.shape[1], LARGEST_ACTIVATION
        self.limit = limit
        self.layers = tuple(layers)
        self._matrices = [layer.weights.transpose(0, 2, 1).astype(np.float32) for layer in layers]
        self._biases = [layer.biases.astype(np.float32) for layer in layers]

    @property
    def inputs(self) -> int:
        """Length of a context."""
        return self.layers[0].weights.shape[2]

    @property
    def outputs(self) -> int:
        """Number of decisions a context is good for."""
        return self.layers[-1].weights.shape[1]

    @property
    def width(self) -> int:
        """Width H of the first layer."""
        return self.layers[0].weights.shape[1]

    @property
    def groups(self) -> int:
        """Number of first layers."""
        return self.layers[0].weights.shape[0]

    def choose(self, contexts: NDArray[np.float32], group: int = 0) -> NDArray[np.intp]:
        """(N, outputs) table numbers for (N, inputs) contexts: whole numbers of magnitude up to `limit`, as float32."""
        return self.finish(self.sums(contexts, 0, group, biased=True))

    def sums(
        self, contexts: NDArray[np.float32], start: int, group: int = 0, *, biased: bool = False
    ) -> NDArray[np.float32]:
        """(N, H) what (N, K) inputs from number `start` on add to the sums of the first layer; with its biases or not.

        So that a part of the inputs that is known early is looked at in large batches.
        """
        stop = start + contexts.shape[1]
        assert 0 <= start < stop <= self.inputs
        result: NDArray[np.float32] = contexts @ self._matrices[0][group][start:stop]
        if biased:
            result += self._biases[0][group]
        return result

    def finish(self, sums: NDArray[np.float32]) -> NDArray[np.intp]:
        """(N, outputs) table numbers for (N, H) sums of the first layer, biases included; the sums are overwritten."""
        values = sums
        for number, layer in enumerate(self.layers):
            if number:
                values = values @ self._matrices[number][0]
                values += self._biases[number][0]
            # Exact: the sums are integers below 2**24, and the factor is a power of two.
            values *= np.float32(0.5**layer.shift)
            if number + 1 < len(self.layers):
                np.floor(values, out=values)
                np.clip(values, 0, LARGEST_ACTIVATION, out=values)
        np.floor(values, out=values)
        values += TABLES // 2
        np.clip(values, 0, TABLES - 1, out=values)
        return values.astype(np.intp)


def _check_layer(layer: Layer, number: int, width: int, largest: int) -> None:
    shape = layer.weights.shape
    if layer.weights.dtype != np.int8 or layer.biases.dtype != np.int32:
        raise FormatError(f"layer {number} of a context network must be int8 with int32 biases", hint=_HINT)
    if (
        len(shape) != 3
        or 0 in shape
        or shape[2] != width
        or (number and shape[0] != 1)
        or layer.weights.size > MAX_WEIGHTS
    ):
        raise FormatError(f"layer {number} of a context network cannot have the shape {shape}", hint=_HINT)
    if layer.biases.shape != shape[:2]:
        raise FormatError(
            f"layer {number} of a context network has biases of the shape {layer.biases.shape}", hint=_HINT
        )
    if not 0 <= layer.shift <= 24:
        raise FormatError(f"layer {number} of a context network shifts by {layer.shift} bits", hint=_HINT)
    reach = np.abs(layer.weights.astype(np.int64)).sum(axis=2) * largest + np.abs(layer.biases.astype(np.int64))
    if reach.max() >= EXACT:
        raise FormatError(
            f"sums in layer {number} of a context network can reach {reach.max()}, 2**24 or more", hint=_HINT
        )


def save_net(path: str | Path, net: ContextNet, about: Mapping[str, str]) -> None:
    """Write a network as .safetensors, replacing an older file; the same content gives the same bytes.

    Arrays `weights0` (I8), `biases0` (I32), ... and one metadata entry `context_net`: JSON with `version`, `limit`, the
    `shifts` and, under `about`, what the maker wants to say.
    """
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    for number, layer in enumerate(net.layers):
        arrays[f"weights{number}"] = np.ascontiguousarray(layer.weights)
        arrays[f"biases{number}"] = np.ascontiguousarray(layer.biases)
    shifts = [layer.shift for layer in net.layers]
    head = {"version": VERSION, "limit": net.limit, "shifts": shifts, "about": dict(about)}
    data = save(dict(sorted(arrays.items())), metadata={"context_net": json.dumps(head, sort_keys=True)})
    atomic_write(path, data, overwrite=True)


def load_net(path: str | Path) -> ContextNet:
    """Read a network.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a context network of this version, or its sums could leave the exact range.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        size = path.stat().st_size
        if size > 2 * MAX_WEIGHTS:
            raise FormatError(f"{path}: {size} bytes are too many for a context network", hint=_HINT)
        with safe_open(path, framework="numpy") as file:
            limit, shifts = _parse(path, file.metadata())
            expected = {f"{kind}{number}" for kind in ("weights", "biases") for number in range(len(shifts))}
            if set(file.keys()) != expected:
                raise FormatError(f"{path}: a context network of {len(shifts)} layers has other arrays", hint=_HINT)
            layers = [
                Layer(file.get_tensor(f"weights{number}"), file.get_tensor(f"biases{number}"), shift)
                for number, shift in enumerate(shifts)
            ]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint="install squeeze3d again") from error
    except (SafetensorError, TypeError) as error:
        raise FormatError(f"{path}: not a .safetensors file ({error})", hint=_HINT) from error
    try:
        return ContextNet(layers, limit=limit)
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", hint=error.hint) from None


def _parse(path: Path, metadata: Mapping[str, str] | None) -> tuple[int, list[int]]:
    try:
        head = json.loads((metadata or {}).get("context_net", ""))
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise FormatError(f"{path}: not a context network of version {VERSION}", hint=_HINT)
    limit, shifts = head.get("limit"), head.get("shifts")
    if not isinstance(shifts, list) or not all(type(shift) is int for shift in shifts):
        raise FormatError(f"{path}: the shifts of the context network are malformed", hint=_HINT)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= len(shifts) <= MAX_LAYERS:
        raise FormatError(f"{path}: the metadata of the context network is malformed", hint=_HINT)
    return limit, shifts


def decisions(alphabet: int) -> int:
    """Number of decisions of a cascade over an odd number of symbols."""
    if alphabet < 3 or alphabet % 2 == 0:
        raise ValueError("a cascade has an odd number of symbols, 3 at least")
    return alphabet - 1


def encode_cascade(
    encoder: SymbolEncoder, symbols: NDArray[np.integer], tables: NDArray[np.intp], alphabet: int
) -> None:
    """Append (N,) symbols in [0, alphabet) as binary decisions whose tables are (N, at least alphabet - 1).

    With m the middle symbol and v = symbol - m: decision 0 is v != 0; for those, decision 1 is v > 0; then for
    j = 1, 2 ... m - 1, decision 2 j of the symbols with v >= j is v > j, and decision 2 j + 1 of the symbols with
    v <= -j is v < -j. Each decision is coded for all its symbols before the next one begins. The decisions of a
    smaller alphabet are the first of a larger one, so one network can serve several.
    """
    values = np.asarray(symbols, dtype=np.int64) - alphabet // 2
    for decision, chosen, outcome in _cascade(values, alphabet):
        encoder.encode(outcome.astype(np.int64), odds_tables(), tables[chosen, decision])


def decode_cascade(decoder: SymbolDecoder, tables: NDArray[np.intp], alphabet: int) -> NDArray[np.int64]:
    """Next symbols, one for each row of `tables`; inverse of `encode_cascade`.

    Hostile streams give symbols inside the alphabet or raise FormatError.
    """
    decisions(alphabet)

    def read(chosen: NDArray[np.intp], decision: int) -> NDArray[np.bool_]:
        return decoder.decode(len(chosen), odds_tables(), tables[chosen, decision]).astype(bool)

    values = np.zeros(len(tables), dtype=np.int64)
    open_ = np.arange(len(tables))
    open_ = open_[read(open_, 0)]
    positive = read(open_, 1)
    values[open_] = np.where(positive, 1, -1)
    sides = [open_[positive], open_[~positive]]
    for magnitude in range(1, alphabet // 2):
        for side, sign in enumerate((1, -1)):
            sides[side] = sides[side][read(sides[side], 2 * magnitude + side)]
            values[sides[side]] = sign * (magnitude + 1)
    return values + alphabet // 2


def cascade_bits(symbols: NDArray[np.integer], tables: NDArray[np.intp], alphabet: int) -> NDArray[np.float64]:
    """(N,) bits of symbols that `encode_cascade` would write."""
    values = np.asarray(symbols, dtype=np.int64) - alphabet // 2
    bits = np.zeros(len(values))
    for decision, chosen, outcome in _cascade(values, alphabet):
        bits[chosen] += odds_costs()[tables[chosen, decision], outcome.astype(np.intp)]
    return bits


def _cascade(values: NDArray[np.int64], alphabet: int) -> list[tuple[int, NDArray[np.intp], NDArray[np.bool_]]]:
    """Decision number, symbols it is asked of, outcomes; `values` are centred on 0."""
    decisions(alphabet)
    everyone = np.arange(len(values))
    result = [(0, everyone, values != 0)]
    chosen = np.flatnonzero(values)
    result.append((1, chosen, values[chosen] > 0))
    for magnitude in range(1, alphabet // 2):
        for side, sign in enumerate((1, -1)):
            chosen = np.flatnonzero(sign * values >= magnitude)
            result.append((2 * magnitude + side, chosen, sign * values[chosen] > magnitude))
    return result
