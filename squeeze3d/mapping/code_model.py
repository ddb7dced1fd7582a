"""`CodeModel`: a mapping network's code as integer symbols with integer tables, and back.

```text
z ─► standardise ─► - mean ─► analysis ─► / gain ─► / step ─► choose ─► symbols ─► tables ─► bytes
ẑ ◄──────────────── + mean ◄─ synthesis ◄─ * gain ◄─ * step ◄────────── symbols ◄─ tables ◄─┘
```

The paper counts its codes as fp32 numbers (arXiv 2506.07932, section 4). Here a number takes 2 to 4 bits: the code is
decorrelated, quantised in the metric of the generator's latent, and entropy-coded. What is lost is the rounding; the
rate index picks how much, 0 is the coarsest.

`standardise`: the reverse half of a residual MLP starts with a LayerNorm, which ignores shift and scale of the code.
Then (z - mean(z)) / sqrt(var(z) + 1e-5) means the same and needs no range in the file.

`gain`: where the scale of the codes is unknown and matters, the root mean square of the coefficients goes along,
rounded to eighths of an octave, in one byte. It is the last symbol.

`analysis` and `synthesis` are linear and optional; `squeeze3d.mapping.code_fit` finds them. Only integers decide how
bits are read. Float arithmetic starts behind the symbols, in a fixed order of IEEE operations, so that machines agree.

NumPy only: neither decoding nor encoding a code needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.bitstream.entropy import MAX_ALPHABET, SymbolDecoder, SymbolEncoder, Tables
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping import code_standard, code_storage
from squeeze3d.mapping.code_tables import (
    MAX_SHIFT,
    MAX_SYMBOL,
    choose,
    costs_of,
    decode_symbols,
    encode_symbols,
    price,
)

EPSILON = 1e-5
"""Added to the variance, as LayerNorm does."""
GAIN_BITS = 8
"""Raw bits of a gain. Part of the format."""
GAIN_ZERO = 128
"""What stands for a gain of 1, 16 octaves above the smallest. Part of the format."""
MAX_SIZE = 1 << 20
MAX_RATES = 64
MAX_TABLES = 256

_EIGHTHS = (
    1.0,
    1.0905077326652577,
    1.189207115002721,
    1.2968395546510096,
    1.4142135623730951,
    1.5422108254079408,
    1.681792830507429,
    1.8340080864093424,
)
"""2 ** (i / 8)."""
_LARGEST = 1e12
"""Bound on every float of a model: sums over any code stay finite in float64."""


@dataclass(frozen=True, eq=False)
class CodeModel:
    """How the codes of one mapping network are written. All arrays are read-only by convention.

    Sizes: d numbers in a code, k <= d coefficients, n = k symbols (k + 1 with a gain), R rates, T tables of K = 2 m + 2
    entries.

    Raises ValueError for arrays that contradict each other or are out of range.
    """

    standardise: bool
    """Whether the decoder ignores shift and scale of the code."""
    mean: NDArray[np.float32]
    """(d,) subtracted first."""
    analysis: NDArray[np.float16] | NDArray[np.float32] | None
    """(k, d) coefficients of a centred code; None: the identity. Decoders do not use it."""
    synthesis: NDArray[np.float16] | NDArray[np.float32] | None
    """(d, k) centred code of coefficients; None: the identity."""
    steps: NDArray[np.float32]
    """(R, k) quantiser steps; R = 0 does not exist."""
    rows: NDArray[np.int16]
    """(R, k) table of each coefficient, or -1 for one that is always zero and costs nothing."""
    shifts: NDArray[np.uint8]
    """(R, k) low bits of each symbol that are sent raw."""
    counts: NDArray[np.uint16]
    """(T, K) integer tables over -m ... m and ESCAPE."""
    lengths: NDArray[np.float32]
    """(R, 2) mean and standard deviation of the code length over codes like those of training, in bits."""
    gain: bool = False
    """Whether each code brings its own scale."""

    def __post_init__(self) -> None:
        _validate(self)

    @classmethod
    def standard(cls, size: int, standardise: bool = True) -> CodeModel:
        """Model for codes of which nothing is known: numbers like those of a normal distribution with mean 0.

        Serves published mapping networks, which come without codes to learn from. Seven rates, about 1, 1.5, 2, 3, 4,
        5 and 6 bits a number; the error is step**2 / 12 of the variance at the finer ones. The scale is 1 where the
        model standardises, and sent as a gain where it does not. The tables come from integer arithmetic
        (`code_standard`) and are part of the format.
        """
        counts = np.stack([code_standard.normal_counts(code_standard.widened(s)) for s in code_standard.STEPS])
        numbers = np.array([float(step) for step in code_standard.STEPS])
        rates = len(numbers)
        # Mean and variance of one number's length, by integration over the normal density.
        grid = np.linspace(-8, 8, 8001)
        density = np.exp(-(grid**2) / 2)
        density /= density.sum()
        costs = costs_of(counts)
        lengths = np.empty((rates, 2))
        for rate, step in enumerate(numbers):
            row = np.full(len(grid), rate)
            values = grid / step
            bits = price(costs, choose(costs, values, row, np.zeros_like(row), 1.0), row, np.zeros_like(row))
            average = float(density @ bits)
            lengths[rate] = (
                size * average + (0 if standardise else GAIN_BITS),
                (size * float(density @ (bits - average) ** 2)) ** 0.5,
            )
        return cls(
            standardise=standardise,
            mean=np.zeros(size, dtype=np.float32),
            analysis=None,
            synthesis=None,
            steps=np.repeat(numbers[:, None], size, axis=1).astype(np.float32),
            rows=np.repeat(np.arange(rates, dtype=np.int16)[:, None], size, axis=1),
            shifts=np.zeros((rates, size), dtype=np.uint8),
            counts=counts,
            lengths=lengths.astype(np.float32),
            gain=not standardise,
        )

    @property
    def size(self) -> int:
        """Numbers d in a code."""
        return len(self.mean)

    @property
    def coefficients(self) -> int:
        """Coefficients k of a code."""
        return self.steps.shape[1]

    @property
    def symbols(self) -> int:
        """Symbols n of a code, those that cost nothing included."""
        return self.coefficients + self.gain

    @property
    def rates(self) -> int:
        """Number of rates R."""
        return len(self.steps)

    def analyse(self, codes: ArrayLike) -> NDArray[np.float64]:
        """(..., k) coefficients of (..., d) codes."""
        values = np.asarray(codes, dtype=np.float64)
        if values.ndim == 0 or values.shape[-1] != self.size:
            raise InputError(
                f"a code of shape {values.shape} does not fit a code model for {self.size} numbers",
                hint="use the code model of the same mapping network",
            )
        if not np.isfinite(values).all():
            raise InputError(
                "the code of the asset is not finite", hint="the mapping network fails on this asset; try another codec"
            )
        if self.standardise:
            values = standardised(values)
        values = values - self.mean
        return values if self.analysis is None else values @ self._analysis.T

    def synthesise(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """(d,) code of (k,) coefficients.

        Plain products and sums in the order of the coefficients: the same bits on every machine with IEEE arithmetic.
        """
        code = self.mean.astype(np.float64)
        if self.synthesis is None:
            return code + coefficients
        # A matrix product would be summed in an order that depends on the machine.
        for j in np.flatnonzero(coefficients):
            code += self._synthesis[:, j] * coefficients[j]
        return code

    def quantise(self, code: ArrayLike, rate: int, *, weight: float = 1.0, rdo: bool = True) -> NDArray[np.int32]:
        """(n,) symbols of a (d,) code.

        `weight` scales the price of a bit, see `code_tables.choose`: 1 is right for a code as it comes, more saves
        bits at a larger error. `rdo=False` rounds to nearest.

        Raises InputError for codes of another size, with NaN or infinity, or so large that symbols leave
        +-(2**30 - 1).
        """
        self._check(rate)
        values = self.analyse(code)
        if values.ndim != 1:
            raise InputError("only one code can be quantised at a time", hint="pass an array of one dimension")
        gain = 1.0
        symbols = np.zeros(self.symbols, dtype=np.int32)
        if self.gain:
            symbols[-1] = _nearest_gain(values)
            gain = _gain(int(symbols[-1]))
        live = self._live[rate]
        values = values[live] / gain / self.steps[rate, live]
        if len(values) and np.abs(values).max() > MAX_SYMBOL - 1:
            raise InputError(
                "the code of the asset is out of range",
                hint="the mapping network fails on this asset; try another codec",
            )
        symbols[live] = choose(self.costs, values, *self._context(rate), weight if rdo else 0.0)
        return symbols

    def dequantise(self, symbols: ArrayLike, rate: int) -> NDArray[np.float32]:
        """(d,) code of (n,) symbols, up to shift and scale where the model standardises.

        Symbols that `decode` returns give a finite code or raise FormatError.
        """
        values = self.synthesise(self.coefficient_values(symbols, rate))
        if np.abs(values).max() > np.finfo(np.float32).max:
            raise FormatError("the code is out of range", hint="the file is damaged")
        return values.astype(np.float32)

    def coefficient_values(self, symbols: ArrayLike, rate: int) -> NDArray[np.float64]:
        """(k,) coefficients that (n,) symbols stand for; what `analyse` made, rounded."""
        self._check(rate)
        array, gain = self._parted(symbols)
        values = array * self.steps[rate].astype(np.float64)
        return values if gain is None else values * _gain(gain)

    def noise(self, random: np.random.Generator, rate: int) -> NDArray[np.float32]:
        """(d,) error as rounding makes it: uniform over each coefficient's step, in the units that `analyse` works in
        behind the standardisation. For training and refinement, where rounding itself has no gradient.
        """
        self._check(rate)
        drawn = random.uniform(-0.5, 0.5, self.coefficients) * self.steps[rate]
        error = drawn if self.synthesis is None else self._synthesis @ np.where(self.rows[rate] >= 0, drawn, 0.0)
        return error.astype(np.float32)

    def encode(self, encoder: SymbolEncoder, symbols: ArrayLike, rate: int) -> None:
        """Append (n,) symbols to a stream. Raises ValueError for a coefficient that is always zero and is not."""
        self._check(rate)
        array, gain = self._parted(symbols)
        live = self._live[rate]
        if np.count_nonzero(array) != np.count_nonzero(array[live]):
            raise ValueError("a symbol without a table must be zero")
        encode_symbols(encoder, array[live], self.tables, *self._context(rate))
        if gain is not None:
            encoder.encode_raw([gain + GAIN_ZERO], GAIN_BITS)

    def decode(self, decoder: SymbolDecoder, rate: int) -> NDArray[np.int32]:
        """Next (n,) symbols of a stream. Work and memory depend on the model alone.

        Raises FormatError for a stream that is no range code, or holds a symbol out of range.
        """
        self._check(rate)
        symbols = np.zeros(self.symbols, dtype=np.int32)
        symbols[self._live[rate]] = decode_symbols(decoder, self.tables, *self._context(rate))
        if self.gain:
            symbols[-1] = int(decoder.decode_raw(1, GAIN_BITS)[0]) - GAIN_ZERO
        return symbols

    def bits(self, symbols: ArrayLike, rate: int) -> float:
        """Ideal length of the symbols. A stream of nothing else takes at most 3 bytes more, its hash included."""
        self._check(rate)
        array, gain = self._parted(symbols)
        bits = float(price(self.costs, array[self._live[rate]], *self._context(rate)).sum())
        return bits if gain is None else bits + GAIN_BITS

    def surprise(self, symbols: ArrayLike, rate: int) -> float:
        """How many standard deviations the code's length lies above the mean of codes like those of training.

        Above about 6 the asset is unlike everything the mapping network has seen.
        """
        mean, deviation = (float(x) for x in self.lengths[rate])
        return (self.bits(symbols, rate) - mean) / deviation

    def save(self, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write a .safetensors file (`code_storage` describes it), replacing an older one."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        code_storage.write(path, arrays, standardise=self.standardise, gain=self.gain, about=metadata or {})

    @classmethod
    def load(cls, path: str | Path) -> CodeModel:
        """Read a file. Raises InputError if it cannot be opened, FormatError if it is not a valid code model."""
        stored = code_storage.read(path)
        try:
            arrays: Any = {name: stored.arrays.get(name) for name in _ARRAYS}
            return cls(standardise=stored.standardise, gain=stored.gain, **arrays)
        except ValueError as error:
            raise FormatError(f"{path}: {error}", hint="get the file again: `sq3d models pull`") from error

    @cached_property
    def tables(self) -> Tables:
        """The bank of tables, as the range coder takes it."""
        return Tables(self.counts)

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """(T, K) bits of each symbol."""
        return costs_of(self.counts)

    @cached_property
    def _live(self) -> list[NDArray[np.intp]]:
        return [np.flatnonzero(row >= 0) for row in self.rows]

    @cached_property
    def _analysis(self) -> NDArray[np.float64]:
        assert self.analysis is not None
        return self.analysis.astype(np.float64)

    @cached_property
    def _synthesis(self) -> NDArray[np.float64]:
        assert self.synthesis is not None
        # Columns are read one by one.
        return np.asfortranarray(self.synthesis.astype(np.float64))

    def _context(self, rate: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        live = self._live[rate]
        return self.rows[rate, live], self.shifts[rate, live]

    def _check(self, rate: int) -> None:
        if not 0 <= rate < self.rates:
            raise FormatError(
                f"rate {rate} does not exist, the code model has {self.rates}",
                hint="the file is damaged, or belongs to other model weights",
            )

    def _parted(self, symbols: ArrayLike) -> tuple[NDArray[np.int64], int | None]:
        """(k,) checked symbols of the coefficients, and the gain's."""
        array = np.asarray(symbols)
        if array.shape != (self.symbols,) or array.dtype.kind not in "ui":
            raise ValueError(f"symbols must be ({self.symbols},) integers")
        if len(array) and not -MAX_SYMBOL <= array.min() <= array.max() <= MAX_SYMBOL:
            raise ValueError("symbols must lie in +-(2**30 - 1)")
        array = array.astype(np.int64)
        if not self.gain:
            return array, None
        if not -GAIN_ZERO <= array[-1] < GAIN_ZERO:
            raise ValueError(f"the symbol of the gain must lie in [-{GAIN_ZERO}, {GAIN_ZERO})")
        return array[:-1], int(array[-1])


