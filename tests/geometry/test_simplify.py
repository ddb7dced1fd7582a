"""Simplification, refitting and bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_assets import MESHES, ball, components, open_sheet, random, white_ball

from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.refit import TIP, fit_vertices, refit, restore_bounds, surface_points
from squeeze3d.geometry.sampling import sample_triangles
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import flatten


def canonical(mesh) -> TriangleMesh:
    surface = flatten(mesh)
    return TriangleMesh(Pose.from_bounds(surface.bounds).to_canonical(surface.positions), surface.triangles)


def fine_ball() -> TriangleMesh:
    positions, _, triangles = ball(40, 64)
    _, first, index = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    return TriangleMesh(positions[first].astype(np.float64) / 2, index.reshape(-1)[triangles])


@pytest.mark.parametrize("make", MESHES)
def test_never_keeps_more_faces_than_asked(make):
    mesh = canonical(make())
    simplifier = Simplifier(mesh)
    for count in (1, 2, 7, 25, 100, 10_000):
        reduced = simplifier.reduce(count)
        assert 1 <= len(reduced.triangles) <= count
        assert reduced.triangles.min() >= 0
        assert reduced.triangles.max() < len(reduced.positions)
        assert np.isfinite(reduced.positions).all()
        assert np.abs(reduced.positions).max() < 0.8, "nothing is thrown far out"
        assert len(reduced.cleaned().triangles) == len(reduced.triangles)


@pytest.mark.parametrize("make", [white_ball, open_sheet, components])
def test_error_shrinks_with_the_budget(make):
    mesh = canonical(make())
    simplifier = Simplifier(mesh)
    errors = [simplifier.error(simplifier.reduce(max(4, len(mesh.triangles) // d))) for d in (16, 4, 2, 1)]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-4


def test_keeps_a_mesh_that_is_small_enough():
    mesh = canonical(white_ball())
    assert np.array_equal(Simplifier(mesh).reduce(len(mesh.triangles)).triangles, mesh.cleaned().triangles)


def test_same_result_twice():
    mesh = fine_ball()
    one, two = Simplifier(mesh).reduce(200), Simplifier(mesh).reduce(200)
    assert np.array_equal(one.positions, two.positions)
    assert np.array_equal(one.triangles, two.triangles)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_cleaning(seed, faces):
    numbers = random(seed)
    triangles = numbers.integers(0, 8, (faces, 3))
    mesh = TriangleMesh(numbers.normal(size=(10, 3)), triangles)
    clean = mesh.cleaned()

    def oriented(m: TriangleMesh) -> set[tuple[tuple[float, ...], ...]]:
        found = set()
        for face in m.triangles.tolist():
            if len(set(face)) == 3:
                at = [tuple(m.positions[v].tolist()) for v in face]
                low = at.index(min(at))
                found.add(tuple(at[low:] + at[:low]))
        return found

    assert oriented(clean) == oriented(mesh)
    assert len(clean.triangles) == len(oriented(mesh)), "each once"
    assert len(np.unique(clean.triangles)) == len(clean.positions), "no vertex without a triangle"


def test_refitting_brings_a_coarse_sphere_closer():
    mesh = fine_ball()
    simplifier = Simplifier(mesh)
    for count in (60, 200):
        coarse = simplifier.reduce(count)
        fitted = refit(coarse, surface_points(mesh, 10_000), simplifier.query)
        assert np.array_equal(fitted.triangles, coarse.triangles)
        assert simplifier.error(fitted) < 0.8 * simplifier.error(coarse)


def test_fit_vertices_finds_a_linear_function_again():
    mesh = fine_ball()
    slope = random(1).normal(size=(3, 2))
    faces, weights = sample_triangles(np.ones(len(mesh.triangles)), 20_000)
    wanted = (mesh.positions[mesh.triangles[faces]] * weights[:, :, None]).sum(axis=1) @ slope
    start = np.zeros((len(mesh.positions), 2))
    found = fit_vertices(faces, weights, mesh.triangles, wanted, start, stiffness=1e-9)
    assert np.allclose(found, mesh.positions @ slope, atol=1e-5)


def test_vertices_without_samples_keep_their_values():
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    start = random(2).normal(size=(6, 3))
    weights = np.full((50, 3), 1 / 3)
    found = fit_vertices(np.zeros(50, dtype=int), weights, triangles, np.ones((50, 3)), start, stiffness=0.05)
    assert np.allclose(found[3:], start[3:])
    assert np.allclose(found[:3].mean(axis=0), 1, atol=0.1)


def test_lost_tips_are_pulled_out_again():
    tip = np.array([[0, 0, 5.0]])
    mesh = fine_ball()
    original = np.concatenate([mesh.positions, tip])
    restored = restore_bounds(mesh, original)
    assert np.array_equal(restored.triangles, mesh.triangles)
    assert restored.positions[:, 2].max() == 5
    assert (np.abs(restored.positions - mesh.positions).max(axis=1) > 0).sum() == 1


def test_small_losses_at_the_bounds_stay():
    mesh = fine_ball()
    allowed = restore_bounds(mesh, mesh.positions * (1 + TIP / 2))
    assert np.array_equal(allowed.positions, mesh.positions)
    pulled = restore_bounds(mesh, mesh.positions * 1.1)
    assert np.ptp(pulled.positions, axis=0) == pytest.approx(1.1 * np.ptp(mesh.positions, axis=0), rel=2 * TIP)


def test_surface_points_lie_on_the_surface():
    mesh = fine_ball()
    points = surface_points(mesh, 500)
    assert points.shape == (500, 3)
    assert SurfaceQuery(mesh.positions, mesh.triangles).distance(points).max() < 1e-5
    assert np.array_equal(points, surface_points(mesh, 500))
