"""Surface cells and mixed cells, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.codecs.lite.cells import box_sums, mixed_flags, surface_cells

SHAPES = [(1, 1, 1), (2, 1, 3), (6, 5, 4)]


def structures():
    rng = np.random.default_rng(3)
    return [rng.random(shape) < share for shape in SHAPES for share in (0.3, 0.8, 1.1)]


@pytest.mark.parametrize("occupied", structures(), ids=str)
def test_surface_cells_have_an_empty_face_neighbour(occupied):
    padded = np.pad(occupied, 1)
    expected = []
    for cell in np.ndindex(occupied.shape):
        x, y, z = np.array(cell) + 1
        faces = [padded[x - 1, y, z], padded[x + 1, y, z], padded[x, y - 1, z]]
        faces += [padded[x, y + 1, z], padded[x, y, z - 1], padded[x, y, z + 1]]
        if occupied[cell] and not all(faces):
            expected.append(cell)
    assert surface_cells(occupied).tolist() == [list(cell) for cell in expected]


@pytest.mark.parametrize("occupied", structures(), ids=str)
def test_mixed_cells_see_both_kinds(occupied):
    padded = np.pad(occupied, 2)
    found = mixed_flags(occupied)
    for cell in np.ndindex(found.shape):
        box = padded[tuple(slice(k, k + 3) for k in cell)]
        assert found[cell] == (box.any() and not box.all())


def test_box_sums_count_cells():
    occupied = np.pad(np.random.default_rng(0).random((4, 5, 6)) < 0.5, 2).astype(np.uint8)
    sums = box_sums(occupied)
    for x, y, z in np.ndindex(4, 5, 6):
        assert sums[x + 2, y + 2, z + 2] == occupied[x + 1 : x + 4, y + 1 : y + 4, z + 1 : z + 4].sum()
