"""Marching cubes with generated tables."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze3d.geometry.isosurface import isosurface


def grid(size: int) -> NDArray[np.float64]:
    """(size, size, size, 3) coordinates around the middle."""
    axis = np.arange(size) - (size - 1) / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def ball(size: int, radius: float) -> NDArray[np.float32]:
    return (np.linalg.norm(grid(size), axis=-1) - radius).astype(np.float32)


def directed_edges(triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    """(3 F,) one number for each edge and direction."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    return pairs[:, 0] * (triangles.max() + 1) + pairs[:, 1]


def assert_closed_manifold(triangles: NDArray[np.int32]) -> None:
    edges = directed_edges(triangles)
    assert len(np.unique(edges)) == len(edges), "two triangles go along an edge in the same direction"
    assert set(edges) == set(directed_edges(triangles[:, ::-1])), "an edge has one triangle"


def volume(positions: NDArray[np.float32], triangles: NDArray[np.int32]) -> float:
    a, b, c = positions.astype(np.float64)[triangles].transpose(1, 0, 2)
    return float(np.einsum("nk,nk->", a, np.cross(b, c)) / 6)


@pytest.mark.parametrize("pattern", range(1, 256))
def test_every_pattern_of_a_cube_is_closed_and_looks_outwards(pattern):
    samples = np.ones((4, 4, 4), dtype=np.float32)
    for corner in range(8):
        samples[1 + (corner & 1), 1 + (corner >> 1 & 1), 1 + (corner >> 2)] = -1 if pattern >> corner & 1 else 1
    positions, triangles = isosurface(samples)
    assert_closed_manifold(triangles)
    assert volume(positions, triangles) > 0


def test_noise_gives_a_closed_manifold():
    noise = np.random.default_rng(1).standard_normal((14, 15, 16)).astype(np.float32)
    positions, triangles = isosurface(noise)
    assert_closed_manifold(triangles)
    assert len(np.unique(triangles)) == len(positions)


def test_volume_and_place_of_a_ball():
    positions, triangles = isosurface(ball(24, 9.0))
    assert volume(positions, triangles) == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.01)
    assert np.linalg.norm(positions - 11.5, axis=1) == pytest.approx(9.0, abs=0.05)


def test_level_moves_the_surface():
    positions, _ = isosurface(ball(24, 8.0), 1.5)
    assert np.linalg.norm(positions - 11.5, axis=1) == pytest.approx(9.5, abs=0.05)


def test_what_reaches_the_border_is_closed_there():
    positions, triangles = isosurface(np.full((3, 4, 5), -1.0, dtype=np.float32))
    assert_closed_manifold(triangles)
    assert (positions.min(axis=0) >= 0).all()
    assert (positions.max(axis=0) <= (2, 3, 4)).all()


def test_inside_corners_across_a_face_hold_together():
    samples = np.ones((3, 4, 4), dtype=np.float32)
    samples[1, 1, 1] = samples[1, 2, 2] = -1
    _, triangles = isosurface(samples)
    labels = np.arange(triangles.max() + 1)
    for _ in labels:
        for corner in range(3):
            np.minimum.at(labels, triangles[:, corner], labels[triangles].min(axis=1))
    assert (labels == 0).all()


def test_vertices_keep_clear_of_samples_that_equal_the_level():
    samples = np.ones((4, 4, 4), dtype=np.float32)
    samples[1:3, 1:3, 1:3] = [[[0, -1], [-1, -1]], [[-1, -1], [-1, -1]]]
    positions, triangles = isosurface(samples, -0.0)
    assert_closed_manifold(triangles)
    assert len(np.unique(positions, axis=0)) == len(positions)


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_no_inside_gives_no_triangles(value):
    positions, triangles = isosurface(np.full((4, 4, 4), value, dtype=np.float32))
    assert positions.shape == (0, 3)
    assert triangles.shape == (0, 3)
