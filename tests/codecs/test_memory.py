"""Memory: told before it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import squeeze3d
from squeeze3d.assets import PointCloud
from squeeze3d.codecs import memory
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.errors import LimitError


@pytest.fixture
def cloud() -> PointCloud:
    return PointCloud(np.random.default_rng(0).random((2000, 3), dtype=np.float32))


def test_codec_that_takes_too_much_is_refused_by_name(cloud: PointCloud):
    with pytest.raises(LimitError, match=r"encoding 2,000 points with points\.octree takes about .* `--max-memory`"):
        squeeze3d.compress(cloud, codec="points.octree", max_memory=500_000)
    assert squeeze3d.compress(cloud, codec="points.octree", max_memory=50_000_000)


def test_search_takes_more_than_options(cloud: PointCloud):
    assert squeeze3d.compress(cloud, codec="points.octree", max_memory=1_000_000)
    with pytest.raises(LimitError):
        squeeze3d.compress(cloud, codec="points.octree", max_memory=1_000_000, target_size=3000)


def test_codecs_beyond_the_limit_are_left_out_with_a_reason(cloud: PointCloud):
    found = squeeze3d.encode(cloud, max_memory=500_000)
    assert found.codec.id == "any.raw"
    reasons = {entry["codec"]: entry.get("reason") for entry in found.tried}
    assert "of memory" in reasons["points.octree"]


def test_nothing_is_left_below_the_size_of_the_file(cloud: PointCloud, tmp_path: Path):
    with pytest.raises(LimitError, match="of memory"):
        squeeze3d.compress(cloud, max_memory=50_000)
    path = tmp_path / "cloud.ply"
    squeeze3d.save(cloud, path)
    with pytest.raises(LimitError, match=r"reading `.*cloud\.ply` takes about 24\.\d kB"):
        squeeze3d.compress(path, max_memory=10_000)


def test_limit_is_the_machine_without_another(cloud: PointCloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "physical_memory", lambda: 500_000)
    with pytest.raises(LimitError, match="that this machine has"):
        squeeze3d.compress(cloud, codec="points.octree")
    assert squeeze3d.compress(cloud, codec="points.octree", max_memory=50_000_000)
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    assert squeeze3d.compress(cloud, codec="points.octree")


def test_estimates_grow_with_the_asset(cloud: PointCloud):
    from squeeze3d.assets.formats import read, write_files
    from squeeze3d.assets.source import Source

    spec = codec_by_id("points.octree")
    large = PointCloud(np.tile(cloud.positions, (3, 1)))
    small, more = (
        memory.encoding_bytes(spec, read(Source(write_files(each, "a.ply")["a.ply"], "a.ply")), searches=True)
        for each in (cloud, large)
    )
    assert 2.9 < more / small < 3.1
