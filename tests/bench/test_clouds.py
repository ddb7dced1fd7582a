"""The table of clouds goes on with logs there are, and compares what both codecs reach."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sample_assets import random

import squeeze3d
from squeeze3d.assets import PointCloud
from squeeze3d.bench import clouds

pytest.importorskip("DracoPy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    places = random(1).normal(size=(300, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    colours = np.full((300, 4), 255, np.uint8)
    squeeze3d.save(PointCloud(places.astype(np.float32), colours), tmp_path / "ball.ply")
    return tmp_path


def test_measures_both_codecs_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clouds, "DEPTHS", (6, 8))
    monkeypatch.setattr(clouds, "BITS", (6, 8))
    arguments = [str(folder), "-o", str(folder / "out")]
    clouds.main(arguments)
    log = folder / "out" / "results.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    done = {(record["codec"], record["bits"], record["colours"]) for record in records}
    assert done == {
        ("points.octree", 6, False),
        ("points.octree", 8, False),
        ("draco", 6, False),
        ("draco", 8, False),
        ("draco merged", 6, False),
        ("draco merged", 8, False),
        ("zstd-19", 32, False),
        ("draco", 8, True),
        ("points.octree", 8, True),
    }
    distances = {(record["codec"], record["bits"]): record.get("d1") for record in records if not record["colours"]}
    assert distances["draco", 8] == distances["draco merged", 8] > distances["draco", 6]
    table = (folder / "out" / "table.md").read_text()
    assert "| ball | 300 |" in table
    assert "**mean**" in table

    before = log.read_text()
    monkeypatch.delattr(clouds, "_ours")
    monkeypatch.delattr(clouds, "_draco")
    clouds.main(arguments)
    assert log.read_text() == before
