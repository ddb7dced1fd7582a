"""Cameras and rigs."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.render import Camera, measuring_rig, paper_rig

BOXES = {
    "cube": [[-1, -1, -1], [1, 1, 1]],
    "tower": [[0, 0, 0], [0.01, 100, 0.01]],
    "plank": [[-500, 3, 3], [500, 3.1, 4]],
    "sheet": [[0, 7, 0], [10, 7, 10]],
    "needle": [[2, 2, 2], [2, 2, 3]],
    "point": [[5, 5, 5], [5, 5, 5]],
    "far": [[1e6, 1e6, 1e6], [1e6 + 1, 1e6 + 2, 1e6 + 3]],
    "tiny": [[0, 0, 0], [1e-6, 2e-6, 1e-6]],
    "huge": [[-1e25, 0, 0], [1e25, 1e24, 1e25]],
}


def corners(box: np.ndarray) -> np.ndarray:
    return np.array([[box[i, 0], box[j, 1], box[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def test_ray_through_a_pixel_projects_back_to_its_centre() -> None:
    for fov in (50.0, None):
        camera = Camera.look_at([3, 2, 1], [0.2, 0, 0], resolution=(6, 10), fov=fov, span=3.0)
        rays = camera.rays().astype(np.float64)
        place = camera.project(rays[:, :3] + 1.7 * rays[:, 3:])
        row, column = np.mgrid[0:6, 0:10] + 0.5
        np.testing.assert_allclose(place[:, 0], column.reshape(-1), atol=1e-5)
        np.testing.assert_allclose(place[:, 1], row.reshape(-1), atol=1e-5)
        np.testing.assert_allclose(place[:, 2], 1.7, atol=1e-6)


def test_image_is_not_mirrored() -> None:
    camera = Camera.look_at([0, 0, 5], [0, 0, 0], resolution=100)
    column, row, depth = camera.project(np.array([[1.0, 0.5, 0.0]]))[0]
    assert column > 50
    assert row < 50
    assert depth == pytest.approx(5)


def test_looks_straight_down_and_refuses_to_look_at_itself() -> None:
    camera = Camera.look_at([0, 5, 0], [0, 0, 0])
    np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.axes) == pytest.approx(-1)  # right, up, forward is left-handed
    with pytest.raises(ValueError, match="where it stands"):
        Camera.look_at([1, 1, 1], [1, 1, 1])


def test_measuring_rig_has_twelve_directions_on_two_rings() -> None:
    rig = measuring_rig(BOXES["cube"])
    away = np.array([-camera.axes[2] for camera in rig])
    cosines = away @ away.T - 2 * np.eye(12)
    assert len(rig) == 12
    assert cosines.max() < np.cos(np.radians(30))
    elevations = np.degrees(np.arcsin(away[:, 1]))
    np.testing.assert_allclose(elevations, [25] * 6 + [-15] * 6, atol=1e-9)
    azimuths = np.sort(np.round(np.degrees(np.arctan2(away[:, 0], away[:, 2]))) % 360)
    np.testing.assert_allclose(azimuths, np.arange(0, 360, 30))


@pytest.mark.parametrize("name", BOXES)
def test_measuring_rig_shows_the_whole_box(name: str) -> None:
    box = np.array(BOXES[name], dtype=np.float64)
    for camera in measuring_rig(box, resolution=200):
        place = camera.project(corners(box))
        assert (place[:, 2] > 0).all()
        assert (place[:, :2] > 0).all()
        assert (place[:, :2] < 200).all()
        if name in ("cube", "plank", "sheet"):
            reach = np.abs(place[:, :2] - 100).max()
            assert 80 < reach < 100


def test_rigs_follow_the_box() -> None:
    box = np.array(BOXES["cube"], dtype=np.float64)
    moved = 3 * box + [10, 20, 30]
    for rig in (measuring_rig, paper_rig):
        for camera, other in zip(rig(box), rig(moved), strict=True):
            np.testing.assert_allclose(3 * camera.eye + [10, 20, 30], other.eye)
            np.testing.assert_allclose(camera.axes, other.axes)


def test_paper_rig_is_the_published_one() -> None:
    rig = paper_rig()
    assert len(rig) == 36
    assert {camera.resolution for camera in rig} == {(512, 512)}
    assert {camera.fov for camera in rig} == {60.0}
    np.testing.assert_allclose([np.linalg.norm(camera.eye) for camera in rig], 2.5)
    # Independent: turn a point as the script does, and look at it with the script's one camera.
    still = Camera.look_at(
        2.5 * np.array([0, np.sin(np.pi / 18), np.cos(np.pi / 18)]), [0, 0, 0], resolution=512, fov=60
    )
    point = np.array([[0.3, -0.2, 0.5]])
    from scipy.spatial.transform import Rotation

    for i, camera in enumerate(rig):
        y = 1 - 2 * i / 35
        ring, around = np.sqrt(max(0, 1 - y * y)), i * np.pi * (3 - np.sqrt(5))
        x, z = np.cos(around) * ring, np.sin(around) * ring
        turn = Rotation.from_euler("XYZ", [0, np.arctan2(z, x), np.arccos(y)]).as_matrix()
        np.testing.assert_allclose(camera.project(point), still.project(point @ turn.T), atol=1e-9)


def test_paper_rig_with_bounds_shows_the_whole_box() -> None:
    for name in ("cube", "tower", "plank", "sheet", "far"):
        box = np.array(BOXES[name], dtype=np.float64)
        for camera in paper_rig(box):
            place = camera.project(corners(box))
            assert ((place[:, :2] > 0) & (place[:, :2] < 512)).all()


@pytest.mark.parametrize("box", [[[0, 0, 0], [np.nan, 1, 1]], [[1, 0, 0], [0, 1, 1]], [0, 1]])
def test_refuses_a_box_that_is_none(box: object) -> None:
    with pytest.raises(ValueError, match="bounds"):
        measuring_rig(box)  # type: ignore[arg-type]
