"""Discs of point clouds."""

from __future__ import annotations

import numpy as np
import pytest
import sample_assets

from squeeze3d.assets import PointCloud
from squeeze3d.assets.colour import linear_to_srgb
from squeeze3d.render import Camera, PointRenderer, disc_radius, measuring_rig, render
from squeeze3d.render.mesh import AMBIENT, HEADLIGHT

FRONT = Camera.look_at([0, 0, 3], [0, 0, 0], fov=None, span=2.0, resolution=128)


def cloud(positions: object, colours: object = None, normals: object = None) -> PointCloud:
    return PointCloud(
        np.array(positions, np.float32),
        None if colours is None else np.array(colours, np.uint8),
        None if normals is None else np.array(normals, np.float32),
    )


def test_disc_covers_its_area() -> None:
    images = PointRenderer(cloud([[0.1, 0.2, 0]]), radius=0.5).render([FRONT])
    assert images.channel("mask").sum() == pytest.approx(np.pi * 32**2, rel=0.01)
    row, column = np.nonzero(images.channel("mask")[0])
    assert column.mean() == pytest.approx(64 * 1.1 - 0.5, abs=0.1)
    assert row.mean() == pytest.approx(64 * 0.8 - 0.5, abs=0.1)


def test_disc_shrinks_with_distance() -> None:
    camera = Camera.look_at([0, 0, 4], [0, 0, 0], resolution=256)
    pixels = 128 / np.tan(np.radians(20))
    for z in (0.0, 2.0):
        images = PointRenderer(cloud([[0, 0, z]]), radius=0.3).render([camera])
        assert images.channel("mask").sum() == pytest.approx(np.pi * (0.3 * pixels / (4 - z)) ** 2, rel=0.01)
        assert images.channel("depth")[0, 128, 128] == pytest.approx(4 - z)


def test_nearest_disc_is_on_top() -> None:
    positions, colours = (
        [[0, 0, 0], [0.3, 0, 0.5], [-0.3, 0, -0.5]],
        [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]],
    )
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        images = PointRenderer(cloud(np.array(positions)[order], np.array(colours)[order]), radius=0.4).render([FRONT])
        image = images.channel("albedo")[0, 64]
        np.testing.assert_array_equal(image[[30, 50, 75, 120]], [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]])


def test_points_behind_the_camera_and_outside_are_not_drawn() -> None:
    camera = Camera.look_at([0, 0, 3], [0, 0, 0], resolution=64)
    images = PointRenderer(cloud([[0, 0, 4], [0, 0, 3], [50, 0, 0]]), radius=0.5).render([camera])
    assert images.channel("mask").sum() == 0


def test_small_points_keep_a_pixel() -> None:
    images = PointRenderer(cloud([[0, 0, 0], [0.5, 0.5, 0]]), radius=1e-9).render([FRONT])
    assert images.channel("mask").sum() == 2


def test_normals_are_lit_and_face_the_camera() -> None:
    tilted = np.array([[0.6, 0, -0.8]])
    images = PointRenderer(cloud([[0, 0, 0]], [[255, 255, 255, 255]], tilted), radius=0.5).render([FRONT])
    np.testing.assert_allclose(images.channel("normal")[0, 64, 64], (-0.6, 0, 0.8), atol=1e-6)
    np.testing.assert_allclose(
        images.channel("shaded")[0, 64, 64], linear_to_srgb(np.array(AMBIENT + HEADLIGHT * 0.8)), atol=1e-5
    )
    bare = PointRenderer(cloud([[0, 0, 0]], [[9, 99, 200, 0]]), radius=0.5).render([FRONT])
    np.testing.assert_allclose(bare.channel("shaded"), bare.channel("albedo"), atol=1e-5)


def test_radius_comes_from_the_spacing_of_the_original() -> None:
    place = np.stack(np.meshgrid(np.arange(10), np.arange(10), [0.0]), axis=-1).reshape(-1, 3) * 0.25
    assert disc_radius(cloud(place)) == pytest.approx(0.5)
    assert disc_radius(cloud(np.concatenate([place, place]))) == pytest.approx(0.5)
    assert disc_radius(cloud([[1, 1, 1]])) == 1.0
    rig = measuring_rig([[0, 0, 0], [2.25, 2.25, 0]], resolution=64)
    thinned = cloud(place[::7])
    with_own = render(thinned, rig).channel("mask").sum()
    with_original = render(thinned, rig, original=cloud(place)).channel("mask").sum()
    assert with_original < with_own


def test_large_clouds_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = sample_assets.points()
    rig = measuring_rig(points.bounds(), resolution=48)[:3]
    whole = render(points, rig)
    monkeypatch.setattr("squeeze3d.render.fragments.FRAGMENTS", 100)
    parts = render(points, rig)
    for name in ("albedo", "shaded", "normal", "depth", "mask"):
        assert whole.channel(name).tobytes() == parts.channel(name).tobytes()  # type: ignore[arg-type]


def test_supersampling_softens_edges() -> None:
    mask = PointRenderer(cloud([[0, 0, 0]]), radius=0.4).render([FRONT], supersample=2).channel("mask")
    assert set(np.unique(mask).tolist()) == {0, 0.25, 0.5, 0.75, 1}


def test_sample_clouds_render() -> None:
    for maker in (sample_assets.points, sample_assets.bare_points):
        points = maker()
        images = render(points, measuring_rig(points.bounds(), resolution=32))
        assert images.channel("mask").any()
        assert np.isfinite(images.channel("normal")).all()


def test_points_that_are_nowhere_are_left_out() -> None:
    places = [[0, 0, 0], [0.5, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]]
    assert disc_radius(cloud(places)) == pytest.approx(1.0)
    images = PointRenderer(cloud(places), radius=1e-9).render([FRONT])
    assert images.channel("mask").sum() == 2


def test_no_points_render_as_nothing() -> None:
    assert (render(cloud(np.zeros((0, 3))), [FRONT]).channel("albedo") == 1).all()
