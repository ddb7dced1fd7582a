"""Tables for standard-normal coefficients, computed with integers alone.

A code model made without training codes must be the same on every machine and in every version, since files depend on
its counts. Floating-point exponentials differ in their last bit between C libraries, and a count is a rounded one. So
the normal density is summed in fixed point: exp(-h**2) once by its Taylor series, then only products of integers.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

STEPS = (
    Fraction(2),
    Fraction(3, 2),
    Fraction(1),
    Fraction(1, 2),
    Fraction(1, 4),
    Fraction(1, 8),
    Fraction(1, 16),
)
"""Steps of the standard model in standard deviations, coarsest first: about 1, 1.5, 2, 3, 4, 5, 6 bits a number."""
LIMIT = 127
"""Largest magnitude with a symbol of its own: 7.9 standard deviations at the finest step."""

_PRECISION = 160
_PARTS = 64


def widened(step: Fraction) -> Fraction:
    """Width of the cells that rate-distortion-optimised rounding makes of a step, in standard deviations.

    A symbol s + 1 of a normal coefficient costs step**2 (s + 1/2) / ln 2 bits more than s. Priced with
    lambda = ln(2) / 6, that moves the threshold between them from s + 1/2 to (s + 1/2) (1 + step**2 / 12) steps.
    """
    return step * (1 + step * step / 12)


def normal_counts(step: Fraction, limit: int = LIMIT) -> NDArray[np.uint16]:
    """(2 * limit + 2,) counts of round(x / step) for x ~ N(0, 1): -limit ... limit, then ESCAPE.

    The density is summed at the centres of `_PARTS` equal parts of each cell. Exact integer arithmetic: part of the
    format.
    """
    h = step / _PARTS
    # The centres are (i + 1/2) h. From one to the next the density falls by exp(-h^2 (i + 1)).
    density = _exponential(h * h / 8)
    fall = _exponential(h * h)
    ratio = fall
    densities = []
    for _ in range(_PARTS // 2 + limit * _PARTS):
        densities.append(density)
        density = density * ratio >> _PRECISION
        ratio = ratio * fall >> _PRECISION
    weights = [2 * sum(densities[: _PARTS // 2])]
    weights += [sum(densities[start : start + _PARTS]) for start in range(_PARTS // 2, len(densities), _PARTS)]
    total = weights[0] + 2 * sum(weights[1:])
    counts = [weight * 65535 // total for weight in weights]
    return np.array([*counts[:0:-1], *counts, 1], dtype=np.uint16)


def _exponential(x: Fraction) -> int:
    """exp(-x) in fixed point, for 0 <= x <= 4."""
    term = total = 1 << (_PRECISION + 32)
    for n in range(1, 200):
        term = -term * x.numerator // (x.denominator * n)
        total += term
    return total >> 32
