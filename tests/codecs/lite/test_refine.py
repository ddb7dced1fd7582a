"""Refinement of scalars."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.codecs.lite.cells import surface_cells
from squeeze3d.codecs.lite.field_net import embedded_network
from squeeze3d.codecs.lite.refine import _Problem, refine_scalars
from squeeze3d.codecs.lite.scalars import scalar_bits, scalar_costs
from squeeze3d.codecs.lite.steps import SYMBOLS, quantise

SIDE = 15


def ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Structure, distances at its surface cells, distances at 4 sub-cells a cell and axis."""

    def signed(places: np.ndarray) -> np.ndarray:
        return np.linalg.norm(places - np.array([7.1, 6.8, 7.3]), axis=-1) - 5.2

    cells = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1)
    occupied = signed(cells) < 0.5
    axis = -1.5 + (np.arange(4 * (SIDE + 2)) + 0.5) / 4
    fine = signed(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1))
    return occupied, signed(surface_cells(occupied)), fine.astype(np.float32)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_refinement_lowers_what_it_minimises(step):
    occupied, distances, fine = ball()
    rounded = quantise(distances, step)
    bits = scalar_bits(occupied, rounded, step)
    problem = _Problem(occupied, fine, step, 0.0, embedded_network())
    taken = []
    for price in (0.0, 8.0):
        refined = refine_scalars(occupied, rounded, fine, step, 0.0, price, 8)
        assert np.abs(refined.scalars).max() <= SYMBOLS[step] // 2
        assert refined.error + price * refined.bits <= problem.evaluate(rounded)[0] + price * bits
        assert refined.bits == pytest.approx(scalar_bits(occupied, refined.scalars, step))
        taken.append(refined.bits)
    assert taken[1] < taken[0], "bits have a price"


def test_the_gradient_is_that_of_the_error():
    occupied, distances, fine = ball()
    problem = _Problem(occupied, fine, 3, 0.05, embedded_network())
    scalars = quantise(distances, 3)
    error, slopes = problem.evaluate(scalars)
    assert error > 0
    for cell in np.argsort(-np.abs(slopes))[:5]:
        # Scalars are integers, but the network takes any number.
        moved = scalars.astype(np.float64)
        moved[cell] += 0.02
        ahead = problem.evaluate(moved)[0]
        moved[cell] -= 0.04
        assert (ahead - problem.evaluate(moved)[0]) / 0.04 == pytest.approx(slopes[cell], rel=0.05)


def test_costs_of_the_values_sent_are_the_bits():
    occupied, distances, _ = ball()
    for step in (1, 2, 3):
        scalars = quantise(distances, step)
        costs = scalar_costs(occupied, scalars, step)
        sent = costs[np.arange(len(scalars)), scalars + SYMBOLS[step] // 2]
        assert sent.sum() == pytest.approx(scalar_bits(occupied, scalars, step))
        assert (2.0**-costs).sum(axis=1) == pytest.approx(1.0, abs=1e-3)


def test_the_same_scalars_every_time():
    occupied, distances, fine = ball()
    one, other = (refine_scalars(occupied, quantise(distances, 2), fine, 2, 0.0, 0.5, 5).scalars for _ in range(2))
    assert np.array_equal(one, other)
