"""Splats against closed forms and a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import sample_assets

from squeeze3d.assets import Splats
from squeeze3d.render import Camera, SplatRenderer, measuring_rig, render
from squeeze3d.render.splats import sh_basis

FRONT = Camera.look_at([0, 0, 3], [0, 0, 0], fov=None, span=2.0, resolution=64)
C0 = 0.28209479177387814


def logit(value: float) -> float:
    return float(np.log(value / (1 - value)))


def gaussians(places: object, colours: object, opacity: object, deviation: float = 0.1) -> Splats:
    positions = np.array(places, np.float32)
    count = len(positions)
    return Splats(
        positions,
        ((np.array(colours, np.float32) - 0.5) / C0).astype(np.float32),
        np.zeros((count, 3, 0), np.float32),
        np.array([logit(a) for a in np.broadcast_to(np.array(opacity), (count,))], np.float32),
        np.full((count, 3), np.log(deviation), np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
    )


def test_one_gaussian_has_its_profile() -> None:
    images = SplatRenderer(gaussians([[0, 0, 0]], [[1, 0, 0]], 0.8)).render([FRONT])
    x, y = np.mgrid[0:64, 0:64] + 0.5 - 32
    variance = (0.1 * 32) ** 2 + 0.3
    alpha = 0.8 * np.exp(-(x * x + y * y) / (2 * variance))
    alpha[alpha < 1 / 255] = 0
    np.testing.assert_allclose(images.channel("mask")[0], alpha, atol=1e-5)
    np.testing.assert_allclose(images.channel("albedo")[0, :, :, 0], 1, atol=1e-5)
    np.testing.assert_allclose(images.channel("albedo")[0, :, :, 1], 1 - alpha, atol=1e-5)
    assert images.channel("depth")[0, 32, 32] == pytest.approx(3)


def test_perspective_scales_with_distance() -> None:
    scale = 64 / np.tan(np.radians(20))
    for z in (0.0, 2.0):
        camera = Camera.look_at([0, 0, 4], [0, 0, 0], resolution=128)
        mask = SplatRenderer(gaussians([[0, 0, z]], [[0, 0, 0]], 0.5)).render([camera]).channel("mask")[0]
        total = 2 * np.pi * 0.5 * ((0.1 * scale / (4 - z)) ** 2 + 0.3)
        assert mask.sum() == pytest.approx(total, rel=0.02)


def test_stretched_gaussian_follows_its_rotation() -> None:
    splats = gaussians([[0, 0, 0]], [[0, 0, 0]], 0.9)
    turned = np.array([[np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)]], np.float32)  # 45 degrees about z
    long = Splats(
        splats.positions,
        splats.sh_dc,
        splats.sh_rest,
        splats.opacity,
        np.log(np.array([[0.3, 0.05, 0.05]], np.float32)),
        3 * turned,
    )
    mask = SplatRenderer(long).render([FRONT]).channel("mask")[0]
    row, column = np.nonzero(mask > 0.3)
    # Up the diagonal: rows grow downwards.
    assert np.corrcoef(row, column)[0, 1] < -0.8


def test_near_splats_hide_far_ones() -> None:
    places, colours = [[0, 0, -1], [0, 0, 1], [0, 0, 0]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    red, green, blue = 0.5, 0.5, 0.5
    light = (1 - red) * (1 - green) * (1 - blue)
    expected = [red + light, (1 - red) * green + light, (1 - red) * (1 - green) * blue + light]
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        splats = gaussians(np.array(places)[order], np.array(colours)[order], 0.5, deviation=1.0)
        image = SplatRenderer(splats).render([FRONT]).channel("albedo")[0]
        np.testing.assert_allclose(image[32, 32], expected, atol=2e-3)


def slow(splats: Splats, camera: Camera) -> np.ndarray:
    """The same by a loop over pixels and splats."""
    height, width = camera.resolution
    place, view = camera.project(splats.positions), camera.to_view(splats.positions)
    image = np.zeros((height, width, 3))
    focal = height / (2 * camera.half_extents[1])
    direction = splats.positions - camera.eye
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    basis = sh_basis(direction.astype(np.float64), 1 + splats.sh_rest.shape[2])
    sh = np.concatenate([splats.sh_dc[:, :, None], splats.sh_rest], axis=2)
    light = np.ones((height, width))
    for i in np.argsort(place[:, 2], kind="stable"):
        if place[i, 2] <= 0:
            continue
        w, x, y, z = splats.rotations[i].astype(np.float64) / np.linalg.norm(splats.rotations[i].astype(np.float64))
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        world = turn @ np.diag(np.exp(2.0 * splats.scales[i])) @ turn.T
        a, b, depth = view[i]
        jacobian = np.array([[1 / depth, 0, -a / depth**2], [0, -1 / depth, b / depth**2]]) * focal
        to_image = jacobian @ camera.axes
        inverse = np.linalg.inv(to_image @ world @ to_image.T + 0.3 * np.eye(2))
        colour = np.maximum(0.5 + sh[i] @ basis[i], 0)
        for row in range(height):
            for column in range(width):
                d = np.array([column + 0.5 - place[i, 0], row + 0.5 - place[i, 1]])
                alpha = min(0.99, 1 / (1 + np.exp(-splats.opacity[i])) * np.exp(-0.5 * d @ inverse @ d))
                if alpha >= 1 / 255:
                    image[row, column] += light[row, column] * alpha * colour
                    light[row, column] *= 1 - alpha
    return np.clip(image + light[:, :, None], 0, 1)


def test_agrees_with_a_loop() -> None:
    splats = sample_assets.splats()
    camera = Camera.look_at([3, 2, 6], [0, 0, 0], resolution=(20, 24), fov=50)
    expected = slow(splats, camera)
    np.testing.assert_allclose(render(splats, [camera]).channel("albedo")[0], expected, atol=1e-3)


def test_harmonics_are_orthonormal() -> None:
    numbers = sample_assets.random(11).normal(size=(200_000, 3))
    basis = sh_basis(numbers / np.linalg.norm(numbers, axis=1, keepdims=True), 16)
    np.testing.assert_allclose(4 * np.pi * basis.T @ basis / len(basis), np.eye(16), atol=0.03)


def test_nothing_behind_the_camera_is_drawn() -> None:
    camera = Camera.look_at([0, 0, 3], [0, 0, 0], resolution=32)
    images = SplatRenderer(gaussians([[0, 0, 5], [0, 0, 3]], [[0, 0, 0]] * 2, 0.9)).render([camera])
    assert images.channel("mask").max() == 0
    assert (images.channel("albedo") == 1).all()
    assert np.isinf(images.channel("depth")).all()


def test_same_bytes_twice_and_sane_values() -> None:
    splats = sample_assets.splats()
    rig = measuring_rig(splats.bounds(), resolution=40)
    one, two = render(splats, rig), render(splats, rig)
    assert one.channel("albedo").tobytes() == two.channel("albedo").tobytes()
    assert one.normal is None
    assert one.channel("mask").min() >= 0
    assert one.channel("mask").max() <= 1
    assert (np.isfinite(one.channel("depth")) == (one.channel("mask") > 0)).all()


def test_damaged_splats_are_left_out() -> None:
    whole = gaussians([[0, 0, 0]], [[1, 0, 0]], 0.8)
    damaged = gaussians([[0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0]], [[1, 0, 0]] * 3, 0.8)
    one, other = (render(splats, [FRONT]).channel("albedo") for splats in (whole, damaged))
    assert one.tobytes() == other.tobytes()


def test_enormous_and_flat_splats_stay_finite() -> None:
    splats = sample_assets.splats()
    splats.scales[::2], splats.scales[1::2, 0] = 60, -200
    images = render(splats, measuring_rig(splats.bounds(), resolution=16))
    assert np.isfinite(images.channel("albedo")).all()


def test_no_splats_render_as_nothing() -> None:
    assert (render(gaussians(np.zeros((0, 3)), np.zeros((0, 3)), 0.5), [FRONT]).channel("albedo") == 1).all()
