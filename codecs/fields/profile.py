"""Opacity as a function of the distance from the border of the solid.

```text
opacity  A ┤ ▁▁▁▁▁▁▁╲            knots inside: at 1, √2, √3, 2 … cells from the nearest cell that is not in the solid
           │         ╲           knots outside: at as many cells from the nearest cell of the solid
         0 ┤          ╲▁▁▁▁      between them: a line; behind the last knot inside: constant; behind the last one
           └──┬──┬─┬─┬─┬─┬──┬─   outside: to 0 at the next distance
            inside   │   outside     coarse grids: three more knots in the middle, where distances are interpolated
```

Soft borders of any kind are told by a handful of numbers, and the grid of the solid by its structure. Values are stored
as roots of their part of the peak A: the eye tells 0.01 from 0.02, but not 0.91 from 0.92.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.fields.light import OPAQUE
from squeeze3d.errors import FormatError

SQUARES = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16)
"""Squared distances up to 4 cells that occur on a grid. Part of the format."""
DEPTHS = (5, 7, 10)
"""Bits of a value. Part of the format."""
PEAK_STEPS = 128
"""Steps of the peak for each doubling. Part of the format."""
MIDDLE = (-0.25, 0.0, 0.25)
"""Signed distances of the knots in the middle. Part of the format."""
PEAK_BITS, DEPTH_BITS, COUNT_BITS = 11, 2, 4
SLACK = 0.02
"""Part of the least error that each end of a profile may add by being short."""
_LARGEST_OPACITY = 1 - 2.0**-12
"""Opacities are limited to this: the density of more would be infinite."""


def positions(count: int) -> NDArray[np.float64]:
    """(count,) signed distances of the first knots from the border between cells."""
    return np.sqrt(np.array(SQUARES[:count], dtype=np.float64)) - 0.5


def signed_distances(squares: NDArray[np.int32]) -> NDArray[np.float32]:
    """Distances from the border between cells, negative inside, at most those of the knots."""
    size = np.sqrt(np.minimum(np.abs(squares), SQUARES[-1] + 1).astype(np.float32)) - np.float32(0.5)
    return np.where(squares < 0, -size, size)


@dataclass(frozen=True)
class Profile:
    """A profile in the numbers of the file."""

    peak: int
    """-log2 of the peak opacity A in steps of 1 / 128."""
    depth: int
    """Number in `DEPTHS`: how fine the values are."""
    inside: tuple[int, ...]
    """Values at the knots inside, from the border on; at least one."""
    outside: tuple[int, ...]
    """Values at the knots outside, from the border on."""
    middle: tuple[int, ...] = ()
    """Values at the knots in the middle, from the inside on; none where all cells of a field are coded."""

    @property
    def largest(self) -> float:
        """The peak opacity A."""
        return float(2.0 ** (-self.peak / PEAK_STEPS))

    @property
    def unit(self) -> int:
        """Opacity A in units of which OPAQUE is 1; an integer on every machine."""
        octave, part = divmod(self.peak, PEAK_STEPS)
        # 2**(-part / 128) in 30 bits, from roots that are integers themselves.
        value = 1 << 30
        for bit, factor in enumerate(_ROOTS):
            if part >> (len(_ROOTS) - 1 - bit) & 1:
                value = value * factor >> 30
        return max(1, value >> 6 + octave)

    def table(self) -> NDArray[np.int64]:
        """(2, 17) opacities of squared distances 0 to 16, inside and outside, 0 to OPAQUE: integers."""
        result = np.zeros((2, SQUARES[-1] + 1), dtype=np.int64)
        for side, values in enumerate((self.inside, self.outside)):
            for square, value in zip(SQUARES, values, strict=False):
                result[side, square] = self._opacity(value)
        last = SQUARES[len(self.inside) - 1]
        result[0, last + 1 :] = result[0, last]
        return result

    def _opacity(self, value: int) -> int:
        most = (1 << DEPTHS[self.depth]) - 1
        return self.unit * value * value // (most * most)

    def opacities(self, squares: NDArray[np.int32]) -> NDArray[np.int64]:
        """Opacities of cells, 0 to OPAQUE, from signed squared distances: integers."""
        table = self.table()
        outside = np.append(table[1], 0)
        inside = np.append(table[0], table[0, -1])
        size = np.minimum(np.abs(squares), SQUARES[-1] + 1)
        return np.where(squares < 0, inside[size], outside[size])

    def at(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Opacities, 0 to 1, at signed distances of any place."""
        middle = MIDDLE if self.middle else ()
        knots = np.concatenate([-positions(len(self.inside))[::-1], middle, positions(len(self.outside) + 1)])
        values = [self._opacity(value) / OPAQUE for value in (*self.inside[::-1], *self.middle, *self.outside)]
        result: NDArray[np.float32] = np.interp(distances, knots, [*values, 0.0]).astype(np.float32)
        return np.minimum(result, np.float32(_LARGEST_OPACITY))

    def write(self, encoder: SymbolEncoder) -> None:
        """Append the profile."""
        encoder.encode_raw([self.peak], PEAK_BITS)
        encoder.encode_raw([self.depth], DEPTH_BITS)
        encoder.encode_raw([len(self.inside), len(self.outside)], COUNT_BITS)
        encoder.encode_raw([*self.inside, *self.outside, *self.middle], DEPTHS[self.depth])

    @classmethod
    def read(cls, decoder: SymbolDecoder, *, coarse: bool) -> Profile:
        """Next profile, with a middle if the grid is coarse. Raises FormatError for numbers that make none."""
        peak = int(decoder.decode_raw(1, PEAK_BITS)[0])
        depth = int(decoder.decode_raw(1, DEPTH_BITS)[0])
        inside, outside = decoder.decode_raw(2, COUNT_BITS).tolist()
        if depth >= len(DEPTHS) or not 1 <= inside <= len(SQUARES) or outside >= len(SQUARES):
            raise FormatError(
                f"a profile of {inside} and {outside} knots in depth {depth} cannot be", hint="the file is damaged"
            )
        values = decoder.decode_raw(inside + outside + len(MIDDLE) * coarse, DEPTHS[depth]).tolist()
        both = inside + outside
        return cls(peak, depth, tuple(values[:inside]), tuple(values[inside:both]), tuple(values[both:]))


