"""`sq3d decompress` in this process."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_assets import ball

import squeeze3d
from squeeze3d import Mesh, PointCloud, Primitive
from squeeze3d.codecs import registry
from squeeze3d.codecs.spec import RawFiles
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import flatten

from .conftest import RAW, Run, files_in


@pytest.fixture
def packed(sq3d: Run, cube: Path) -> Path:
    """`cube.sq3` without the file it was made of."""
    assert sq3d("compress", cube, *RAW, "-q").code == 0
    cube.rename("original")
    return cube.with_suffix(".sq3")


@pytest.fixture
def packed_obj(sq3d: Run, obj: Path) -> Path:
    """`red.sq3`, which holds `red.obj` and `red.mtl`; both are moved to `given`."""
    assert sq3d("compress", obj, *RAW, "-q").code == 0
    Path("given").mkdir()
    for name in ("red.obj", "red.mtl"):
        Path(name).rename(Path("given") / name)
    return obj.with_suffix(".sq3")


def test_writes_the_original_type_next_to_the_input(sq3d: Run, packed: Path) -> None:
    run = sq3d("decompress", packed)
    assert (run.code, run.out) == (0, b"")
    assert run.err.startswith("cube.sq3  ")
    assert Path("cube.off").read_bytes() == Path("original").read_bytes()


def test_stored_side_files_come_back_verbatim(sq3d: Run, packed_obj: Path) -> None:
    run = sq3d("decompress", packed_obj, "--json")
    assert run.code == 0
    files = run.document["results"][0]["files"]
    assert [Path(name).name for name in files] == ["red.obj", "red.mtl"]
    assert "with side files: red.mtl" in run.err
    for name in ("red.obj", "red.mtl"):
        assert Path(name).read_bytes() == (Path("given") / name).read_bytes()


def test_main_file_takes_the_name_of_the_output(sq3d: Run, packed_obj: Path) -> None:
    assert sq3d("decompress", packed_obj, "-o", "given/other.obj", "-f").code == 0
    assert files_in(Path("given")) == ["other.obj", "red.mtl", "red.obj"]


def test_side_files_are_not_overwritten_without_force(sq3d: Run, packed_obj: Path) -> None:
    Path("red.mtl").write_text("mine")
    run = sq3d("decompress", packed_obj)
    assert run.code == 5
    assert "red.mtl" in run.err
    assert not Path("red.obj").exists()
    assert Path("red.mtl").read_text() == "mine"
    assert sq3d("decompress", packed_obj, "-f").code == 0
    assert Path("red.mtl").read_text() != "mine"


def test_side_files_with_the_same_content_are_shared(sq3d: Run, packed_obj: Path) -> None:
    assert sq3d("decompress", packed_obj).code == 0
    assert sq3d("decompress", packed_obj, "-o", "twin.obj").code == 0


def test_two_results_never_share_a_differing_side_file_even_with_force(sq3d: Run, packed_obj: Path) -> None:
    Path("given/red.mtl").write_text("newmtl red\nKd 0 1 0\n")
    assert sq3d("compress", "given/red.obj", *RAW, "-o", "green.sq3").code == 0
    run = sq3d("decompress", packed_obj, "green.sq3", "--output-dir", "out", "-f")
    assert run.code == 5
    assert "was already written for" in run.err
    assert files_in(Path("out")) == ["red.mtl", "red.obj"]
    assert b"Kd 1 0 0" in Path("out/red.mtl").read_bytes()


def test_output_named_like_a_side_file_is_refused(sq3d: Run, packed_obj: Path) -> None:
    run = sq3d("decompress", packed_obj, "-o", "red.mtl", "--to", "obj")
    assert run.code == 5
    assert not Path("red.mtl").exists()


def test_side_files_in_folders_get_their_folders(sq3d: Run, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"asset.off": b"main", "textures/wood.png": b"wood"}
    _decode_to(monkeypatch, RawFiles(files))
    assert sq3d("decompress", packed, "--output-dir", "out").code == 0
    assert files_in(Path("out")) == ["cube.off", "textures/wood.png"]
    Path("second").mkdir()
    Path("second/cube.off").touch()
    assert sq3d("decompress", packed, "--output-dir", "second").code == 5
    assert os.listdir("second") == ["cube.off"]


def _decode_to(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    spec = dataclasses.replace(registry.codec_by_id("any.raw"), decode=lambda container, limits: result)
    monkeypatch.setitem(registry._BY_WIRE, spec.wire, spec)


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl", "off"])
def test_suffix_of_the_output_or_to_choose_the_format(sq3d: Run, packed: Path, suffix: str) -> None:
    assert sq3d("decompress", packed, "-o", f"named.{suffix}").code == 0
    assert sq3d("decompress", packed, "--to", suffix, "--output-dir", "out").code == 0
    for path in (f"named.{suffix}", f"out/cube.{suffix}"):
        asset = squeeze3d.load(path)
        assert isinstance(asset, Mesh)
        assert asset.face_count == 12


def test_format_that_cannot_hold_the_asset(sq3d: Run, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _decode_to(monkeypatch, PointCloud(np.eye(3, dtype="f4")))
    run = sq3d("decompress", packed)
    assert run.code == 0
    assert "note: off files cannot hold points; writing ply instead" in run.err
    assert isinstance(squeeze3d.load("cube.ply"), PointCloud)
    assert sq3d("decompress", packed, "--to", "stl").code == 4
    assert not Path("cube.stl").exists()


def test_stdout_takes_a_single_file(sq3d: Run, packed_obj: Path) -> None:
    run = sq3d("decompress", packed_obj, "-c")
    assert run.code == 0
    assert run.out.startswith(b"glTF")
    assert "note: obj would take 2 files" in run.err
    run = sq3d("decompress", packed_obj, "-c", "--to", "obj")
    assert (run.code, run.out) == (4, b"")
    assert "`--to glb`" in run.err


def test_stdin_and_stdout(sq3d: Run, packed: Path) -> None:
    run = sq3d("decompress", "-", stdin=packed.read_bytes())
    assert run.out == Path("original").read_bytes()
    assert sq3d("decompress", "-", "-o", "x.glb", stdin=packed.read_bytes()).code == 0
    assert squeeze3d.load("x.glb")


def test_losses_of_the_output_format_are_listed(sq3d: Run, packed_obj: Path) -> None:
    run = sq3d("decompress", packed_obj, "-o", "x.stl", "--json")
    assert "dropped: " in run.err
    assert run.document["results"][0]["losses"][0]["stage"] == "write"


def test_existing_output_needs_force_and_input_is_never_overwritten(sq3d: Run, packed: Path) -> None:
    Path("cube.off").write_text("mine")
    assert sq3d("decompress", packed).code == 5
    assert Path("cube.off").read_text() == "mine"
    assert sq3d("decompress", packed, "-f").code == 0
    Path("link.off").symlink_to(packed)
    before = packed.read_bytes()
    assert sq3d("decompress", packed, "-f", "-o", "link.off").code == 5
    assert sq3d("decompress", packed, "-f", "-o", packed, "--to", "glb").code == 5
    assert packed.read_bytes() == before


def test_input_without_the_suffix_gets_one(sq3d: Run, packed: Path) -> None:
    packed.rename("thing")
    assert sq3d("decompress", "thing").code == 0
    assert Path("thing.off").exists()


def test_memory_limit_is_enforced(sq3d: Run, packed: Path) -> None:
    run = sq3d("decompress", packed, "--max-memory", "50")
    assert run.code == 6
    assert "`--max-memory`" in run.err
    assert sq3d("decompress", packed, "--max-memory", "1MB").code == 0


def test_damage_names_the_file_and_leaves_nothing(sq3d: Run, packed: Path) -> None:
    Path("cut.sq3").write_bytes(packed.read_bytes()[:-3])
    run = sq3d("decompress", "cut.sq3", packed, "none.sq3")
    assert run.code == 3
    assert "error: cut.sq3: file is cut short" in run.err
    assert "error: none.sq3: no such file" in run.err
    assert files_in(Path()) == ["cube.off", "cube.sq3", "cut.sq3", "original"]


def test_outputs_that_would_collide_are_refused_up_front(sq3d: Run, packed: Path) -> None:
    Path("sub").mkdir()
    Path("sub/cube.sq3").write_bytes(packed.read_bytes())
    run = sq3d("decompress", packed, "sub/cube.sq3", "--output-dir", "out")
    assert run.code == 2
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["a:b", "back\\slash", "noël ☃", os.fsdecode(b"caf\xe9"), "..hidden", "new\nline"])
@pytest.mark.parametrize("format_id", ["obj", "gltf"])
def test_odd_names_give_files_that_load(sq3d: Run, packed: Path, name: str, format_id: str) -> None:
    packed.rename(f"{name}.sq3")
    run = sq3d("decompress", f"{name}.sq3", "--to", format_id)
    assert run.code == 0, run.err
    mesh = squeeze3d.load(f"{name}.{format_id}")
    assert isinstance(mesh, Mesh)
    assert mesh.face_count == 12


def test_coloured_mesh_round_trips_through_every_mesh_format(sq3d: Run) -> None:
    triangle = Mesh((Primitive(np.eye(3, dtype="f4"), np.array([[0, 1, 2]], "i4")),))
    squeeze3d.save(triangle, "t.ply")
    assert sq3d("compress", "t.ply", *RAW).code == 0
    for suffix in ("glb", "gltf", "obj", "stl", "off"):
        assert sq3d("decompress", "t.sq3", "--to", suffix).code == 0
        mesh = squeeze3d.load(f"t.{suffix}")
        assert isinstance(mesh, Mesh)
        assert mesh.face_count == 1


def test_mesh_surface_round_trip_with_a_target_size(sq3d: Run, cube: Path) -> None:
    run = sq3d("compress", cube, "--codec", "mesh.surface", "--target-size", "200", "-v", "--json")
    assert run.code == 0, run.err
    (record,) = run.document["results"]
    assert (record["codec"], record["fidelity"]) == ("mesh.surface", "perceptual")
    assert record["output_bytes"] <= 200
    assert "mesh.surface (perceptual)" in run.err
    assert sq3d("verify", "--deep", "cube.sq3").code == 0
    (info,) = sq3d("info", "cube.sq3", "--json").document["results"]
    assert info["pose"]["scale"] == pytest.approx(1, rel=0.01)
    assert "longest side 1" in sq3d("info", "cube.sq3").text
    for suffix in ("off", "glb"):
        back = sq3d("decompress", "cube.sq3", "-o", f"back.{suffix}", "--json")
        assert back.document["results"][0]["kind"] == "mesh"
        mesh = squeeze3d.load(f"back.{suffix}")
        assert isinstance(mesh, Mesh)
        assert mesh.bounds() == pytest.approx(np.array([[0, 0, 0], [1, 1, 1]]), abs=0.01)


@pytest.fixture
def coloured(sq3d: Run) -> Mesh:
    """`ball.sq3`: a ball with vertex colours, in a codec that keeps them; returns what it decodes to."""
    positions, _, triangles = ball(10, 16)
    rgba = np.ones((len(positions), 4), dtype=np.float32)
    rgba[:, :3] = 0.5 + 0.4 * positions
    squeeze3d.save(Mesh((Primitive(positions.astype(np.float32), triangles, colours=rgba),)), "ball.glb")
    colours = ("-O", "colour=smooth", "-O", "faces=320")
    assert sq3d("compress", "ball.glb", "--codec", "mesh.surface", *colours, "-o", "ball.sq3").code == 0
    return squeeze3d.decompress(Path("ball.sq3").read_bytes())


@pytest.mark.parametrize("suffix", ["glb", "gltf", "obj"])
def test_vertex_colours_are_baked_into_a_texture(sq3d: Run, coloured: Mesh, suffix: str) -> None:
    assert coloured.primitives[0].colours is not None
    run = sq3d("decompress", "ball.sq3", "-o", f"baked.{suffix}", "--texture", "128")
    assert run.code == 0, run.err
    baked = squeeze3d.load(f"baked.{suffix}")
    (material,) = baked.materials
    assert baked.primitives[0].colours is None
    assert material.base_colour_texture.image.pixels().shape[1] == 128
    before, after = flatten(coloured), flatten(baked)
    points = SurfaceQuery(after.positions, after.triangles).closest(before.positions[before.triangles].mean(axis=1))
    middle = np.full((len(before.triangles), 3), 1 / 3)
    wanted = before.colours_at(np.arange(len(before.triangles)), middle)
    assert np.abs(wanted - after.colours_at(points.faces, points.weights)).mean() < 0.01


def test_the_api_bakes_as_well(coloured: Mesh) -> None:
    baked = squeeze3d.decompress(Path("ball.sq3").read_bytes(), texture=64)
    assert isinstance(baked, Mesh)
    assert baked.materials[0].base_colour_texture is not None


def test_what_takes_no_texture_is_written_with_a_note(sq3d: Run, packed: Path) -> None:
    kept = sq3d("decompress", packed, "-o", "kept.off", "--texture", "64")
    assert (kept.code, "get no texture" in kept.err) == (0, True)
    plain = sq3d("decompress", packed, "-o", "plain.glb", "--texture", "64")
    assert (plain.code, "no vertex colours" in plain.err) == (0, True)
    cloud = PointCloud(np.random.default_rng(1).random((50, 3)).astype(np.float32))
    squeeze3d.save(cloud, "cloud.ply")
    assert sq3d("compress", "cloud.ply", *RAW).code == 0
    points = sq3d("decompress", "cloud.sq3", "--to", "glb", "--texture", "64")
    assert (points.code, "only meshes" in points.err) == (0, True)


@pytest.mark.parametrize("width", ["8", "9000", "1.5", "wide"])
def test_widths_of_textures_are_checked(sq3d: Run, packed: Path, width: str) -> None:
    run = sq3d("decompress", packed, "--texture", width)
    assert run.code == 2
    assert "from 16 to 8192" in run.err


def test_stored_glb_becomes_gltf_with_everything_in_it(sq3d: Run, cube: Path) -> None:
    assert sq3d("compress", cube, "--codec", "mesh.scene").code == 0
    run = sq3d("decompress", "cube.sq3", "-o", "out.gltf")
    assert run.code == 0
    assert "dropped" not in run.err
    assert {path.name for path in Path().glob("out.*")} == {"out.bin", "out.gltf"}
    assert squeeze3d.load("out.gltf").face_count == 12
    assert sq3d("decompress", "cube.sq3", "-o", "back.obj").code == 0
    assert squeeze3d.load("back.obj").face_count == 12
