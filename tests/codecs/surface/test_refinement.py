"""Refined meshes: short edges, no cracks, the same surface."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, random

from squeeze3d.codecs.surface.refinement import MAX_ROUNDS, refine
from squeeze3d.geometry.sampling import face_areas


def _ball() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    positions, _, triangles = ball(8, 12)
    cells = np.rint((positions - positions.min(axis=0)) * 200).astype(np.int64)
    cells, index = np.unique(cells, axis=0, return_inverse=True)
    triangles = index.reshape(-1)[triangles].astype(np.int64)
    proper = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    return triangles[proper], cells


def _edges(triangles: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)


@pytest.mark.parametrize("spacing", [5, 20, 90])
def test_no_edge_is_longer_than_the_spacing_and_the_surface_stays(spacing: int) -> None:
    triangles, cells = _ball()
    refined = refine(triangles, cells, spacing << MAX_ROUNDS, 1 << 20)
    ends = refined.cells[_edges(refined.triangles)]
    assert np.sqrt(((ends[:, 0] - ends[:, 1]) ** 2).sum(axis=1)).max() <= spacing << MAX_ROUNDS
    before = np.bincount(np.arange(len(triangles)), face_areas(cells * 2.0**MAX_ROUNDS, triangles))
    after = np.bincount(refined.owners, face_areas(refined.cells.astype(float), refined.triangles))
    np.testing.assert_allclose(after, before, rtol=1e-9)
    np.testing.assert_array_equal(refined.cells[: refined.base], cells << MAX_ROUNDS)
    assert (np.diff(refined.owners) >= 0).all()


def test_midpoints_lie_between_vertices_that_came_before() -> None:
    triangles, cells = _ball()
    refined = refine(triangles, cells, 10 << MAX_ROUNDS, 1 << 20)
    number = refined.base
    assert len(refined.rounds) > 1
    for added in refined.rounds:
        places = refined.cells[number : number + len(added.ends)]
        np.testing.assert_array_equal(2 * places, refined.cells[added.ends].sum(axis=1))
        assert added.ends.max() < number
        number += len(added.ends)
    assert number == len(refined.cells)


def test_a_closed_mesh_stays_closed() -> None:
    triangles, cells = _ball()
    _, times = np.unique(_edges(triangles), axis=0, return_counts=True)
    assert (times == 2).all()
    _, times = np.unique(
        _edges(refine(triangles, cells, 12 << MAX_ROUNDS, 1 << 20).triangles), axis=0, return_counts=True
    )
    assert (times == 2).all()


def test_the_number_of_vertices_is_bounded() -> None:
    triangles, cells = _ball()
    assert len(refine(triangles, cells, 1, 500).cells) <= 500
    untouched = refine(triangles, cells, 1, 0)
    np.testing.assert_array_equal(untouched.triangles, triangles)
    assert not untouched.rounds


def test_any_triangles_can_be_refined() -> None:
    numbers = random(4)
    soup = numbers.integers(0, 12, (40, 3))
    soup = soup[(soup != np.roll(soup, 1, axis=1)).all(axis=1)]
    refined = refine(soup, numbers.integers(0, 64, (12, 3)), 9 << MAX_ROUNDS, 1 << 16)
    assert refined.triangles.max() < len(refined.cells)
    assert np.array_equal(np.unique(refined.owners), np.arange(len(soup)))
