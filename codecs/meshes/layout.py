"""Where each context lies in the tables. Part of the format, like the tables themselves.

Every decision is mixed from `INPUTS` contexts, one of each *set*. A set is a block of rows, a row has one place per
decision: `DECISIONS` for a symbol, `SLOTS` for a coordinate.
"""

from __future__ import annotations

import math

from squeeze3d.codecs.meshes.lattice import TURNS

INPUTS = 6

# Symbols: what lies on the other side of a gate.
IS_FOCUS, IS_NEW, IS_FAR, IS_BOUNDARY = range(4)
DECISIONS = 4
GAPS = TURNS + 1
"""Angle classes, and none."""
SYMBOL_SETS = (
    (GAPS, 4, 3),
    (8, 6, 3, 2),
    (GAPS, 8, 6),
    (9, 8, 3, 3),
    (GAPS, 6, 2, 5),
    (125, 2),
)
"""Shape of the rows of each set; the last index matters least, and rare rows borrow from their neighbours there."""

# Coordinates: residuals of a prediction.
UNARY = 20
"""Magnitude buckets that have a place of their own."""
ZERO, SIGN, FIRST = 0, 1, 2
SLOTS = FIRST + UNARY
SCALES = 24
KINDS = 6
"""How a vertex is predicted: between two sides as the last one, as an earlier one, from one side; as the first, second
or third corner of a start."""
COORDINATE_SETS = (
    (3, SCALES, KINDS),
    (3, SCALES, 4, 3),
    (3, 12, 6, 3),
    (3, 12, 9, 3),
    (3, 7, 7, 2, 3),
    (3, 4, TURNS, KINDS),
)


def _starts(sets: tuple[tuple[int, ...], ...], width: int, first: int) -> tuple[tuple[int, ...], int]:
    starts = []
    for shape in sets:
        starts.append(first)
        first += math.prod(shape) * width
    return tuple(starts), first


SYMBOLS, _end = _starts(SYMBOL_SETS, DECISIONS, 0)
"""First place of each set of symbols."""
COORDINATES, _end = _starts(COORDINATE_SETS, SLOTS, _end)
OFFSETS = _end
"""First place of the upper half of each bucket, `2 * UNARY`."""
STARTS = OFFSETS + 2 * UNARY
"""First place of whether a corner of a new start is known."""
RANKS = STARTS + 3
"""First place of how near a vertex seen before is: 17 for apexes, 17 for corners of starts."""
COARSE = RANKS + 34
"""First place of whether a residual lies on a coarse step."""
CONTEXTS = COARSE + 15

SYMBOL_MIXER = 0
"""First row of weights of symbols: `DECISIONS` for each of 3 stages of a fan."""
COORDINATE_MIXER = SYMBOL_MIXER + 3 * DECISIONS
"""First row of weights of coordinates: `SLOTS` for each axis and kind."""
MIXERS = COORDINATE_MIXER + 3 * KINDS * SLOTS
