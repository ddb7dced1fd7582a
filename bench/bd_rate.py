"""Bjontegaard's delta rate: how many bytes more or less one codec takes than another for the same quality, on average.

```text
(bytes, quality) of each codec ─► log bytes as a piecewise cubic of quality ─► mean difference over the shared range
```

After Bjontegaard, VCEG-M33, with monotone piecewise cubics in place of one polynomial, as video coding groups do since
(JVET-H0030): one polynomial through many points swings between them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LEAST_POINTS = 2
"""Points a curve needs."""


def bd_rate(
    anchor: Iterable[tuple[float, float]],
    tested: Iterable[tuple[float, float]],
    qualities: tuple[float, float] = (-np.inf, np.inf),
) -> float:
    """Mean difference of the sizes of `tested` from those of `anchor` at equal quality in percent; negative is smaller.

    Parameters
    ----------
    anchor, tested : points (bytes, quality in dB) in any order. A point that another one beats in quality with no more
        bytes is left out, and so is one of infinite quality.
    qualities : range of qualities to look at, cut to what both curves reach.

    Raises ValueError where a curve has fewer than two points, or the curves share no range of qualities.

    Examples
    --------
    >>> round(bd_rate([(100, 30), (200, 33), (400, 36)], [(75, 30), (150, 33), (300, 36)]), 6)
    -25.0
    """
    ours, theirs = _curve(tested), _curve(anchor)
    low, high = _shared(ours, theirs)
    low, high = max(low, qualities[0]), min(high, qualities[1])
    if not low < high:
        raise ValueError("the curves share no range of qualities")
    difference = (_integral(ours, low, high) - _integral(theirs, low, high)) / (high - low)
    return float(100 * np.expm1(difference))


def shared_qualities(
    anchor: Iterable[tuple[float, float]], tested: Iterable[tuple[float, float]]
) -> tuple[float, float]:
    """Lowest and highest quality that both curves reach; the lowest is above the highest where they share none.

    A curve of fewer than two points reaches nothing.
    """
    try:
        return _shared(_curve(tested), _curve(anchor))
    except ValueError:
        return np.inf, -np.inf


def _shared(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float]:
    return float(max(ours[0, 1], theirs[0, 1])), float(min(ours[-1, 1], theirs[-1, 1]))


def _curve(points: Iterable[tuple[float, float]]) -> NDArray[np.float64]:
    """(N, 2) logarithm of the size and quality, both rising strictly."""
    rows = sorted((float(size), float(quality)) for size, quality in points if np.isfinite(quality))
    kept: list[tuple[float, float]] = []
    for size, quality in rows:
        if kept and size == kept[-1][0] and quality > kept[-1][1]:
            kept.pop()
        if not kept or quality > kept[-1][1]:
            kept.append((size, quality))
    if len(kept) < LEAST_POINTS:
        raise ValueError(f"a curve needs {LEAST_POINTS} points, each larger and better than the one before")
    curve = np.array(kept)
    curve[:, 0] = np.log(curve[:, 0])
    return curve


def _integral(curve: NDArray[np.float64], low: float, high: float) -> float:
    from scipy.interpolate import PchipInterpolator

    return float(PchipInterpolator(curve[:, 1], curve[:, 0]).integrate(low, high))
