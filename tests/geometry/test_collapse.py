"""Progressive simplification."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import MESHES, ball, box, grid

from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.collapse import Collapses, collapses, one_sided
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas
from squeeze3d.geometry.simplify import TriangleMesh
from squeeze3d.geometry.surface import flatten
from squeeze3d.geometry.visibility import exposure


def _welded(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> TriangleMesh:
    places, index = np.unique(np.round(positions.astype(np.float64), 6), axis=0, return_inverse=True)
    return TriangleMesh(places, index.reshape(-1)[triangles].astype(np.int64)).cleaned()


def _log(mesh: TriangleMesh, **options: NDArray[np.float64]) -> Collapses:
    count = len(mesh.triangles)
    weights = options.get("weights", np.ones(count))
    return collapses(mesh, weights, options.get("jumps", np.zeros((count, 3))))


def test_a_round_thing_stays_round() -> None:
    positions, _, triangles = ball(24, 40)
    mesh = _welded(positions, triangles)
    log = _log(mesh)
    radius = np.linalg.norm(mesh.positions - mesh.positions.mean(axis=0), axis=1).mean()
    for count, error in ((800, 0.01), (200, 0.04), (60, 0.12)):
        less = log.at(count)
        assert 0.8 * count <= len(less.triangles) <= count
        away = np.linalg.norm(less.positions - mesh.positions.mean(axis=0), axis=1) / radius
        assert np.abs(away - 1).max() < error
    assert len(log.at(len(mesh.triangles)).triangles) == len(mesh.triangles)


def test_flat_faces_collapse_for_nothing() -> None:
    positions, _, triangles = grid(12, 12)
    mesh = _welded(positions, triangles)
    less = _log(mesh).at(2)
    assert len(less.triangles) == 2
    np.testing.assert_allclose(
        face_areas(less.positions, less.triangles).sum(), face_areas(mesh.positions, mesh.triangles).sum(), rtol=0.02
    )


def test_colour_borders_stay_in_place() -> None:
    positions, _, triangles = grid(16, 16)
    mesh = _welded(positions, triangles)
    axes = np.flatnonzero(np.ptp(mesh.positions, axis=0) > 0)
    line = np.unique(mesh.positions[:, axes[0]])[5]
    ends = mesh.positions[np.stack([mesh.triangles, np.roll(mesh.triangles, -1, axis=1)], axis=2)][..., axes[0]]
    jumps = (np.abs(ends - line) < 1e-9).all(axis=2).astype(np.float64)
    less = _log(mesh, jumps=jumps).at(4)
    sides = less.positions[less.triangles][..., axes[0]] - line
    assert ((sides > -2e-3).all(axis=1) | (sides < 2e-3).all(axis=1)).all(), "no triangle crosses the border"


def test_what_is_hidden_goes_first() -> None:
    positions, triangles = box()[0], box()[-1]
    outer = _welded(positions, triangles)
    centre = outer.positions.mean(axis=0)
    inner = TriangleMesh((outer.positions - centre) * 0.4 + centre, outer.triangles)
    both = TriangleMesh(
        np.concatenate([outer.positions, inner.positions]),
        np.concatenate([outer.triangles, inner.triangles + len(outer.positions)]),
    )
    seen = exposure(SurfaceQuery(both.positions, both.triangles), both.positions, both.triangles)
    assert (seen[: len(outer.triangles)] > 0).all()
    assert (seen[len(outer.triangles) :] == 0).all()
    log = _log(both, weights=seen)
    assert len(log.mesh.triangles) == len(outer.triangles)


def test_sheets_that_fall_together_become_one() -> None:
    triangles = np.array([[0, 1, 2], [2, 1, 0], [1, 3, 2]])
    single = one_sided(TriangleMesh(np.eye(4, 3), triangles))
    assert len(single.triangles) == 2


@pytest.mark.parametrize("make", MESHES)
def test_any_mesh_gets_smaller(make) -> None:  # type: ignore[no-untyped-def]
    surface = flatten(make())
    mesh = TriangleMesh(Pose.from_bounds(surface.bounds).to_canonical(surface.positions), surface.triangles)
    log = _log(mesh)
    assert (np.diff(log.left) <= 0).all()
    for count in (1, 7, 50):
        less = log.at(count)
        assert len(less.triangles) <= max(count, int(log.left[-1]) if len(log.left) else len(mesh.triangles))
        assert np.isfinite(less.positions).all()
        low, high = mesh.positions.min(axis=0) - 0.3, mesh.positions.max(axis=0) + 0.3
        assert ((less.positions >= low) & (less.positions <= high)).all()


def test_the_same_mesh_gives_the_same_log() -> None:
    positions, _, triangles = ball(10, 14)
    mesh = _welded(positions, triangles)
    one, two = _log(mesh), _log(mesh)
    np.testing.assert_array_equal(one.gone, two.gone)
    np.testing.assert_array_equal(one.places, two.places)
