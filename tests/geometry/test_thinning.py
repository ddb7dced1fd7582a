"""Thinner isosurfaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from squeeze3d.geometry.isosurface import isosurface
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.thinning import LEAST, thin

TOLERANCE = 1 / 32


def box(side: int = 40, corner: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A box with four sub-cells to a block."""
    axes = np.abs(np.mgrid[:side, :side, :side] - side / 2 + corner)
    return blocks(np.max(axes - side / 3, axis=0))


def ball(side: int = 40) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return blocks(np.linalg.norm(np.mgrid[:side, :side, :side] - side / 2, axis=0) - side / 3)


def blocks(field: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    positions, triangles = isosurface(field.astype(np.float32), 0.0)
    return positions / 4, triangles


def grey(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full((len(positions), 3), 0.5)


def waves(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.repeat(0.5 + 0.5 * np.sin(2 * positions[:, :1]), 3, axis=1)


def edges(triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)[1]


def test_flat_sides_take_few_triangles():
    positions, triangles = box()
    _, fewer = thin(positions, triangles, grey, tolerance=TOLERANCE)
    assert len(triangles) > LEAST
    assert len(fewer) < len(triangles) / 10


@pytest.mark.parametrize("colours", [grey, waves])
@pytest.mark.parametrize("shape", [box, ball])
def test_closed_surfaces_stay_closed_and_in_place(shape, colours):
    positions, triangles = shape()
    thinner, fewer = thin(positions, triangles, colours, tolerance=TOLERANCE)
    assert len(fewer) < len(triangles) / 1.5
    assert (edges(fewer) == 2).all()
    assert set(np.unique(fewer)) == set(range(len(thinner)))
    assert SurfaceQuery(positions, triangles).distance(thinner).max() < 2 * TOLERANCE
    assert SurfaceQuery(thinner, fewer).distance(positions).max() < 2 * TOLERANCE


def test_vertices_stay_where_colours_change():
    positions, triangles = box()
    thinner, fewer = thin(positions, triangles, waves, tolerance=TOLERANCE)
    corners = thinner[fewer].astype(np.float64)
    between = waves(corners.mean(axis=1))
    assert np.abs(waves(corners.reshape(-1, 3)).reshape(-1, 3, 3).mean(axis=1) - between).max() < 0.25
    assert np.ptp(corners[..., 0], axis=1).max() <= 2


def test_small_surfaces_stay():
    positions, triangles = ball(12)
    assert len(triangles) < LEAST
    thinner, fewer = thin(positions, triangles, grey, tolerance=TOLERANCE)
    np.testing.assert_array_equal(thinner, positions)
    np.testing.assert_array_equal(fewer, triangles)


@settings(max_examples=5, deadline=None)
@given(st.floats(-1000, 1000), st.floats(0, 1))
def test_place_and_repetition_change_nothing(offset, corner):
    positions, triangles = box(corner=corner)
    moved = (positions + np.float32(offset)).astype(np.float32)
    first = thin(moved, triangles, grey, tolerance=TOLERANCE)
    again = thin(moved, triangles, grey, tolerance=TOLERANCE)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert len(first[1]) < len(triangles) / 5