def _roots() -> tuple[int, ...]:
    """2**(-1/2), 2**(-1/4) … 2**(-1/128) in 30 bits."""
    result, value = [], 1 << 29
    for _ in range(PEAK_STEPS.bit_length() - 1):
        value = math.isqrt(value << 30)
        result.append(value)
    return tuple(result)


_ROOTS = _roots()


def fit_profile(
    distances: NDArray[np.float32],
    opacity: NDArray[np.float32],
    weights: NDArray[np.float32],
    depth: int,
    *,
    coarse: bool,
) -> Profile:
    """The profile closest to (N,) opacities at (N,) signed distances, with no more knots than that takes: weighted
    least squares of the values at the knots.
    """
    count = len(SQUARES) - 1
    middle = MIDDLE if coarse else ()
    knots = np.concatenate([-positions(count)[::-1], middle, positions(count + 1)])
    fit = _Fit(knots, distances, opacity, weights)
    # Each end is shortened while the other is whole; then both may cost the slack.
    whole = fit.error(fit.values(0, 0))
    allowed = whole + SLACK * max(whole, 0.0)
    inner = next(k for k in range(count - 1, -1, -1) if fit.error(fit.values(k, 0)) <= allowed)
    outer = next(k for k in range(count, -1, -1) if fit.error(fit.values(0, k)) <= allowed)
    values = np.clip(fit.values(inner, outer), 0, 1)
    peak = round(-math.log2(min(max(float(values.max()), 2.0**-15), 1.0)) * PEAK_STEPS)
    most = (1 << DEPTHS[depth]) - 1
    scaled = np.rint(np.sqrt(values / 2.0 ** (-peak / PEAK_STEPS)) * most)
    parts = np.clip(scaled, 0, most).astype(int).tolist()
    inside, outside = parts[inner:count][::-1], parts[count + len(middle) : len(parts) - outer]
    while outside and outside[-1] == 0:
        outside.pop()
    return Profile(peak, depth, tuple(inside), tuple(outside), tuple(parts[count : count + len(middle)]))


class _Fit:
    """Weighted least squares of values at K + 1 knots, the last of which is 0."""

    def __init__(
        self,
        knots: NDArray[np.float64],
        distances: NDArray[np.float32],
        opacity: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        low = np.clip(np.searchsorted(knots, distances, side="right") - 1, 0, len(knots) - 2)
        part = np.clip((distances - knots[low]) / (knots[low + 1] - knots[low]), 0, 1)
        size = len(knots)
        normal = np.zeros((size, size))
        right = np.zeros(size)
        for first, share in ((low, 1 - part), (low + 1, part)):
            right += np.bincount(first, weights * share * opacity, size)
            for second, other in ((low, 1 - part), (low + 1, part)):
                sums = np.bincount(first * size + second, weights * share * other, size * size)
                normal += sums.reshape(size, size)
        # A little smoothing along the knots keeps those in place that no cell is near.
        steady = 1e-6 * max(float(np.trace(normal)), 1e-12)
        bend = np.diff(np.eye(size), axis=0)
        self._normal = (normal + steady * bend.T @ bend)[:-1, :-1]
        self._right = right[:-1]
        self._square = float((weights.astype(np.float64) * opacity * opacity).sum())

    def values(self, inner: int, outer: int) -> NDArray[np.float64]:
        """(K,) best values where the first `inner` ones are equal to the next and the last `outer` ones are 0."""
        size = len(self._right)
        free = np.zeros((size, size - inner - outer))
        free[np.arange(size - outer), np.maximum(np.arange(size - outer) - inner, 0)] = 1
        result: NDArray[np.float64] = free @ np.linalg.solve(free.T @ self._normal @ free, free.T @ self._right)
        return result

    def error(self, values: NDArray[np.float64]) -> float:
        """Sum of weighted squared errors of (K,) values."""
        return float(values @ self._normal @ values - 2 * self._right @ values) + self._square
