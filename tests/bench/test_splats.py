"""Peers of the bench of splats do what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from splat_samples import scene

import squeeze3d
from squeeze3d.assets.points import PointCloud
from squeeze3d.bench.splats import CHUNK, KEYS, Scene, halves, main, packed, run, table, wanted
from squeeze3d.codecs.splats.gaussians import from_splats
from squeeze3d.errors import InputError


def test_packed_takes_sixteen_bytes_a_splat_and_two_boxes_a_chunk():
    splats = scene(600)
    plain, zipped = packed(splats)
    assert plain.size == 600 * 16 + -(-600 // CHUNK) * 2 * 24
    assert zipped.size < plain.size + 50
    assert np.allclose(np.sort(plain.splats.positions, axis=0), np.sort(splats.positions, axis=0), atol=2e-3)
    assert np.allclose(np.sort(plain.splats.scales, axis=None), np.sort(splats.scales, axis=None), atol=0.01)


def test_packed_keeps_shapes():
    splats = scene(1)
    before, after = from_splats(splats), from_splats(packed(splats)[0].splats)
    shapes = [(g.axes * np.exp(2 * g.logs)[:, None, :]) @ g.axes.transpose(0, 2, 1) for g in (before, after)]
    assert np.allclose(*shapes, rtol=0.02, atol=0.01 * shapes[0].max())


def test_halves_are_halves():
    splats = scene(100, degree=1)
    back = halves(splats).splats
    assert back.sh_rest.shape == splats.sh_rest.shape
    assert np.array_equal(back.positions, splats.positions.astype(np.float16).astype(np.float32))


@pytest.fixture
def folder(tmp_path):
    squeeze3d.save(scene(60), tmp_path / "ball.ply")
    return tmp_path


def test_a_result_has_what_the_table_shows(folder):
    record = {"asset": "ball", "file": 5000, "what": "all", "asked": 12}
    record |= run(Scene(folder / "ball.ply"), "all", 12, 1)
    assert record["splats"] == 60
    assert "| ball | `splats.quant`, all, fineness 12 | 60 |" in table([record])


def test_known_results_are_not_measured_again(folder, capsys):
    out = folder / "out"
    out.mkdir()
    known = [
        {"asset": "ball", "what": what, "asked": asked, "file": 9, "bytes": 3, "splats": 1} for what, asked in wanted()
    ]
    (out / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in known))
    assert main([str(folder), "-o", str(out)]) == 0
    assert capsys.readouterr().out.count("| ball |") == len(known)
    assert all(key in known[0] for key in KEYS)


def test_other_assets_are_refused(folder):
    squeeze3d.save(PointCloud(np.eye(3, dtype=np.float32)), folder / "dots.ply")
    with pytest.raises(InputError, match="no splats"):
        Scene(folder / "dots.ply")
