"""Bjontegaard's delta rate against closed forms and a slow integral."""

from __future__ import annotations

import math

import numpy as np
import pytest

from squeeze3d.bench.bd_rate import bd_rate, shared_qualities

CURVE = [(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)]
"""Four points of a video, in the shape that such measurements have."""
OTHER = [(893.34, 40.39), (407.8, 37.21), (204.93, 34.17), (112.75, 31.24)]


def slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slopes of the monotone cubic after Fritsch and Butland, ends after Moler."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    inner = []
    for k in range(1, len(x) - 1):
        if d[k - 1] * d[k] <= 0:
            inner.append(0.0)
            continue
        first, second = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
        inner.append((first + second) / (first / d[k - 1] + second / d[k]))

    def end(h0: float, h1: float, d0: float, d1: float) -> float:
        slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        if slope * d0 <= 0:
            return 0.0
        return 3 * d0 if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0) else slope

    return np.array([end(h[0], h[1], d[0], d[1]), *inner, end(h[-1], h[-2], d[-1], d[-2])])


def slow_rate(anchor: list[tuple[float, float]], tested: list[tuple[float, float]]) -> float:
    curves = [np.array(sorted(c, key=lambda p: p[1])) for c in (anchor, tested)]
    low, high = max(c[0, 1] for c in curves), min(c[-1, 1] for c in curves)
    at = low + (np.arange(200_000) + 0.5) / 200_000 * (high - low)
    means = []
    for curve in curves:
        x, y = curve[:, 1], np.log(curve[:, 0])
        m = slopes(x, y)
        k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
        h = x[k + 1] - x[k]
        t = (at - x[k]) / h
        values = (2 * t**3 - 3 * t**2 + 1) * y[k] + (t**3 - 2 * t**2 + t) * h * m[k]
        values += (3 * t**2 - 2 * t**3) * y[k + 1] + (t**3 - t**2) * h * m[k + 1]
        means.append(values.mean())
    return 100 * math.expm1(means[1] - means[0])


def test_a_constant_ratio_is_found_exactly():
    assert bd_rate(CURVE, [(0.6 * size, quality) for size, quality in CURVE]) == pytest.approx(-40)
    assert bd_rate(CURVE, CURVE) == 0


def test_a_shift_in_quality_on_a_straight_curve_is_its_worth_in_bytes():
    straight = [(100 * 2.0**k, 30.0 + 3 * k) for k in range(5)]
    better = [(size, quality + 1.5) for size, quality in straight]
    assert bd_rate(straight, better) == pytest.approx(100 * (2**-0.5 - 1))


def test_agrees_with_a_slow_integral():
    assert bd_rate(CURVE, OTHER) == pytest.approx(slow_rate(CURVE, OTHER), abs=1e-4)
    assert bd_rate(CURVE, OTHER) == pytest.approx(31.380, abs=1e-3)


def test_swapping_the_codecs_inverts_the_ratio():
    there, back = bd_rate(CURVE, OTHER) / 100, bd_rate(OTHER, CURVE) / 100
    assert (1 + there) * (1 + back) == pytest.approx(1)


def test_order_and_useless_points_do_not_matter():
    useless = [*CURVE[::-1], (400.0, 37.0), (686.76, 39.0), (900.0, 40.28), (1000.0, math.inf)]
    assert bd_rate(useless, OTHER) == bd_rate(CURVE, OTHER)


def test_a_range_of_qualities_is_looked_at_alone():
    line = [(100 * 2.0**k, 30.0 + 3 * k) for k in range(8)]
    half = [(size * (0.7 if quality > 40 else 1.0), quality) for size, quality in line]
    assert bd_rate(line, half, (46, 51)) == pytest.approx(-30)
    assert bd_rate(line, half, (30, 36)) == pytest.approx(0, abs=1e-9)
    assert -30 < bd_rate(line, half) < 0


@pytest.mark.parametrize(
    ("anchor", "tested", "message"),
    [
        ([(1, 30)], CURVE, "2 points"),
        ([(1, 30), (2, 29)], CURVE, "2 points"),
        ([(1, 10), (2, 20)], CURVE, "no range"),
    ],
)
def test_refuses_what_cannot_be_compared(anchor, tested, message):
    with pytest.raises(ValueError, match=message):
        bd_rate(anchor, tested)


def test_shared_range_is_that_of_points_that_count():
    # The second point is larger and worse, and is no part of the curve.
    assert shared_qualities([(100, 30), (150, 20), (400, 36)], [(90, 28), (300, 34)]) == (30, 34)
    low, high = shared_qualities([(100, 30), (200, 33)], [(100, 10), (200, 20)])
    assert low > high


def test_one_point_shares_nothing():
    low, high = shared_qualities([(100, 30), (200, 33)], [(100, 31)])
    assert low > high
