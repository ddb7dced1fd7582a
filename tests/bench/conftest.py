"""A folder with one small asset, and small pictures of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from squeeze3d.assets import Mesh, Primitive, save
from squeeze3d.bench import equal_bytes, lite_ablation
from squeeze3d.quality import measure


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


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures on pictures that take a moment."""
    small = {"resolution": 64, "supersample": 1}
    monkeypatch.setattr(measure, "Reference", partial(measure.Reference, **small))
    for module in (equal_bytes, lite_ablation):
        monkeypatch.setattr(module, "Named", partial(equal_bytes.Named, **small))
