"""`cells`: one point a cell, nothing but the file needed to decode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import PointCloud
from squeeze3d.bench.contenders.cells import Cells


def test_finer_cells_are_nearer(tmp_path: Path):
    peer, asset = Cells(), sample_assets.points()
    path, chosen = saved(asset, tmp_path), settings(peer, asset)
    coarse, fine = (round_trip(peer, path, chosen[label]) for label in ("5 bits", "14 bits"))
    assert coarse[0].size < fine[0].size
    assert coarse[2].d1_psnr is not None
    assert fine[2].d1_psnr is not None
    assert fine[2].d1_psnr > coarse[2].d1_psnr + 40
    assert fine[2].colour_psnr is not None
    assert fine[2].colour_psnr > 40


def test_points_of_a_cell_are_one_with_the_mean_colour(tmp_path: Path):
    positions = np.array([[0, 0, 0], [0.01, 0, 0], [1, 2, 4]], dtype=np.float32)
    colours = np.array([[0, 10, 20, 255], [100, 30, 20, 255], [7, 8, 9, 255]], dtype=np.uint8)
    peer, asset = Cells(), PointCloud(positions, colours)
    encoded, decoded, _ = round_trip(peer, saved(asset, tmp_path), settings(peer, asset)["4 bits"])
    assert encoded.notes["points"] == 2
    assert isinstance(decoded, PointCloud)
    assert decoded.colours is not None
    assert decoded.colours.tolist() == [[50, 20, 20, 255], [7, 8, 9, 255]]
    assert np.abs(decoded.positions - positions[[0, 2]]).max() <= 4 / 15 / 2 + 1e-6


def test_cloud_without_colours_or_extent(tmp_path: Path):
    peer, asset = Cells(), PointCloud(np.full((3, 3), 2, dtype=np.float32))
    _, decoded, _ = round_trip(peer, saved(asset, tmp_path), settings(peer, asset)["8 bits"])
    assert isinstance(decoded, PointCloud)
    assert decoded.colours is None
    assert np.allclose(decoded.positions, 2)
