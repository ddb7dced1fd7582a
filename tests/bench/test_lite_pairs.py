"""The bench of the embedded pairs measures what comes back, goes on after a stop, and tells weights apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from squeeze3d.assets import save
from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.points import PointCloud
from squeeze3d.bench import lite_pairs
from squeeze3d.bench.lite_pairs import POINTS, cell_overlap, cloud_figures, details, read_asset, sampled_mesh, table
from squeeze3d.errors import Sq3Error
from squeeze3d.training.shapes.procedural import procedural_mesh


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "no-weights-of-users"))
    monkeypatch.setattr(lite_pairs, "VIEW", 24)
    monkeypatch.setattr(lite_pairs, "SHEET_VIEW", 32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cloud(shift: float = 0.0) -> PointCloud:
    """A grid of points in a plane, grey."""
    x, y = np.meshgrid(np.arange(41) / 20, np.arange(21) / 20)
    places = np.stack([x, y, 0 * x + shift], axis=-1).reshape(-1, 3).astype(np.float32)
    return PointCloud(places, np.full((len(places), 4), 200, dtype=np.uint8))


def field(first: int = 4, last: int = 12) -> RadianceField:
    """A red cube in a grid of 16 cells."""
    grid = np.zeros((16, 16, 16, 4), dtype=np.float32)
    grid[first:last, 4:12, 4:12] = (0.8, 0.1, 0.1, 60.0)
    return RadianceField(grid, np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32))


def test_chamfer_adds_both_directions_in_percent_of_the_longest_side():
    figures = cloud_figures(cloud(), cloud(shift=0.02))
    assert figures["chamfer"] == pytest.approx(100 * 2 * 0.02 / 2, rel=1e-4)
    assert figures["luma"] == float("inf")
    assert "luma" not in cloud_figures(cloud(), PointCloud(cloud().positions))


def test_overlap_counts_dense_cells():
    assert cell_overlap(field(), field()) == 1
    assert cell_overlap(field(), field(6, 14)) == pytest.approx(6 / 10)


def test_meshes_stand_for_coloured_points_on_their_surface():
    points = sampled_mesh(procedural_mesh(900_004))
    assert points.positions.shape == (POINTS, 3)
    assert np.array_equal(points.positions, sampled_mesh(procedural_mesh(900_004)).positions)


def test_a_run_measures_clouds_and_fields_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, output = tmp_path / "assets", tmp_path / "out"
    folder.mkdir()
    save(cloud(), folder / "plane.ply")
    save(field(), folder / "cube.npz")
    arguments = [str(folder), "-o", str(output), "--refine", "0", "--apart", "plane", "--rates"]
    assert lite_pairs.main([*arguments, "1"]) == 0
    calls = []
    run = lite_pairs.run

    def spy(asset: Any, rate: int, *rest: Any) -> Any:
        calls.append(rate)
        return run(asset, rate, *rest)

    monkeypatch.setattr(lite_pairs, "run", spy)
    assert lite_pairs.main([*arguments, "1", "3"]) == 0
    assert calls == [3, 3]
    records = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert {(r["asset"], r["rate"], r["group"]) for r in records} == {
        (name, rate, group) for name, group in (("plane", "scenes"), ("cube", "fields")) for rate in (1, 3)
    }
    assert all(40 < r["bytes"] < 1000 for r in records)
    assert {"chamfer", "d1", "luma"} <= next(r for r in records if r["codec"] == "points.lite").keys()
    assert {"iou", "psnr"} <= next(r for r in records if r["codec"] == "field.lite").keys()
    text = (output / "table.md").read_text()
    assert text.count("| scenes |") == text.count("| fields |") == 2
    assert lite_pairs.main([*arguments, "1", "--only", "plane", "--sheet", "1/0"]) == 0
    from PIL import Image

    with Image.open(output / "sheet.png") as picture:
        assert picture.size == (2 * 2 * 32, 32)


def test_files_that_hold_neither_points_nor_fields_are_refused(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(b"no field")
    with pytest.raises(Sq3Error):
        read_asset(tmp_path / "a.npz")


def test_tables_leave_out_what_failed_and_colours_that_are_not_there():
    about = {"codec": "points.lite", "weights": "aa", "group": "clouds", "rate": 2, "refine": 0, "encode_s": 1.0}
    records = [
        {**about, "asset": "a", "bytes": 100, "chamfer": 2.0, "d1": 30.0, "luma": 20.0},
        {**about, "asset": "b", "bytes": 200, "chamfer": 4.0, "d1": 40.0},
        {**about, "asset": "c", "bytes": None, "reason": "no points"},
    ]
    assert table(records, "points.lite").splitlines()[2] == "| clouds | 2 | 0 | 2 | 150 | 3.00 | 35.0 | 20.0 | 1.0 |"
    lines = details(records, "points.lite", 2, 0).splitlines()
    assert lines[2:] == [
        "| a | clouds | 100 | 2.00 | 30.0 | 20.0 |",
        "| b | clouds | 200 | 4.00 | 40.0 | – |",
        "| c | clouds | – | – | – | – |",
    ]
