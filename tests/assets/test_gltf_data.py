"""The glTF reader over a folder of real files; set `SQUEEZE3D_DATA` to a folder with a `manifest.jsonl`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from squeeze3d.assets.gltf import read, write
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.source import Source

pytestmark = pytest.mark.skipif("SQUEEZE3D_DATA" not in os.environ, reason="SQUEEZE3D_DATA is not set")


def entries() -> list[dict[str, object]]:
    folder = Path(os.environ["SQUEEZE3D_DATA"])
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return [x for x in map(json.loads, lines) if x["file"].endswith(".glb") and (folder / x["file"]).is_file()]


def load(name: str) -> Source:
    path = Path(os.environ["SQUEEZE3D_DATA"]) / name
    return Source(path.read_bytes(), path.name, path.parent)


def test_face_and_vertex_counts_match_the_manifest() -> None:
    for entry in entries():
        mesh = read(load(str(entry["file"])), LossReport())
        assert (mesh.face_count, mesh.vertex_count) == (entry["faces"], entry["vertices"]), entry["file"]


def test_written_files_read_back_and_settle() -> None:
    for entry in entries()[::10]:
        mesh = read(load(str(entry["file"])), LossReport())
        files = write(mesh, "x.glb", LossReport())
        again = read(Source(files["x.glb"], "x.glb"), LossReport())
        assert np.array_equal(again.bounds(), mesh.bounds())
        assert write(again, "x.glb", LossReport()) == files


def test_bounds_and_areas_match_trimesh() -> None:
    import trimesh

    for entry in entries()[::40]:
        source = load(str(entry["file"]))
        mesh = read(source, LossReport())
        scene = trimesh.load(trimesh.util.wrap_as_stream(source.data), file_type="glb", process=False)
        assert np.allclose(mesh.bounds(), scene.bounds, rtol=1e-6), entry["file"]
        area = 0.0
        for primitive, matrix in mesh.instances():
            corners = (primitive.positions @ matrix[:3, :3].T + matrix[:3, 3])[primitive.triangles]
            crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            area += np.linalg.norm(crossed, axis=1).sum() / 2
        assert np.isclose(area, scene.area, rtol=1e-4), entry["file"]
