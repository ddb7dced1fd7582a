"""Prefiltered textures."""

from __future__ import annotations

import numpy as np
import sample_assets

from squeeze3d.assets.image import Wrap
from squeeze3d.geometry.surface import flatten
from squeeze3d.texture.lookup import PixelGrid
from squeeze3d.texture.mipmap import Levels, MipMap
from squeeze3d.threads import side_by_side


def noise(height: int, width: int) -> PixelGrid:
    return PixelGrid(sample_assets.random(1).integers(0, 256, (height, width, 4)).astype(np.uint8))


def test_small_footprints_are_plain_lookup() -> None:
    grid = noise(16, 8)
    uv = sample_assets.random(2).uniform(-2, 3, (200, 2)).astype(np.float32)
    np.testing.assert_array_equal(MipMap.of(grid).sample(uv, np.full(200, 0.3)), grid.sample(uv))


def test_levels_are_box_averages() -> None:
    grid = noise(64, 32)
    maps = MipMap.of(grid)
    assert maps.top == 6
    mean = grid.pixels.astype(np.float64).reshape(16, 4, 8, 4, 4).mean(axis=(1, 3))
    assert np.abs(maps.level(2).pixels - mean).max() <= 1.0
    assert maps.level(6).pixels.shape == (1, 1, 4)
    assert np.abs(maps.level(6).pixels - grid.pixels.mean(axis=(0, 1))).max() <= 3


def test_odd_sizes_stay_in_place() -> None:
    ramp = np.linspace(0, 255, 1001).astype(np.uint8)
    grid = PixelGrid(np.broadcast_to(ramp[None, :, None], (7, 1001, 4)).copy(), (Wrap.CLAMP, Wrap.CLAMP))
    u = np.linspace(0.1, 0.9, 50)
    values = MipMap.of(grid).sample(np.stack([u, np.full(50, 0.5)], axis=1), np.full(50, 16.0))
    np.testing.assert_allclose(values[:, 0], u, atol=0.01)


def test_levels_blend() -> None:
    maps = MipMap.of(noise(32, 32))
    uv = sample_assets.random(3).uniform(0, 1, (100, 2)).astype(np.float32)
    low, high = maps.level(1).sample(uv), maps.level(2).sample(uv)
    np.testing.assert_allclose(maps.sample(uv, np.full(100, 2.0)), low, atol=1e-6)
    np.testing.assert_allclose(maps.sample(uv, np.full(100, 2**1.25)), 0.75 * low + 0.25 * high, atol=1e-5)
    np.testing.assert_allclose(maps.sample(uv, np.full(100, 1e9)), maps.level(5).sample(uv), atol=1e-6)


def test_colour_of_transparent_texels_counts() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[:, 0] = (200, 100, 0, 255)
    pixels[:, 1] = (0, 100, 200, 0)
    np.testing.assert_array_equal(MipMap.of(PixelGrid(pixels)).level(1).pixels[0, 0], (100, 100, 100, 128))


def test_no_points_give_no_colours() -> None:
    assert MipMap.of(noise(4, 4)).sample(np.zeros((0, 2)), np.zeros(0)).shape == (0, 4)


def test_surface_density_is_the_scale_of_the_texture() -> None:
    positions, uvs, triangles = sample_assets.grid(4, 4)
    mesh = sample_assets.textured_cube()
    np.testing.assert_allclose(flatten(mesh).uv_density, np.sqrt(1 / 6), rtol=1e-5)
    surface = flatten(sample_assets.open_sheet())
    assert len(surface.uv_density) == len(surface.triangles)
    assert positions.shape[0] == uvs.shape[0] == 25
    assert triangles.shape == (32, 3)


def test_footprint_averages_colours_of_a_surface() -> None:
    surface = flatten(sample_assets.textured_cube())
    faces = np.arange(12).repeat(20)
    weights = sample_assets.random(4).dirichlet((1, 1, 1), 240)
    sharp = surface.colours_at(faces, weights)
    np.testing.assert_allclose(surface.colours_at(faces, weights, np.full(240, 1e-4)), sharp, atol=1e-6)
    blurred = surface.colours_at(faces, weights, np.full(240, 100.0))
    assert blurred.std(axis=0).max() < 1e-6


def test_threads_make_levels_once() -> None:
    levels = Levels(noise(64, 64).pixels)
    found = side_by_side(lambda number: levels[number], [5, 3, 5, 3])
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert found[1].shape == (8, 8, 4)
