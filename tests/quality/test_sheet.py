"""The contact sheet."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sample_assets as samples
from comparisons import moved, quick
from PIL import Image

from squeeze3d.quality.report import Comparison
from squeeze3d.quality.sheet import contact_sheet, difference, draw_sheet


@pytest.fixture(scope="module")
def mesh() -> Comparison:
    return quick(samples.textured_cube(), moved(samples.textured_cube(), 0.1), resolution=256)


def test_is_a_png_with_the_measured_views_pixel_for_pixel(mesh: Comparison):
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(mesh))).convert("RGB"))
    assert (sheet[:3] == 255).all()
    for images in (mesh.reference.images, mesh.views):
        for channel in (images.albedo, images.shaded):
            assert channel is not None
            for view in (0, 3, 6, 9):
                assert contains(sheet, np.rint(channel[view] * 255).astype(np.uint8)), view


def contains(sheet: np.ndarray, tile: np.ndarray) -> bool:
    height, width = tile.shape[:2]
    # Tiles have frames, so that few places need a closer look.
    corner = (sheet[:-height, :-width] == tile[0, 0]).all(axis=2) & (
        sheet[height - 1 : -1, width - 1 : -1] == tile[-1, -1]
    ).all(axis=2)
    frame = (sheet == 255).all(axis=2)
    starts = np.argwhere(corner[1:, 1:] & ~frame[: -height - 1, 1:-width] & ~frame[1:-height, : -width - 1]) + 1
    return any((sheet[top : top + height, left : left + width] == tile).all() for top, left in starts)


def test_difference_is_white_where_nothing_differs_and_darkens_with_it():
    picture = np.full((1, 5, 3), 0.5)
    other = picture.copy()
    other[0, :, 1] += [0, 0.02, 0.05, 0.15, 0.4]
    shown = difference(picture, other).astype(int).sum(axis=2)[0]
    assert shown[0] == 3 * 255
    assert (np.diff(shown) < 0).all()
    assert shown[4] < 60


def test_kinds_without_light_have_half_the_columns(mesh: Comparison):
    cloud = quick(samples.points(), moved(samples.points()), resolution=256)
    assert draw_sheet(cloud).width < 0.6 * draw_sheet(mesh).width


@pytest.mark.parametrize("name", ["x" * 300 + ".glb", "模型\u202e\x1b.glb", "<b>&amp;</b>.glb", ""])
def test_any_name_fits_in(name: str):
    triangle = samples.single_triangle()
    sheet = np.asarray(draw_sheet(quick(triangle, triangle, names=(name, name), resolution=128)))
    assert (sheet[:, -20:] == 255).all(), "the caption leaves its margin"
    assert (sheet[:60] < 255).any()


def test_same_bytes_twice():
    comparison = quick(samples.textured_cube(), moved(samples.textured_cube()))
    assert contact_sheet(comparison) == contact_sheet(comparison)
