"""The bench of published pairs runs from nothing to a table; filled weights are written block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import squeeze3d
from squeeze3d.assets import Mesh, Primitive, RadianceField
from squeeze3d.bench import filled
from squeeze3d.bench.full_size_pair import PAIRS, install, plan, run, spec_of, stages, table


def test_blocks_make_the_numbers_of_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = filled.filled("a.weight", (30, 7))
    monkeypatch.setattr(filled, "BLOCK", 11)
    np.testing.assert_array_equal(filled.filled("a.weight", (30, 7)), whole)
    shapes = {"a.weight": (30, 7), "b": (3,), "c": (2, 2)}
    filled.write_filled(tmp_path / "x", shapes, {"b": np.arange(3, dtype=np.float32)}, {"a.weight": 0.5})
    found = load_file(tmp_path / "x")
    np.testing.assert_array_equal(found["a.weight"], whole * np.float32(0.5))
    np.testing.assert_array_equal(found["b"], [0, 1, 2])
    assert set(found) == set(shapes)


def test_a_field_runs_with_both_halves_of_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    values = np.zeros((9, 8, 7, 4), np.float32)
    values[2:7, 3:5, 1:5] = [0.5, 0.2, 0.1, 20]
    squeeze3d.save(RadianceField(values, np.zeros(3, np.float32), np.ones(3, np.float32)), tmp_path / "block.npz")
    said: list[str] = []
    install("field.nerfmae", "tiny", tmp_path, said.append)
    assert [line.split()[1] for line in said] == ["nerfmae", "mapping.nerfmae"]
    facts = stages("field.nerfmae", "tiny", tmp_path / "block.npz", "cpu")
    assert facts["made"] == "32,768 cells"
    assert {"resample", "encoder", "generator", "one refinement step"} <= facts["seconds"].keys()


@pytest.mark.parametrize("name", PAIRS)
def test_full_sizes_are_the_published_ones(name: str) -> None:
    sizes, pair = plan(name, "full"), spec_of(name, "full")
    assert sizes.latent == pair.generator_shape
    assert sizes.code == pair.code_size
    assert sizes.feature == pair.encoder_shape


def test_the_small_point_pair_has_the_shortest_code() -> None:
    assert spec_of("points.lion", "small").mapping == "mapping.lion-1024"
    assert plan("points.lion", "small").generator == plan("points.lion", "full").generator


@pytest.mark.slow
def test_a_run_measures_processes_and_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    squeeze3d.save(Mesh((Primitive(positions, triangles),)), tmp_path / "corner.glb")
    said: list[str] = []
    facts = run("mesh.shape", "tiny", tmp_path / "corner.glb", tmp_path, "cpu", said.append)
    assert len(said) == 3
    assert facts["bytes"] == (tmp_path / "packed.sq3").stat().st_size < 80
    assert int(facts["made"].removesuffix(" faces").replace(",", "")) > 1000
    assert {"compress", "decompress"} == set(facts["runs"])
    assert all(each["seconds"] > 0.1 and each["megabytes"] > 50 for each in facts["runs"].values())
    assert all(each["cpu_seconds"] > 0.1 for each in facts["runs"].values())
    assert facts["cpu_seconds"].keys() == facts["seconds"].keys()
    text = table(facts)
    assert "| generator |" in text
    assert "Constructed weights" in text
    assert "GPU" not in text
