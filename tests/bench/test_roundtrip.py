"""The round-trip table measures what it says, and fails when a check fails."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from squeeze3d.assets import Mesh, Primitive, save
from squeeze3d.bench import roundtrip
from squeeze3d.quality.figures import Measurement

PERFECT = Measurement(math.inf, 1.0, math.inf, math.inf, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 2) for z in (0, 3)], dtype=np.float32)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = np.array([t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))], dtype=np.int32)
    colours = np.ones((8, 4), dtype=np.float32)
    colours[:, 0] = np.linspace(0, 1, 8)
    save(Mesh((Primitive(corners, triangles, colours=colours),)), tmp_path / "box.glb")
    (tmp_path / "notes.txt").write_text("not an asset")
    return tmp_path


def test_row_counts_bytes_on_disk_and_finds_no_problem(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    row = roundtrip.run(folder / "box.glb", tmp_path_factory.mktemp("scratch"), "600")
    assert row.bytes_in == (folder / "box.glb").stat().st_size
    assert 0 < row.bytes_out <= 600
    assert row.problems == ()
    assert row.box_error < 0.02


def test_default_quality_is_checked_on_the_decoded_file(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    row = roundtrip.run(folder / "box.glb", tmp_path_factory.mktemp("scratch"))
    assert row.problems == ()
    assert row.measured.psnr >= 27.5


def test_lost_colours_and_moved_boxes_are_problems(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    looks = iter(
        [
            roundtrip.Look(np.zeros(3), np.ones(3), coloured=True),
            roundtrip.Look(np.zeros(3), np.array([1, 1, 1.1]), coloured=False),
        ]
    )
    monkeypatch.setattr(roundtrip, "look", lambda path: next(looks))
    row = roundtrip.run(folder / "box.glb", tmp_path_factory.mktemp("scratch"), "600")
    assert row.problems == ("box moved by 10.0%", "colours are gone")


def test_table_has_a_line_per_file_and_totals():
    row = roundtrip.Row("a.glb", 1000, 10, 1.0, 0.5, "any.raw", 0.001, PERFECT, ())
    lines = roundtrip.table([row, row]).splitlines()
    assert len(lines) == 5
    assert "2,000 | 20 | 100" in lines[-1]
