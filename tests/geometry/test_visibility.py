"""How much of a surface is seen from around it."""

from __future__ import annotations

import numpy as np
import trimesh

from squeeze3d.geometry import visibility
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.visibility import seen_share


def test_the_inside_of_a_box_is_not_seen_and_its_top_is():
    box = trimesh.creation.box(extents=(1, 1, 1))
    query = SurfaceQuery(box.vertices, box.faces)
    top = np.array([[0.0, 0.5, 0.0]])
    outside, inside = (seen_share(query, top, np.array([[0.0, way, 0.0]]))[0] for way in (1.0, -1.0))
    assert outside > 0.2
    assert inside == 0


def test_what_stands_in_front_hides():
    wall = trimesh.creation.box(extents=(1, 1, 0.1))
    screen = trimesh.creation.box(extents=(0.9, 0.9, 0.02))
    screen.apply_translation((0, 0, 0.15))
    place, normal = np.array([[0.0, 0.0, 0.05]]), np.array([[0.0, 0.0, 1.0]])
    free = seen_share(SurfaceQuery(wall.vertices, wall.faces), place, normal)[0]
    both = trimesh.util.concatenate([wall, screen])
    hidden = seen_share(SurfaceQuery(both.vertices, both.faces), place, normal)[0]
    assert free > 0.2
    assert hidden < 0.3 * free


def test_places_do_not_depend_on_each_other():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    query = SurfaceQuery(ball.vertices, ball.faces)
    together = seen_share(query, ball.vertices, ball.vertex_normals)
    assert np.array_equal(together[:10], seen_share(query, ball.vertices[:10], ball.vertex_normals[:10]))
    above, below = ball.vertices[:, 1] > 0.4, ball.vertices[:, 1] < -0.4
    assert together[above].mean() > together[below].mean()


def test_both_sides_are_as_much_as_one_and_the_other():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    query = SurfaceQuery(ball.vertices, ball.faces)
    front, back = (seen_share(query, ball.vertices, way * ball.vertex_normals) for way in (1, -1))
    both = seen_share(query, ball.vertices, ball.vertex_normals, both=True)
    assert np.allclose(both, front + back)


def test_many_triangles_are_as_exposed_as_few(monkeypatch):
    """Where there are many, each is looked at from some of the directions."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    query = SurfaceQuery(ball.vertices, ball.faces)
    monkeypatch.setattr(visibility, "PROBES", len(ball.faces))
    every = visibility.exposure(query, ball.vertices, ball.faces)
    monkeypatch.setattr(visibility, "PROBES", len(ball.faces) // 3)
    some = visibility.exposure(query, ball.vertices, ball.faces)
    assert (some > 0).all()
    # Single ones differ, what neighbours have on the mean does not.
    height = np.digitize(ball.triangles_center[:, 1], np.linspace(-0.4, 0.4, 9))
    means = [np.bincount(height, weights) / np.bincount(height) for weights in (every, some)]
    assert np.abs(means[0] / means[0].max() - means[1] / means[1].max()).max() < 0.06
