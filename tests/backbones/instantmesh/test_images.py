"""What InstantMesh's encoder and Zero123++ are shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.backbones.instantmesh.images import frame_object, prepare_views, split_tiles
from squeeze3d.errors import InputError


def test_views_become_channels_first_numbers_from_0_to_1():
    views = np.random.default_rng(0).integers(0, 256, (6, 320, 320, 3), dtype=np.uint8)
    prepared = prepare_views(views)
    assert prepared.shape == (6, 3, 320, 320)
    assert prepared.dtype == torch.float32
    assert torch.equal(prepared[2, 1], torch.from_numpy(views[2, :, :, 1]) / 255)
    assert torch.equal(prepare_views(views.astype(np.float64) / 255), prepared)


def test_what_is_transparent_is_white():
    views = np.zeros((1, 8, 8, 4), dtype=np.uint8)
    views[0, 0, 0] = [255, 0, 51, 255]
    views[0, 0, 1] = [255, 0, 0, 51]
    pixels = prepare_views(views, 8)[0]
    assert pixels[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    assert pixels[:, 0, 1].tolist() == pytest.approx([1, 0.8, 0.8])
    assert (pixels[:, 1:] == 1).all()


def test_other_sizes_are_resampled_without_ringing_beyond_white():
    views = np.ones((2, 512, 512, 3), dtype=np.float32)
    views[:, 128:384, 128:384] = 0
    pixels = prepare_views(views)
    assert pixels.shape == (2, 3, 320, 320)
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert float(pixels.mean()) == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize("shape", [(320, 320, 3), (6, 3, 320, 320), (0, 320, 320, 3), (1, 8, 8, 2)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(InputError, match="views are arrays"):
        prepare_views(np.zeros(shape, dtype=np.uint8))


def test_tiles_are_read_row_by_row():
    tiles = np.arange(6, dtype=np.uint8)
    image = np.kron(tiles.reshape(3, 2, 1), np.ones((4, 5, 3), dtype=np.uint8))
    found = split_tiles(image)
    assert found.shape == (6, 4, 5, 3)
    assert all((found[k] == k).all() for k in range(6))
    with pytest.raises(InputError, match="3 x 2 views"):
        split_tiles(image[:-1])


def test_objects_are_cut_out_and_framed():
    image = np.zeros((50, 60, 4), dtype=np.uint8)
    image[10:31, 20:61] = [1, 2, 3, 255]
    framed = frame_object(image)
    # 20 rows and 39 columns, as the last of each is dropped.
    side = int(39 / 0.85)
    assert framed.shape == (side, side, 4)
    rows, columns = np.nonzero(framed[..., 3])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 39)
    assert (rows.min(), columns.min()) == ((39 - 20) // 2 + (side - 39) // 2, (side - 39) // 2)
    for nothing in (np.zeros((5, 5, 4), np.uint8), np.eye(1, 25, dtype=np.uint8).reshape(5, 5, 1).repeat(4, 2)):
        with pytest.raises(InputError, match="shows nothing"):
            frame_object(nothing)