def standardised(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., d) codes with mean 0 and variance 1 each, as a LayerNorm without weights makes them."""
    centred = codes - codes.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)


def _gain(symbol: int) -> float:
    """2 ** (symbol / 8), the same on every machine."""
    return math.ldexp(_EIGHTHS[symbol & 7], symbol >> 3)


def _nearest_gain(coefficients: NDArray[np.float64]) -> int:
    scale = math.sqrt(float((coefficients**2).mean())) if len(coefficients) else 0.0
    exponent = 8 * math.log2(scale) if scale > 0 else -GAIN_ZERO
    return round(min(max(exponent, -GAIN_ZERO), GAIN_ZERO - 1))


_ARRAYS = ("mean", "analysis", "synthesis", "steps", "rows", "shifts", "counts", "lengths")


def _validate(model: CodeModel) -> None:
    """Raise ValueError unless every encoder and decoder step is defined and bounded."""
    d = _shape("mean", model.mean, 1)[0]
    rates, k = _shape("steps", model.steps, 2)
    tables, alphabet = _shape("counts", model.counts, 2)
    _require(1 <= d <= MAX_SIZE, f"a code has 1 to {MAX_SIZE} numbers, not {d}")
    _require(1 <= rates <= MAX_RATES, f"there are 1 to {MAX_RATES} rates, not {rates}")
    _require(1 <= tables <= MAX_TABLES, f"there are 1 to {MAX_TABLES} tables, not {tables}")
    _require(
        4 <= alphabet <= MAX_ALPHABET and alphabet % 2 == 0,
        f"tables have an even number of symbols from 4 to {MAX_ALPHABET}, not {alphabet}",
    )
    if model.analysis is None or model.synthesis is None:
        _require(model.analysis is model.synthesis, "`analysis` and `synthesis` come together")
        _require(k == d, f"{k} coefficients do not make a code of {d} numbers without matrices")
    else:
        _require(k <= d, f"a code of {d} numbers has no {k} coefficients")
        _require(model.analysis.shape == (k, d), f"`analysis` must have shape ({k}, {d})")
        _require(model.synthesis.shape == (d, k), f"`synthesis` must have shape ({d}, {k})")
    for name, expected in (("rows", (rates, k)), ("shifts", (rates, k)), ("lengths", (rates, 2))):
        _require(getattr(model, name).shape == expected, f"`{name}` must have shape {expected}")
    for name in ("mean", "analysis", "synthesis", "steps", "lengths"):
        array = getattr(model, name)
        # `not <=` also catches NaN.
        if array is not None and array.size and not float(np.abs(array).max()) <= _LARGEST:
            raise ValueError(f"`{name}` is not finite, or too large")
    for name in ("rows", "shifts", "counts"):
        _require(getattr(model, name).dtype.kind in "ui", f"`{name}` must hold integers")
    _require(bool((model.steps >= 1 / _LARGEST).all()), "steps must be positive")
    _require(bool((model.rows >= -1).all() and (model.rows < tables).all()), f"`rows` must lie in [-1, {tables})")
    _require(bool((model.shifts <= MAX_SHIFT).all()), f"`shifts` must not exceed {MAX_SHIFT}")
    _require(bool((model.lengths[:, 1] > 0).all()), "the code length needs a positive standard deviation")


def _shape(name: str, array: NDArray[np.generic], dimensions: int) -> tuple[int, ...]:
    _require(array.ndim == dimensions, f"`{name}` must have {dimensions} dimensions")
    return array.shape


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
