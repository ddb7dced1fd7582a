"""The round-trip table measures what it says, and fails when a check fails."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from squeeze3d.bench import roundtrip
from squeeze3d.quality.figures import Measurement

PERFECT = Measurement(math.inf, 1.0, math.inf, math.inf, 1.0)


@pytest.mark.slow
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


@pytest.mark.slow
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
