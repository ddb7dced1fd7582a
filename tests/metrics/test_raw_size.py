"""What the places of a cloud take without compression."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.assets.points import PointCloud
from squeeze3d.metrics import raw_size as module
from squeeze3d.metrics.raw_size import RawSize, raw_size


@pytest.mark.parametrize("piece", [3, 1000])
def test_text_is_as_long_as_lines_of_shortest_decimals(piece, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", piece)
    places = (np.random.default_rng(0).normal(size=(50, 3)) * [1, 1e-9, 1e9]).astype(np.float32)
    lines = "".join(" ".join(map(str, row)) + "\n" for row in places)
    assert raw_size(PointCloud(places)) == RawSize(50, 600, len(lines))


def test_2048_points_take_24576_bytes():
    assert raw_size(PointCloud(np.zeros((2048, 3), np.float32))).binary == 24_576
