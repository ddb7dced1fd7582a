"""How fine each attribute of each splat is. Integers alone: what they decide decides how bits are read.

The error of a picture grows with the square of an error of a splat times the area it covers and the square of its
opacity. So the step of a splat's shape and colour is inversely proportional to the square root of area and to opacity,
within bounds; half octaves of that are the *class* of a splat.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

UNIT = 16
"""Units in which attributes are held, to a step of class 0. Part of the format."""
CLASSES = 6
"""Classes run from -CLASSES to CLASSES. Part of the format."""
CLASS_STEPS = np.array([128, 91, 64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2], dtype=np.int64)
"""Step of each class in units. Part of the format."""
FINEST = 48
_ROOTS = (1.0, 0.8408964152537145, 0.7071067811865476, 0.5946035575013605)


def step_size(fineness: int) -> float:
    """2 ** (-fineness / 4), for 0 to FINEST."""
    octave, part = divmod(fineness, len(_ROOTS))
    return _ROOTS[part] / (1 << octave)


def _quarter_octaves() -> NDArray[np.int64]:
    """Smallest integers whose binary logarithm is at least i / 4, for i = 0 to 4 * 24."""
    roots = []
    for i in range(4 * 24 + 1):
        # The fourth root of 2 ** i, rounded up.
        root = math.isqrt(math.isqrt(1 << i))
        while root**4 < 1 << i:
            root += 1
        roots.append(root)
    return np.array(roots, dtype=np.int64)


_THRESHOLDS = _quarter_octaves()


def quarter_octaves(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(4 log2 v) of values of 1 to 2**24 - 1; smaller ones count as 1."""
    found: NDArray[np.int64] = np.searchsorted(_THRESHOLDS, np.maximum(values, 1), side="right") - 1
    return found


def size_classes(opacities: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) half octaves of opacity times the largest deviation, from levels of opacity and units of its root."""
    return (quarter_octaves(opacities) + 2 * quarter_octaves(np.maximum(sizes, UNIT // 2))) >> 1


def ratio_classes(ratios: NDArray[np.int64], fineness: int) -> NDArray[np.int64]:
    """(N,) half octaves that a second deviation smaller by a ratio takes off, from ratios in units of a fineness."""
    # exp(-r / 2) in half octaves is r / ln 2; ln 2 as a fraction, so that rounding is the same everywhere.
    scale = Fraction(step_size(fineness)) / UNIT * Fraction(*_PER_LN2)
    return ratios * round(scale * (1 << 24)) >> 24


_PER_LN2 = (14426950409, 10000000000)


def steps_of(classes: NDArray[np.int64], reference: int) -> NDArray[np.int64]:
    """(N,) steps in units of splats of some classes, given the class that has a step of UNIT."""
    return CLASS_STEPS[np.clip(classes - reference, -CLASSES, CLASSES) + CLASSES]


def turn_bits(
    classes: NDArray[np.int64], reference: int, ratios: NDArray[np.int64], shape: int, turn: int
) -> NDArray[np.int64]:
    """(N,) bits for the angle of the longest axis around the shortest.

    An error of an angle counts as much as the ellipse is long: sinh of the ratio's logarithm.

    Parameters
    ----------
    ratios : (N,) logarithms of the first deviation over the second, in units of the fineness `shape`.
    turn : fineness of angles.
    """
    quarters = ratios * round(Fraction(step_size(shape)) / UNIT * 4 * (1 << 24)) >> 24
    long = _LENGTHS[np.clip(quarters, 0, len(_LENGTHS) - 1)]
    halves = (turn >> 1) + _HALF_TURN + np.clip(classes - reference, -CLASSES, CLASSES) + long
    return np.where(ratios > 0, np.clip(halves >> 1, 0, MAX_TURN_BITS), 0)


MAX_TURN_BITS = 7
_HALF_TURN = 3
"""Half octaves of the angle pi."""
_LENGTHS = np.array([-4, -1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9], dtype=np.int64)
"""Half octaves of 2 sinh of 1/8, 3/8, 5/8 ... Part of the format."""
