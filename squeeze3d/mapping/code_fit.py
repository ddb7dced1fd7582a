"""Learns a code model from the codes of training assets.

```text
codes ─► standardise ─► basis (folds) ─► coefficients of codes the basis has not seen ─► steps ─► tables, code lengths
                    └─► basis (all) ─► analysis, synthesis
```

A basis fits the codes it was made from: their coefficients look smaller in the weak directions than those of new
codes. So steps, tables and code lengths are learnt from coefficients of codes that were left out when a basis was
made, fold by fold; the basis that ships is made from all codes. The lengths in the model are thus those of new assets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.errors import InputError, UsageError
from squeeze3d.mapping.code_bank import DEAD, evaluate, learn_bank
from squeeze3d.mapping.code_basis import (
    Basis,
    checked_sensitivity,
    identity_basis,
    karhunen_loeve_basis,
    sensitivity_root,
)
from squeeze3d.mapping.code_model import MAX_RATES, MAX_TABLES, CodeModel, standardised

MIN_CODES = 16
RATES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Bits per number of the code."""

_SAMPLE = 256
"""Codes that the search for steps looks at."""
_TOLERANCE = 0.005
_SPAN = 40.0
"""log2 of the largest ratio between a step and the scale of the coefficients that the search tries."""


def fit(
    codes: ArrayLike,
    *,
    standardise: bool,
    sensitivity: ArrayLike | None = None,
    rates: Sequence[float] = RATES,
    unit: Literal["bits", "error"] = "bits",
    transform: bool = True,
    tables: int = 64,
    folds: int = 4,
    seed: int = 0,
) -> CodeModel:
    """Code model for codes like these.

    Parameters
    ----------
    codes : (N, d), one row per asset, N >= 16; more than d is better. A row per asset, not per augmented copy, or
        lengths come out too short.
    standardise : whether the decoder ignores shift and scale of a code (it starts with a LayerNorm).
    sensitivity : (d, d) mean of J^T J, J the Jacobian of the generator's latent by the code that the decoder gets (the
        standardised one, if so). None: all errors of the code weigh the same.
    rates : targets in any order, bits per number of the code (`unit="bits"`) or squared latent error relative to the
        latent's variance that codes explain (`unit="error"`), both for new codes.
    transform : whether to decorrelate; False keeps the numbers as they are, for codes too long for a d x d matrix.
    tables : largest number of tables in the bank.
    folds : in how many parts codes take turns in being left out.
    seed : which codes are in which fold. The same arguments give the same model on one machine.

    Raises
    ------
    InputError : codes or sensitivity of the wrong shape, not finite, too few.
    UsageError : rates that cannot be reached.
    """
    array = _checked(codes)
    targets = _checked_rates(rates, unit)
    if not 1 <= tables <= MAX_TABLES or folds < 2:
        raise UsageError(f"a fit needs 1 to {MAX_TABLES} tables and 2 folds or more", hint="leave out the option")
    if standardise:
        array = standardised(array)
    size = array.shape[1]
    weights = None if sensitivity is None else checked_sensitivity(np.asarray(sensitivity), size)
    root = np.eye(size if transform else 0) if weights is None or not transform else sensitivity_root(weights)

    def basis_of(chosen: NDArray[np.float64]) -> tuple[NDArray[np.float32], Basis]:
        mean = chosen.mean(axis=0).astype(np.float32)
        if not transform:
            return mean, identity_basis(size, weights)
        return mean, karhunen_loeve_basis(chosen - mean, root)

    mean, basis = basis_of(array)
    values = basis.metric(array - mean)
    if transform:
        values = _unseen(array, basis_of, values.shape[1], folds, seed)
    if (values**2).mean() <= 1e-12 * (array**2).mean():
        # Codes that are all the same differ by the rounding of their mean.
        values = np.zeros_like(values)
    rng = np.random.default_rng(seed)
    sample = values if len(values) <= _SAMPLE else values[rng.choice(len(values), _SAMPLE, replace=False)]
    steps = _find_steps(sample, targets, unit, size, transform) if values.any() else [1.0] * len(targets)
    steps.sort(reverse=True)
    if basis.analysis is not None and basis.synthesis is not None:
        # Coefficients that are zero at the finest rate need no room in the file.
        alive = np.sqrt((values**2).mean(axis=0)) >= DEAD * steps[-1]
        basis = Basis(basis.analysis[alive], basis.synthesis[:, alive], basis.scales[alive])
        values = values[:, alive]
    counts, contexts = learn_bank([values / step for step in steps], tables=tables, symmetric=transform)
    lengths = np.empty((len(steps), 2))
    for rate, (step, context) in enumerate(zip(steps, contexts, strict=True)):
        bits = evaluate(values / step, counts, context)[0]
        # A whole bit at least: a code of constant length is no reason for infinite surprise.
        lengths[rate] = bits.mean(), max(1.0, bits.std(ddof=1))
    return CodeModel(
        standardise=standardise,
        mean=mean,
        analysis=basis.analysis,
        synthesis=basis.synthesis,
        steps=(np.array(steps)[:, None] / basis.scales[None, :]).astype(np.float32),
        rows=np.array([context.rows for context in contexts]).astype(np.int16),
        shifts=np.array([context.shifts for context in contexts]).astype(np.uint8),
        counts=counts,
        lengths=lengths.astype(np.float32),
    )


@dataclass(frozen=True)
class RatePoint:
    """What one rate costs and loses, averaged over codes."""

    rate: int
    bits: float
    """Ideal bits per number of the code."""
    bytes: float
    """Length of a stream with nothing else, its hash included."""
    error: float
    """Squared error of the coefficients relative to their energy, each in its step: the latent error that the
    sensitivity predicts, relative to what the code explains."""
    surprise: float
    """Largest surprise of a code."""
    latent_error: float | None
    """What the caller's function says."""


