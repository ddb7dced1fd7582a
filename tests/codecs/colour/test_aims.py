"""Colours that are fitted to what is read between cells."""

from __future__ import annotations

import numpy as np
import pytest
from colour_cases import shell

from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.codecs.colour import CellAims, ColourMode, ColourSettings, PointAims, lookup
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.model import encode_cells

FINE = ColourSettings(step=1, strength=0.0)


@pytest.fixture(scope="module")
def full() -> Hierarchy:
    return Hierarchy(shell(14))


@pytest.fixture(scope="module")
def points(full) -> np.ndarray:
    random = np.random.default_rng(1)
    cells = full.levels[-1].cells
    return np.repeat(cells, 12, axis=0) + random.uniform(-0.5, 0.5, (12 * len(cells), 3))


def stripes(points) -> np.ndarray:
    return np.where((points[:, :1] // 2) % 2 == 0, [[230.0, 40.0, 30.0]], [[30.0, 60.0, 210.0]])


def coded(full, aims, settings):
    return encode_cells(SymbolEncoder(), full, aims, settings)


@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("mode", [ColourMode.PYRAMID, ColourMode.PALETTE, ColourMode.SUM])
def test_the_error_is_that_of_what_is_read_at_the_points(full, points, mode, skip):
    rgb, importance = stripes(points), np.random.default_rng(2).uniform(0.1, 2, len(points))
    aims = PointAims(full, points, rgb, importance)
    colours = coded(full, aims, ColourSettings(mode, skip=skip))
    read = 255.0 * lookup(colours, points)
    error = (importance @ (read - rgb) ** 2).mean() / importance.sum()
    assert aims.error(colours) == pytest.approx(error, rel=1e-3)


def test_fitted_colours_are_read_closer_than_means_of_cells(full, points):
    rgb, ones = stripes(points), np.ones(len(points))
    aims = PointAims(full, points, rgb, ones)
    cell = np.ravel_multi_index(tuple(np.floor(points + 0.5).astype(int).T), full.levels[-1].shape)
    _, owner = np.unique(cell, return_inverse=True)
    counts = np.bincount(owner, minlength=full.count)
    means = np.stack([np.bincount(owner, rgb[:, k], full.count) for k in range(3)], axis=1) / counts[:, None]
    plain = coded(full, CellAims(full, means, counts.astype(float)), FINE)
    assert aims.error(coded(full, aims, FINE)) < 0.9 * aims.error(plain)


def test_one_colour_is_fitted_exactly(full, points):
    rgb = np.broadcast_to([10.0, 200.0, 90.0], (len(points), 3))
    colours, weights = PointAims(full, points, rgb, np.ones(len(points))).at(0)
    np.testing.assert_allclose(colours[weights > 0] - rgb[0], 0, atol=1e-6)


def test_important_points_decide():
    full = Hierarchy(np.ones((1, 1, 1), dtype=bool))
    rgb = np.array([[0.0, 0, 0], [200.0, 200, 200]])
    colours, _ = PointAims(full, np.zeros((2, 3)), rgb, np.array([1.0, 3.0])).at(0)
    np.testing.assert_allclose(colours, 150)


def test_cells_that_no_point_reads_are_free(full):
    first = full.levels[-1].cells[:1].astype(float)
    _, weights = PointAims(full, first, np.zeros((1, 3)), np.ones(1)).at(0)
    assert weights[0] > 0
    assert np.count_nonzero(weights) == 1


def test_points_beside_all_cells_still_give_their_mean(full):
    far = np.full((2, 3), 6.5)
    rgb = np.array([[0.0, 0, 0], [100.0, 50, 20]])
    aims = PointAims(full, far, rgb, np.ones(2))
    colours, weights = aims.at(0)
    assert weights.all()
    np.testing.assert_allclose(colours, np.broadcast_to([50, 25, 10], colours.shape))
    assert np.isfinite(aims.error(coded(full, aims, FINE)))


@pytest.mark.parametrize(
    ("rgb", "weights"),
    [(np.zeros((2, 3)), np.ones(1)), (np.full((1, 3), np.nan), np.ones(1)), (np.zeros((1, 3)), -np.ones(1))],
)
def test_rejects_colours_and_weights_that_do_not_fit(rgb, weights):
    with pytest.raises(ValueError, match=r"colours and weights"):
        CellAims(Hierarchy(np.ones((1, 1, 1), dtype=bool)), rgb, weights)
