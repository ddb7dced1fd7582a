"""Closest points and rays against brute force, and even sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_assets import ball, box, random

from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles

POSITIONS = random(2).uniform(-0.5, 0.5, (40, 3))
TRIANGLES = np.array([random(k).choice(40, 3, replace=False) for k in range(60)])
POINTS = random(3).uniform(-0.7, 0.7, (200, 3))


def closest_on(triangle: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Closest point of one triangle: inside its plane, else on an edge."""
    a, b, c = triangle
    solution = np.linalg.lstsq(np.stack([b - a, c - a], axis=1), point - a, rcond=None)[0]
    if solution.min() >= 0 and solution.sum() <= 1:
        return a + solution[0] * (b - a) + solution[1] * (c - a)
    best = []
    for p, q in ((a, b), (b, c), (c, a)):
        t = np.clip(np.dot(point - p, q - p) / np.dot(q - p, q - p), 0, 1)
        best.append(p + t * (q - p))
    return min(best, key=lambda x: float(np.linalg.norm(x - point)))


def crossing(triangle: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> float:
    """Length at which a ray meets a triangle, infinite if it does not."""
    a, b, c = triangle
    try:
        u, v, t = np.linalg.solve(np.stack([b - a, c - a, -direction], axis=1), origin - a)
    except np.linalg.LinAlgError:
        return np.inf
    return float(t) if u >= 0 and v >= 0 and u + v <= 1 and t >= 0 else np.inf


def test_closest_points_match_brute_force():
    hits = SurfaceQuery(POSITIONS, TRIANGLES).closest(POINTS)
    corners = POSITIONS[TRIANGLES]
    for k, point in enumerate(POINTS):
        best = min(float(np.linalg.norm(closest_on(t, point) - point)) for t in corners)
        assert np.linalg.norm(hits.points[k] - point) == pytest.approx(best, abs=2e-6)
    own = (corners[hits.faces] * hits.weights[:, :, None]).sum(axis=1)
    assert np.allclose(own, hits.points)
    assert np.allclose(hits.weights.sum(axis=1), 1)
    assert hits.weights.min() > -1e-5


def test_distance_is_that_of_the_closest_point():
    query = SurfaceQuery(POSITIONS, TRIANGLES)
    assert np.allclose(query.distance(POINTS), np.linalg.norm(query.closest(POINTS).points - POINTS, axis=1))
    positions, _, triangles = ball(40, 60)
    radii = np.array([0.2, 0.9, 1.5])
    assert np.allclose(
        SurfaceQuery(positions, triangles).distance(radii[:, None] * [[0.6, 0.64, 0.48]]), abs(1 - radii), atol=6e-3
    )


def test_rays_match_brute_force():
    numbers = random(4)
    rays = np.concatenate([POINTS, numbers.normal(size=(200, 3))], axis=1)
    hits, lengths = SurfaceQuery(POSITIONS, TRIANGLES).cast(rays)
    corners = POSITIONS[TRIANGLES]
    differing = 0
    for k, ray in enumerate(rays):
        best = min(crossing(t, ray[:3], ray[3:]) for t in corners)
        if np.isinf(best) or np.isinf(lengths[k]):
            differing += np.isinf(best) != np.isinf(lengths[k])
            continue
        assert lengths[k] == pytest.approx(best, rel=1e-3, abs=1e-4)
        assert np.allclose(hits.points[k], ray[:3] + lengths[k] * ray[3:], atol=1e-4)
    assert differing <= 1, "only a ray through an edge may differ"
    assert 20 < np.isfinite(lengths).sum() < 200


def test_outer_layer_sees_the_visible_side_of_a_thin_wall():
    """Two sheets 0.004 apart; a point between them, nearer to the hidden one, still sees the front."""
    positions = np.array([[x, y, z] for z in (0.0, 0.004) for x, y in ((-1, -1), (1, -1), (0, 1))])
    query = SurfaceQuery(positions, np.array([[2, 1, 0], [3, 4, 5]]))
    points = np.array([[0, 0, 0.001], [0, 0, 0.5], [0.0, 0.0, 0.003]])
    up = np.array([[0, 0, 1.0]] * 3)
    assert query.closest(points).faces.tolist() == [0, 1, 1]
    assert query.outer_layer(points, up, 0.01).faces.tolist() == [1, 1, 1]
    assert query.outer_layer(points, -up, 0.01).faces.tolist() == [0, 1, 0]
    far = query.outer_layer(points, up, 0.01)
    assert np.allclose(far.points[1], (0, 0, 0.004)), "too far for the rays: the closest point"
    nowhere = query.outer_layer(points, np.zeros((3, 3)), 0.01)
    assert np.isfinite(nowhere.points).all()


@given(st.integers(1, 3000), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_samples_are_area_uniform_and_deterministic(count, seed):
    areas = random(seed).random(17) ** 3
    areas[5] = 0
    faces, weights = sample_triangles(areas, count, seed=seed)
    again, others = sample_triangles(areas, count, seed=seed)
    assert np.array_equal(faces, again)
    assert np.array_equal(weights, others)
    assert np.allclose(weights.sum(axis=1), 1)
    assert weights.min() >= 0
    found = np.bincount(faces, minlength=17)
    assert found[5] == 0
    # One sample in each of `count` equal slices: a triangle's share is off by two at most.
    assert np.abs(found - areas / areas.sum() * count).max() <= 2


def test_samples_fill_a_triangle_evenly():
    weights = sample_triangles(np.ones(1), 90_000)[1]
    assert np.allclose(weights.mean(axis=0), 1 / 3, atol=5e-3)
    assert (weights.max(axis=1) > 2 / 3).mean() == pytest.approx(1 / 3, abs=1e-2), "three corners of a ninth each"
    assert not np.array_equal(weights, sample_triangles(np.ones(1), 90_000, seed=1)[1])


def test_surfaces_without_area_are_sampled_face_by_face():
    faces, _ = sample_triangles(np.zeros(4), 8)
    assert np.bincount(faces, minlength=4).tolist() == [2, 2, 2, 2]


def test_areas_and_normals():
    positions, triangles = box((1, 2, 3))
    assert face_areas(positions, triangles).sum() == pytest.approx(22)
    normals = face_normals(positions, triangles)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    assert ((positions[triangles].mean(axis=1) * normals).sum(axis=1) > 0).all()
    assert not face_normals(np.zeros((3, 3)), np.array([[0, 1, 2]])).any()


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1.0, 1e6, 1e25])
def test_areas_of_float32_positions_neither_overflow_nor_vanish(scale):
    positions, triangles = box()
    areas = face_areas(positions * np.float32(scale), triangles)
    assert np.allclose(areas / scale / scale, 0.5, rtol=1e-5)