def rate_curve(
    model: CodeModel,
    codes: ArrayLike,
    latent_error: Callable[[NDArray[np.float32]], float] | None = None,
    *,
    weight: float = 1.0,
) -> Iterator[RatePoint]:
    """Each rate of a model on (N, d) codes, coarsest first. Codes that the model has not seen give honest numbers.

    Parameters
    ----------
    latent_error : of the (N, d) codes a decoder gets.
    weight : price of a bit, see `CodeModel.quantise`.
    """
    array = _checked(codes, least=1)
    for rate in range(model.rates):
        decoded = np.empty_like(array, dtype=np.float32)
        bits = length = lost = energy = 0.0
        surprise = -math.inf
        steps = model.steps[rate].astype(np.float64)
        for number, code in enumerate(array):
            symbols = model.quantise(code, rate, weight=weight)
            decoded[number] = model.dequantise(symbols, rate)
            encoder = SymbolEncoder()
            model.encode(encoder, symbols, rate)
            bits += model.bits(symbols, rate)
            length += len(encoder.finish())
            values = model.analyse(code) / steps
            lost += float(((values - model.coefficient_values(symbols, rate) / steps) ** 2).sum())
            energy += float((values**2).sum())
            surprise = max(surprise, model.surprise(symbols, rate))
        count = len(array)
        yield RatePoint(
            rate=rate,
            bits=bits / count / model.size,
            bytes=length / count,
            error=lost / energy if energy else 0.0,
            surprise=surprise,
            latent_error=None if latent_error is None else latent_error(decoded),
        )


def _checked(codes: ArrayLike, least: int = MIN_CODES) -> NDArray[np.float64]:
    array = np.asarray(codes, dtype=np.float64)
    if array.ndim != 2 or len(array) < least or array.shape[1] == 0:
        raise InputError(
            f"codes of shape {array.shape} cannot be used: one row per asset, {least} rows at least",
            hint="encode more assets",
        )
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError(f"code {bad} is not finite", hint="leave this asset out, or train the mapping network again")
    if np.abs(array).max() > 1e9:
        raise InputError("codes are larger than 1e9", hint="scale the mapping network's code")
    return array


def _checked_rates(rates: Sequence[float], unit: str) -> list[float]:
    targets = [float(rate) for rate in rates]
    if unit not in ("bits", "error"):
        raise UsageError(f"rates in `{unit}` do not exist", hint="use bits or error")
    top = 20.0 if unit == "bits" else 1.0
    if not 1 <= len(targets) <= MAX_RATES or not all(0 < target < top for target in targets):
        raise UsageError(f"a fit needs 1 to {MAX_RATES} rates between 0 and {top:g}", hint="change the rates")
    return targets


def _unseen(
    array: NDArray[np.float64],
    basis_of: Callable[[NDArray[np.float64]], tuple[NDArray[np.float32], Basis]],
    count: int,
    folds: int,
    seed: int,
) -> NDArray[np.float64]:
    """(N, count) coefficients of each code in a basis made without it. Bases agree in rank, not in direction."""
    values = np.zeros((len(array), count))
    order = np.random.default_rng(seed).permutation(len(array))
    for fold in range(folds):
        left_out = order[fold::folds]
        mean, basis = basis_of(array[np.setdiff1d(order, left_out)])
        part = basis.metric(array[left_out] - mean)
        width = min(count, part.shape[1])
        values[left_out, :width] = part[:, :width]
    return values


def _find_steps(
    values: NDArray[np.float64], targets: list[float], unit: str, size: int, symmetric: bool
) -> list[float]:
    """Step for each target, by bisection of what coding the (N, k) coefficients costs or loses."""
    energy = float((values**2).sum())
    scale = math.log2(math.sqrt(float((values**2).mean())))

    def measure(exponent: float) -> float:
        """How far in log2 the code is too large, or too good: falls with the step."""
        scaled = values / 2.0**exponent
        counts, (context,) = learn_bank([scaled], tables=32, symmetric=symmetric)
        bits, errors = evaluate(scaled, counts, context)
        if unit == "bits":
            return math.log2(max(float(bits.mean()) / size, 1e-9) / target)
        return math.log2(target / max(float(errors.sum()) / (energy / 4.0**exponent), 1e-30))

    steps = []
    for target in targets:
        # Bracket by doubling from where the target would be for equal coefficients, then bisect and interpolate.
        guess = scale + (1.5 - target if unit == "bits" else 0.5 * math.log2(12 * target))
        lower = upper = guess
        low = high = measure(guess)
        while low < 0:
            if lower < scale - _SPAN:
                raise UsageError(f"the codes do not reach a rate of {target:g}", hint="leave out the finest rates")
            lower -= 1
            low = measure(lower)
        while high > 0:
            if upper > scale + _SPAN:
                raise UsageError(f"the codes do not reach a rate of {target:g}", hint="leave out the coarsest rates")
            upper += 1
            high = measure(upper)
        middle = lower
        for turn in range(30):
            if low - high < 1e-12 or upper - lower < 1e-4:
                break
            # Interpolation is fast, and bisection every third time is safe.
            part = 0.5 if turn % 3 == 2 else low / (low - high)
            middle = lower + (upper - lower) * part
            found = measure(middle)
            if abs(found) < _TOLERANCE:
                break
            if found > 0:
                lower, low = middle, found
            else:
                upper, high = middle, found
        steps.append(2.0**middle)
    return steps
