"""Volume rendering against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import sample_assets

from squeeze3d.assets import RadianceField
from squeeze3d.render import Camera, FieldRenderer, measuring_rig, render

COLOUR = np.array([0.2, 0.5, 0.9], np.float32)


def constant(
    sigma: float, shape: tuple[int, int, int] = (8, 8, 8), box: object = ((-1, -1, -1), (1, 1, 1))
) -> RadianceField:
    grid = np.empty((*shape, 4), np.float32)
    grid[..., :3], grid[..., 3] = COLOUR, sigma
    low, high = np.array(box, np.float32)
    return RadianceField(grid, low, high)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 4.0])
def test_constant_density_fades_exponentially(sigma: float) -> None:
    camera = Camera.look_at([0, 0, 5], [0, 0, 0], fov=None, span=1.0, resolution=8)
    images = FieldRenderer(constant(sigma), unit=1.0).render([camera])
    light = np.exp(-2 * sigma)
    np.testing.assert_allclose(images.channel("mask"), 1 - light, atol=2e-4)
    np.testing.assert_allclose(images.channel("albedo")[0, 3, 3], COLOUR * (1 - light) + light, atol=2e-4)


def test_length_of_slanted_rays_counts() -> None:
    camera = Camera.look_at([2, 3, 5], [0, 0, 0], resolution=33)
    mask = FieldRenderer(constant(0.7, (5, 9, 6)), unit=1.0).render([camera]).channel("mask")[0]
    rays = camera.rays().astype(np.float64)
    direction = rays[:, 3:] / np.linalg.norm(rays[:, 3:], axis=1, keepdims=True)
    sides = np.stack([(-1 - rays[:, :3]) / direction, (1 - rays[:, :3]) / direction])
    length = np.maximum(sides.max(axis=0).min(axis=1) - sides.min(axis=0).max(axis=1), 0)
    np.testing.assert_allclose(mask.reshape(-1), 1 - np.exp(-0.7 * length), atol=3e-4)


def test_density_is_measured_in_the_longest_edge_unless_told() -> None:
    for size in (1e-3, 1.0, 1e3):
        box = np.array([[0, 0, 0], [size, 2 * size, size]])
        camera = Camera.look_at([size / 2, size, 5 * size], [size / 2, size, 0], fov=None, span=size / 2, resolution=4)
        mask = FieldRenderer(constant(2.0, box=box)).render([camera]).channel("mask")
        np.testing.assert_allclose(mask, 1 - np.exp(-2.0 * 0.5), atol=2e-4)


def test_logarithmic_density_is_recognised() -> None:
    camera = Camera.look_at([0, 0, 5], [0, 0, 0], fov=None, span=1.0, resolution=4)
    log = constant(np.log(0.5))
    np.testing.assert_allclose(
        FieldRenderer(log, unit=1.0).render([camera]).channel("mask"), 1 - np.exp(-1.0), atol=2e-4
    )
    assert FieldRenderer(log, density="linear").render([camera]).channel("mask").max() == 0
    positive = constant(np.log(1.5))
    np.testing.assert_allclose(
        FieldRenderer(positive, density="log", unit=1.0).render([camera]).channel("mask"), 1 - np.exp(-3), atol=2e-4
    )


def test_axes_are_not_swapped() -> None:
    grid = np.zeros((4, 6, 8, 4), np.float32)
    grid[3, 0, 4, :] = (1, 0, 0, 1e6)
    low, high = np.array([0, 0, 0], np.float32), np.array([4, 6, 8], np.float32)
    renderer = FieldRenderer(RadianceField(grid, low, high))
    camera = Camera.look_at([2, 3, 20], [2, 3, 4], fov=None, span=8.0, resolution=8)
    images = renderer.render([camera])
    # Cell x 3..4, y 0..1: column 5, row 6 of a view of 8 x 8 units about (2, 3).
    assert images.channel("mask")[0, 6, 5] > 0.99
    assert images.channel("mask")[0, 2, 2] == 0
    assert images.channel("depth")[0, 6, 5] == pytest.approx(20 - 5.5, abs=0.6)
    np.testing.assert_allclose(images.channel("albedo")[0, 6, 5], (1, 0, 0), atol=0.01)


def test_colour_of_empty_cells_does_not_show() -> None:
    grid = np.zeros((16, 16, 16, 4), np.float32)
    grid[5:11, 5:11, 5:11] = (1.0, 1.0, 1.0, 50.0)
    field = RadianceField(grid, np.zeros(3, np.float32), np.ones(3, np.float32))
    image = render(field, measuring_rig(field.bounds(), resolution=48)).channel("albedo")
    np.testing.assert_allclose(image, 1, atol=1e-5)


def test_skipping_changes_nothing() -> None:
    grid = np.zeros((20, 20, 20, 4), np.float32)
    numbers = sample_assets.random(9)
    for at in numbers.integers(0, 20, (12, 3)):
        grid[tuple(at)] = (*numbers.uniform(0, 1, 3), 30.0)
    field = RadianceField(grid, np.zeros(3, np.float32), np.ones(3, np.float32))
    rig = measuring_rig(field.bounds(), resolution=40)
    fast, slow = FieldRenderer(field), FieldRenderer(field)
    slow._distance = np.minimum(slow._distance, 1)
    for name in ("albedo", "depth", "mask"):
        a, b = (renderer.render(rig).channel(name) for renderer in (fast, slow))  # type: ignore[arg-type]
        assert a.tobytes() == b.tobytes()
    assert fast.render(rig).channel("mask").max() > 0.5


def test_eye_inside_the_box_sees_what_is_ahead() -> None:
    camera = Camera.look_at([0, 0, 0], [0, 0, -1], resolution=9)
    mask = FieldRenderer(constant(1.0), unit=1.0).render([camera]).channel("mask")
    assert mask[0, 4, 4] == pytest.approx(1 - np.exp(-1.0), abs=2e-4)


def test_fields_have_no_normals_and_show_light_as_is() -> None:
    field = sample_assets.field()
    images = render(field, measuring_rig(field.bounds(), resolution=24))
    assert images.normal is None
    assert np.array_equal(images.channel("albedo"), images.channel("shaded"))
    assert (np.isfinite(images.channel("depth")) == (images.channel("mask") > 0)).all()
    assert 0.05 < images.channel("mask").mean() < 0.9


def test_empty_and_damaged_fields_render() -> None:
    grid = np.full((3, 3, 3, 4), np.nan, np.float32)
    for field in (constant(0.0), RadianceField(grid, np.zeros(3, np.float32), np.ones(3, np.float32))):
        assert (render(field, measuring_rig(field.bounds(), resolution=8)).channel("albedo") == 1).all()
