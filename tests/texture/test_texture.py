"""Texture lookup, atlases and baking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_assets import MESHES, ball, box, picture, random

from squeeze3d.assets import Wrap
from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.surface import flatten
from squeeze3d.texture.atlas import MAX_FACES, Texels, fill_gaps, locate_texels, splat_texels, unwrap
from squeeze3d.texture.lookup import PixelGrid


def wrapped(index: int, size: int, wrap: Wrap) -> int:
    """Texel that an index outside the image stands for, as OpenGL defines it."""
    if wrap is Wrap.CLAMP:
        return min(max(index, 0), size - 1)
    if wrap is Wrap.REPEAT:
        return index % size
    period = index % (2 * size)
    return period if period < size else 2 * size - 1 - period


def looked_up(pixels: np.ndarray, u: float, v: float, wrap: tuple[Wrap, Wrap]) -> np.ndarray:
    """Bilinear interpolation, one point at a time."""
    height, width = pixels.shape[:2]
    x, y = u * width - 0.5, v * height - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(4)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (x - column if dx else 1 - x + column) * (y - row if dy else 1 - y + row)
            total += weight * pixels[wrapped(row + dy, height, wrap[1]), wrapped(column + dx, width, wrap[0])]
    return total / 255


@pytest.mark.parametrize("across", list(Wrap))
@pytest.mark.parametrize("down", list(Wrap))
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 4)])
def test_lookup_matches_a_plain_loop(across, down, shape):
    numbers = random(sum(shape))
    pixels = numbers.integers(0, 256, (*shape, 4)).astype(np.uint8)
    edges = [[0, 0], [1, 1], [-1, 2], [0.5, 0.5], [2, -2], [1 - 1e-9, -1e-9]]
    uv = np.concatenate([numbers.uniform(-3, 4, (60, 2)), edges])
    got = PixelGrid(pixels, (across, down)).sample(uv)
    assert got.dtype == np.float32
    expected = [looked_up(pixels, u, v, (across, down)) for u, v in uv]
    assert np.allclose(got, expected, atol=2e-5)


def test_texel_centres_give_their_own_colour():
    pixels = picture(8).pixels()
    v, u = (np.mgrid[0:8, 0:8] + 0.5) / 8
    got = PixelGrid(pixels).sample(np.stack([u.reshape(-1), v.reshape(-1)], axis=1))
    assert np.array_equal(np.rint(got * 255).astype(np.uint8).reshape(8, 8, 4), pixels)


@pytest.mark.parametrize("wrap", list(Wrap))
def test_huge_coordinates_are_no_trouble(wrap):
    uv = np.array([[1e30, -1e30], [3e38, 1e9], [-12345678.25, 0.1]], np.float32)
    got = PixelGrid(picture(8).pixels(), (wrap, wrap)).sample(uv)
    assert np.isfinite(got).all()


def canonical(make):
    surface = flatten(make())
    return Pose.from_bounds(surface.bounds).to_canonical(surface.positions), surface.triangles


@pytest.mark.parametrize("make", MESHES)
def test_unwrapping_keeps_the_triangles(make):
    positions, triangles = canonical(make)
    atlas = unwrap(positions, triangles, 64)
    assert atlas.corners.shape == triangles.shape
    assert atlas.corners.max() < len(atlas.uvs)
    assert atlas.uvs.min() >= 0
    assert atlas.uvs.max() <= 1
    assert 0 < atlas.aspect < 100
    # Every atlas vertex belongs to one vertex of the mesh.
    pairs = np.unique(np.stack([atlas.corners.reshape(-1), triangles.reshape(-1)], axis=1), axis=0)
    assert len(pairs) == len(np.unique(atlas.corners))


def test_charts_do_not_overlap():
    positions, _, triangles = ball(12, 20)
    atlas = unwrap(positions / 2, triangles, 256)
    corners = atlas.uvs[atlas.corners]
    texels = locate_texels(corners, (256, 256))
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    # If no triangle hides another, each is seen in proportion to its area.
    seen = np.bincount(texels.faces, minlength=len(triangles)) / 256**2
    assert np.abs(seen - areas).max() < 0.15 * areas.max()
    assert seen.sum() == pytest.approx(areas.sum(), rel=0.01)
    assert areas.sum() > 0.4, "the atlas is well used"


def test_refuses_to_unwrap_for_minutes():
    with pytest.raises(ValueError, match="too many"):
        unwrap(np.zeros((3, 3)), np.zeros((MAX_FACES + 1, 3), dtype=int), 64)


def test_texels_lie_where_they_say():
    positions, triangles = box()
    atlas = unwrap(positions, triangles, 64)
    corners = atlas.uvs[atlas.corners]
    texels = locate_texels(corners, (48, 64))
    assert np.allclose((corners[texels.faces] * texels.weights[:, :, None]).sum(axis=1), texels.uvs, atol=1e-5)
    cells = texels.uvs * (64, 48) - 0.5
    assert np.allclose(cells, np.rint(cells)), "one sample in the middle of each cell"


def test_splatting_takes_the_mean_inside_each_pixel():
    numbers = random(8)
    uvs = numbers.random((500, 2))
    colours = numbers.random((500, 3))
    count = len(uvs)
    texels = Texels(np.zeros(count, dtype=int), np.zeros((count, 3)), uvs)
    pixels = splat_texels(texels, colours, (4, 5))
    assert pixels.shape == (4, 5, 3)
    for row in range(4):
        for column in range(5):
            inside = ((uvs * (5, 4)).astype(int) == (column, row)).all(axis=1)
            assert np.abs(pixels[row, column] - 255 * colours[inside].mean(axis=0)).max() <= 0.5 + 1e-6


def test_samples_at_the_far_edge_belong_to_the_last_pixel():
    texels = Texels(np.zeros(1, dtype=int), np.zeros((1, 3)), np.ones((1, 2)))
    assert (splat_texels(texels, np.ones((1, 4)), (3, 3)) == 255).all()


def test_nothing_to_splat_is_black():
    texels = Texels(np.zeros(0, dtype=int), np.zeros((0, 3)), np.zeros((0, 2)))
    assert not splat_texels(texels, np.zeros((0, 3)), (5, 7)).any()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_gaps_are_filled_and_known_pixels_kept(height, width, seed, density):
    numbers = random(seed)
    weight = np.where(numbers.random((height, width)) < density, numbers.integers(1, 5, (height, width)), 0)
    weight[numbers.integers(height), numbers.integers(width)] = 2
    values = numbers.uniform(0.2, 0.8, (height, width, 3))
    filled = fill_gaps(values * weight[:, :, None], weight.astype(np.float64))
    known = weight > 0
    assert np.allclose(filled[known], values[known])
    assert filled.min() >= values[known].min() - 1e-9
    assert filled.max() <= values[known].max() + 1e-9, "gaps lie between what is known"


def test_gaps_take_the_colour_of_their_surroundings():
    values = np.zeros((16, 16, 1))
    values[:, 8:] = 1
    weight = np.ones((16, 16))
    weight[2:6, 2:6] = weight[2:6, 10:14] = 0
    filled = fill_gaps(values * weight[:, :, None], weight)
    assert filled[2:6, 2:6].max() < 0.3
    assert filled[2:6, 10:14].min() > 0.7
