"""Cameras of InstantMesh."""

from __future__ import annotations

import numpy as np
import parity
import pytest

from squeeze3d.backbones.instantmesh import cameras

RECORDED = parity.arrays("parity_cameras", "instantmesh")


def test_camera_vectors_are_the_published_ones():
    assert np.abs(cameras.input_cameras() - RECORDED["input_cameras"][0]).max() < 1e-6
    assert np.abs(cameras.input_cameras(2.0) - RECORDED["input_cameras_scale_half"][0]).max() < 1e-6
    assert cameras.input_cameras().dtype == np.float32


def test_intrinsics_and_circles_are_the_published_ones():
    assert np.abs(cameras.intrinsics() - RECORDED["intrinsics_fov30"]).max() < 1e-6
    assert np.abs(cameras.circle(8, 4.5, 20) - RECORDED["circular_c2w_M8_r4_5_e20"]).max() < 1e-6


def test_cameras_look_at_the_origin_upright():
    matrices = cameras.look_at_origin(np.arange(0, 360, 25), np.linspace(-80, 80, 15), 3.0)
    rotations, places = matrices[:, :3, :3], matrices[:, :3, 3]
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(rotations), 1)
    assert np.allclose(places, 3 * rotations[:, :, 2])
    assert np.allclose(rotations[:, 2, 0], 0)
    assert (rotations[:, 2, 1] > 0).all()


def test_our_renderer_sees_the_same_views():
    matrices = cameras.look_at_origin(cameras.AZIMUTHS, cameras.ELEVATIONS)
    rig = cameras.view_rig(64)
    assert len(rig) == 6
    for camera, matrix in zip(rig, matrices, strict=True):
        assert np.allclose(camera.eye, matrix[:3, 3])
        assert np.allclose(camera.axes, (matrix[:3, :3] * [1, 1, -1]).T)
        assert camera.resolution == (64, 64)
        assert camera.half_extents[0] == pytest.approx(0.5 / cameras.intrinsics()[0, 0])


def test_y_up_is_a_rotation_that_keeps_the_front_in_front():
    front_up_left = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=np.float32)
    turned = cameras.to_y_up(front_up_left)
    assert np.array_equal(turned, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert np.linalg.det(cameras.to_y_up(np.eye(3, dtype=np.float32))) == pytest.approx(1)
    points = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    assert np.array_equal(cameras.from_y_up(cameras.to_y_up(points)), points)
