"""Samples of cells and their symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.codecs.lite.cells import mixed_flags, surface_flags
from squeeze3d.codecs.lite.patches import NEAR, SCALARS
from squeeze3d.training.lite_data import UNIT
from squeeze3d.training.lite_patches import join, sample_cells, sample_surface_cells, sub_cell_order


def slanted(normal: np.ndarray, size: int = 11):
    """Structure, fine distances and centre distances of a half space through the middle of a grid."""
    unit = normal / np.linalg.norm(normal)
    grids = []
    for factor, margin in ((1, 0), (4, 1)):
        axis = -margin - 0.5 + (np.arange(factor * (size + 2 * margin)) + 0.5) / factor - (size - 1) / 2
        grids.append(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) @ unit)
    centre, fine = grids
    occupied = centre < 0.5
    mixed = mixed_flags(occupied)
    blocks = fine.reshape(size + 2, 4, size + 2, 4, size + 2, 4).transpose(0, 2, 4, 1, 3, 5)[mixed].reshape(-1, 64)
    signed = [np.clip(np.rint(d / UNIT), -37, 37).astype(np.int8) for d in (blocks, centre[surface_flags(occupied)])]
    return occupied, *signed


def slope(rows: np.ndarray) -> np.ndarray:
    """(N, 3) mean growth of (N, 64) distances along each axis."""
    cubes = rows.reshape(-1, 4, 4, 4).astype(float)
    return np.stack([np.diff(cubes, axis=k).mean(axis=(1, 2, 3)) for k in (1, 2, 3)], axis=1)


@pytest.mark.parametrize("number", [0, 5, 22, 47])
def test_all_columns_turn_together(number):
    """Distances grow where the structure ends, before and after a symmetry."""
    rng = np.random.default_rng(0)
    pool = sample_cells(*slanted(np.array([1.0, 0.5, 0.2])), 2000, rng)
    pool = pool.take(np.flatnonzero(np.abs(pool.fine.mean(axis=1)) < 5))
    assert len(pool) > 20
    turned = pool.take(np.arange(len(pool)), number)
    grown = slope(turned.fine).mean(axis=0)
    assert np.sort(np.abs(grown)) == pytest.approx(np.sort(np.abs(slope(pool.fine).mean(axis=0))), rel=1e-6)
    weight = turned.structure[:, : len(NEAR)].astype(float) @ NEAR
    assert (np.sign(weight.mean(axis=0)) == -np.sign(grown)).all()
    # Scalars to the side that the surface is sloped to are larger.
    seen = turned.surface.astype(float)
    assert ((turned.distances * seen) @ SCALARS).mean(axis=0) @ grown > 0


def test_symmetries_keep_the_values_of_a_cell():
    for number in range(48):
        assert np.array_equal(np.sort(sub_cell_order(number)), np.arange(64))


def test_takes_no_more_cells_than_asked():
    sides = slanted(np.array([0.0, 0.0, 1.0]))
    rng = np.random.default_rng(0)
    assert len(sample_cells(*sides, 7, rng)) == 7
    everything = sample_cells(*sides, 10**6, rng)
    assert len(everything) < mixed_flags(sides[0]).sum(), "empty cells far from the surface are left out"
    assert len(join([everything, everything])) == 2 * len(everything)


def test_surface_cells_carry_their_own_distance():
    occupied, _, centres = slanted(np.array([0.3, 1.0, 0.1]))
    pool = sample_surface_cells(occupied, centres, 10**6, np.random.default_rng(0))
    middle = len(SCALARS) // 2
    assert np.array_equal(pool.distances[:, middle], centres)
    assert pool.surface[:, middle].all()
