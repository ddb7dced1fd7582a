"""Compiled functions: the same results, wherever they are installed."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze3d.compiled import compiled


def total(values: NDArray[np.float64]) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


def test_results_are_those_of_the_function():
    values = np.random.default_rng(0).random(100)
    assert compiled(total)(values) == total(values)


def test_nothing_needs_to_be_written(monkeypatch: pytest.MonkeyPatch):
    original = numba.njit
    asked = []

    def without_a_place(**options: bool) -> object:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(numba, "njit", without_a_place)
    assert compiled(total)(np.ones(3)) == 3
    assert [options.get("cache", False) for options in asked] == [True, False]
