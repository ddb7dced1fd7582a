"""Vertices move so that a mesh looks more like the original, and never less."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, box, grid, random

from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.geometry.view_fit import ViewTargets, fit_to_views
from squeeze3d.metrics.image import silhouette_iou
from squeeze3d.render import measuring_rig
from squeeze3d.render.raster import rasterise


def surface(positions: NDArray[np.float32], triangles: NDArray[np.int32]) -> Surface:
    colours = np.ones((len(positions), 4), dtype=np.float32)
    colours[:, :3] = np.where(positions[:, :1] > 0.1, (0.8, 0.1, 0.1), (0.1, 0.2, 0.7))
    return flatten(Mesh((Primitive(positions, triangles, colours=colours),)))


def tilted(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turned, so that no edge is along a row of pixels."""
    turn = np.linalg.qr(random(3).normal(size=(3, 3)))[0]
    return (positions @ turn).astype(np.float32)


def small_targets(original: Surface) -> ViewTargets:
    return ViewTargets.render(original, views=8, resolution=96, threads=1)


def overlap(mesh: TriangleMesh, original: Surface) -> float:
    """Of silhouettes on the measuring rig."""
    rig = measuring_rig(original.bounds, resolution=128)
    masks = (
        rasterise(rig, part.positions, part.triangles).faces >= 0
        for part in (mesh, TriangleMesh(original.positions, original.triangles))
    )
    return silhouette_iou(*masks).value


def perturbed(original: Surface, size: float) -> TriangleMesh:
    noise = random(1).normal(scale=size, size=original.positions.shape)
    return TriangleMesh(original.positions + noise, original.triangles)


@pytest.mark.parametrize("shape", ["box", "ball"])
def test_moved_vertices_move_back(shape):
    positions, triangles = box((1.0, 0.7, 0.5)) if shape == "box" else ball(6, 10)[::2]
    original = surface(tilted(positions), triangles)
    mesh = perturbed(original, 0.04)
    fitted = fit_to_views(mesh, small_targets(original), rounds=12)
    np.testing.assert_array_equal(fitted.triangles, mesh.triangles)
    assert 1 - overlap(fitted, original) < 0.4 * (1 - overlap(mesh, original))


def test_coarse_meshes_fill_the_outline():
    positions, _, triangles = ball(24, 32)
    original = surface(tilted(positions * np.array([1.0, 0.6, 0.8], np.float32)), triangles)
    mesh = Simplifier(TriangleMesh(original.positions, original.triangles)).reduce(60)
    fitted = fit_to_views(mesh, small_targets(original))
    assert 1 - overlap(fitted, original) < 0.8 * (1 - overlap(mesh, original))


def test_open_sheets_and_shared_edges_of_three_faces_are_fitted():
    positions, _, triangles = grid(6, 6)
    wall = positions[:, [2, 1, 0]] + np.array([0.5, 0, 0], np.float32)
    original = surface(
        tilted(np.concatenate([positions, wall])), np.concatenate([triangles, triangles + len(positions)])
    )
    mesh = perturbed(original, 0.01)
    fitted = fit_to_views(mesh, small_targets(original))
    assert overlap(fitted, original) > overlap(mesh, original)


def test_a_perfect_mesh_stays():
    positions, _, triangles = ball(8, 12)
    original = surface(tilted(positions), triangles)
    mesh = TriangleMesh(original.positions, original.triangles)
    fitted = fit_to_views(mesh, small_targets(original))
    assert overlap(fitted, original) > 0.99
    assert np.abs(fitted.positions - mesh.positions).max() < 0.02


def test_stays_in_the_box_of_original_and_mesh():
    original = surface(*box())
    mesh = perturbed(original, 0.1)
    fitted = fit_to_views(mesh, small_targets(original))
    for pick, both in ((np.min, np.minimum), (np.max, np.maximum)):
        side = both(pick(original.positions, axis=0), pick(mesh.positions, axis=0))
        np.testing.assert_array_equal(both(pick(fitted.positions, axis=0), side), side)


def test_results_are_the_same_every_time_and_the_input_is_untouched():
    original = surface(*box())
    mesh = perturbed(original, 0.05)
    kept = mesh.positions.copy()
    first, second = (fit_to_views(mesh, small_targets(original)) for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(mesh.positions, kept)


def test_frames_may_differ():
    original = surface(*box())
    centre, scale = np.array([0.1, -0.2, 0.3]), 2.0
    mesh = perturbed(original, 0.05)
    moved = TriangleMesh((mesh.positions - centre) / scale, mesh.triangles)
    targets = ViewTargets.render(original, centre=centre, scale=scale, views=8, resolution=96, threads=1)
    fitted = fit_to_views(moved, targets)
    back = TriangleMesh(fitted.positions * scale + centre, mesh.triangles)
    assert overlap(back, original) > overlap(mesh, original)


@pytest.mark.parametrize(
    "triangles", [np.zeros((0, 3), dtype=np.int64), np.array([[0, 0, 0]]), np.array([[0, 1, 1], [0, 1, 2]])]
)
def test_nothing_and_degenerate_triangles_pass(triangles):
    targets = small_targets(surface(*box()))
    mesh = TriangleMesh(np.array([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [9, 9, 9]]), triangles)
    fitted = fit_to_views(mesh, targets)
    assert np.isfinite(fitted.positions).all()
    np.testing.assert_array_equal(fitted.triangles, triangles)


def test_no_rounds_change_nothing():
    original = surface(*box())
    mesh = perturbed(original, 0.05)
    assert fit_to_views(mesh, small_targets(original), rounds=0) is mesh
