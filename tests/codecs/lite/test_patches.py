"""Neighbourhoods and their symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.codecs.lite.patches import (
    BOXES,
    COLUMNS,
    NEAR,
    SCALARS,
    STRUCTURE_COLUMNS,
    Neighbourhoods,
    column_order,
    symmetries,
)


def structure() -> np.ndarray:
    return np.random.default_rng(5).random((6, 7, 8)) < 0.4


def value(occupied: np.ndarray, cell: np.ndarray) -> int:
    inside = (cell >= 0).all() and (cell < occupied.shape).all()
    return int(inside and occupied[tuple(cell)])


def test_columns_are_where_the_table_says():
    occupied = structure()
    around = Neighbourhoods(occupied)
    for cell in (np.array([0, 0, 0]), np.array([3, 4, 5]), np.array([-1, 7, 8])):
        row = around.structure(around.places(cell[None]))[0]
        assert len(row) == STRUCTURE_COLUMNS
        assert row[: len(NEAR)].tolist() == [value(occupied, cell + offset) for offset in NEAR]
        cube = np.argwhere(np.ones((3, 3, 3))) - 1
        sums = [sum(value(occupied, cell + offset + k) for k in cube) for offset in BOXES]
        assert row[len(NEAR) :].tolist() == sums


@pytest.mark.parametrize("number", [1, 17, 30, 47])
def test_columns_turn_with_the_structure(number):
    """Looking at a turned structure, and turning the columns, is the same."""
    occupied = np.zeros((9, 9, 9), dtype=bool)
    occupied[:] = np.random.default_rng(2).random((9, 9, 9)) < 0.5
    matrix = list(symmetries())[number]
    turned = np.zeros_like(occupied)
    for cell in np.ndindex(9, 9, 9):
        turned[cell] = occupied[tuple((np.array(cell) - 4) @ matrix + 4)]
    middle = np.array([[4, 4, 4]])
    rows = []
    for each in (occupied, turned):
        around = Neighbourhoods(each)
        rows.append(around.structure(around.places(middle))[0])
    assert np.array_equal(rows[0][column_order(number)[:STRUCTURE_COLUMNS]], rows[1])


def test_symmetries_only_reorder():
    assert len(list(symmetries())) == 48
    assert np.array_equal(column_order(0), np.arange(COLUMNS))
    for number in range(48):
        assert np.array_equal(np.sort(column_order(number)), np.arange(COLUMNS))


def test_fields_are_read_around_places():
    occupied = structure()
    around = Neighbourhoods(occupied)
    cells = np.argwhere(occupied)
    places = around.places(cells)
    numbers = np.arange(1, len(cells) + 1)
    seen = around.scalars(places, around.field(places, numbers))
    assert np.array_equal(seen[:, len(SCALARS) // 2], numbers)
    assert seen[0].max() > 1
