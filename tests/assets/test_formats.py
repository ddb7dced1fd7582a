"""Format dispatch, loading, saving, and files that appear whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze3d import files as files_module
from squeeze3d.assets import Image, Material, Mesh, PointCloud, Primitive, RadianceField, Source, Texture
from squeeze3d.assets.formats import load, read, save, sniff_format, write_files
from squeeze3d.errors import FormatError, InputError, OutputError, Sq3Error, UnsupportedError
from squeeze3d.files import atomic_write, atomic_write_many

OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
PNG = Image.from_pixels(np.full((2, 2, 4), 200, np.uint8)).data


def triangle() -> Mesh:
    return Mesh((Primitive(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32)),))


def textured() -> Mesh:
    uv = np.zeros((3, 2), np.float32)
    primitive = Primitive(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32), uvs=(uv,), material=0)
    return Mesh((primitive,), (Material("m", base_colour_texture=Texture(Image(PNG)), metallic=0.0),))


FIELD = RadianceField(np.ones((2, 2, 2, 4), np.float32), np.zeros(3, np.float32), np.ones(3, np.float32))


def contents() -> dict[str, bytes]:
    return {
        "obj": write_files(triangle(), "x.obj")["x.obj"],
        "ply": write_files(triangle(), "x.ply")["x.ply"],
        "stl": write_files(triangle(), "x.stl")["x.stl"],
        "off": write_files(triangle(), "x.off")["x.off"],
        "npz": write_files(FIELD, "x.npz")["x.npz"],
    }


def test_each_format_is_known_by_its_first_bytes() -> None:
    for name, data in contents().items():
        found = sniff_format(data)
        assert found is not None
        assert found.id == name


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"glTF\2\0\0\0", "glb"),
        (b' {"asset": {"version": "2.0"}}', "gltf"),
        (b'{"name": "x"}', None),
        (b"ply\r\nformat", "ply"),
        (b"plywood", None),
        (b"COFF\n", "off"),
        (b"# c\nSTCNOFF\n", "off"),
        (b"OFFICE\n", None),
        (b"solid x\n facet normal", "stl"),
        (b"solid ground\n", None),
        (b"# Blender\r\n\r\nmtllib a.mtl\r\n", "obj"),
        (b"o thing\n", "obj"),
        (b"vertex\n", None),
        (b"# only a comment", None),
        (b"v 1 2 3\n\0", None),
        (b"", None),
        (b"hello", None),
    ],
)
def test_sniffing_says_none_when_in_doubt(data: bytes, expected: str | None) -> None:
    found = sniff_format(data)
    assert (None if found is None else found.id) == expected


def test_every_format_is_read_from_path_and_bytes(tmp_path: Path) -> None:
    for name, data in contents().items():
        path = tmp_path / f"x.{name.upper()}"
        path.write_bytes(data)
        plain = tmp_path / "plain"
        plain.write_bytes(data)
        strange = tmp_path / "x.dat"
        strange.write_bytes(data)
        for source in (path, str(path), data, plain, strange, Source(data, "-")):
            assert read(source).format == name
        assert read(strange, format=name).format == name


def test_standard_input_is_sniffed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        buffer = io.BytesIO(OBJ)

    monkeypatch.setattr(sys, "stdin", Pipe())
    loaded = read("-")
    assert (loaded.format, loaded.source.name) == ("obj", "-")


def test_content_that_contradicts_the_suffix_is_refused_with_a_hint(tmp_path: Path) -> None:
    for name, data in contents().items():
        for suffix in {"glb", "obj", "ply", "stl", "off", "npz"} - {name}:
            path = tmp_path / f"x.{suffix}"
            path.write_bytes(data)
            with pytest.raises(FormatError, match="content looks like") as caught:
                read(path)
            assert f"x.{name}" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"SQ3\1abc", "compressed .sq3"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (PNG, "PNG image"),
    ],
)
def test_files_of_other_kinds_are_named(data: bytes, what: str) -> None:
    for name in ("x.glb", "x.obj", "-"):
        with pytest.raises(InputError, match=what):
            read(Source(data, name))


def test_paths_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "gone.obj")
    with pytest.raises(InputError, match="no such file"):
        read("bad\0name.obj")
    with pytest.raises(InputError, match="is a directory") as caught:
        read(tmp_path)
    assert "--output-dir" in caught.value.hint
    (tmp_path / "empty.obj").touch()
    with pytest.raises(InputError, match=r"`empty.obj` is empty"):
        read(tmp_path / "empty.obj")
    (tmp_path / "x.doc").write_bytes(b"hello")
    with pytest.raises(UnsupportedError) as unknown:
        read(tmp_path / "x.doc")
    assert ".glb" in unknown.value.hint
    with pytest.raises(UnsupportedError, match="unknown format"):
        read(OBJ, format="doc")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "x.obj"
    path.write_bytes(OBJ)
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read(path)


def test_geometry_that_is_not_finite_is_refused_only_where_it_is_used() -> None:
    with pytest.raises(InputError, match="NaN or infinite") as caught:
        read(OBJ.replace(b"1 0 0", b"nan 0 0"))
    assert "repair" in caught.value.hint
    assert read(OBJ + b"v nan nan nan\n").asset.face_count == 1  # type: ignore[union-attr]


def test_load_turns_faults_into_warnings() -> None:
    with pytest.warns(UserWarning, match=r"gone.mtl"):
        load(b"mtllib gone.mtl\n" + OBJ)


def test_wrong_kind_of_asset_names_suffixes_that_can() -> None:
    points = PointCloud(np.zeros((1, 3), np.float32))
    with pytest.raises(UnsupportedError, match="PointCloud") as caught:
        write_files(points, "x.stl")
    assert ".ply" in caught.value.hint
    with pytest.raises(UnsupportedError, match="unknown file type"):
        write_files(points, "x.doc")
    assert list(write_files(points, "cloud", format="ply")) == ["cloud"]


def test_saved_asset_with_side_files_loads_again(tmp_path: Path) -> None:
    losses = save(textured(), tmp_path / "x.obj")
    assert len(losses) == 0 or {x.stage for x in losses} == {"write"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.mtl", "x.obj", "x_0.png"]
    loaded = read(tmp_path / "x.obj")
    assert set(loaded.source.used) == {"x.mtl", "x_0.png"}


@pytest.mark.parametrize("existing", ["x.obj", "x.mtl", "x_0.png"])
def test_save_refuses_if_any_of_its_files_exists(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(OutputError, match=existing):
        save(textured(), tmp_path / "x.obj")
    assert [p.name for p in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"
    save(textured(), tmp_path / "x.obj", overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


def test_written_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"x")
        atomic_write(tmp_path / "a", b"y", overwrite=True)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "check_writable", lambda *args, **kwargs: None)
    (tmp_path / "b").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        atomic_write_many({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"b": "mine"}


def test_no_hard_links_means_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    atomic_write(tmp_path / "a", b"1")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    monkeypatch.setattr(files_module, "check_writable", lambda *args, **kwargs: None)
    with pytest.raises(OutputError, match="exists"):
        atomic_write(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupted_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, step: str
) -> None:
    def fail(*args: object) -> None:
        assert [p for p in tmp_path.iterdir() if p.name.startswith(".a") and p.name != "a"]
        raise fault

    monkeypatch.setattr(os, step, fail)
    expected = OutputError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        atomic_write(tmp_path / "a", b"1", overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written_say_why(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        atomic_write(tmp_path / "gone" / "a", b"1")
    with pytest.raises(OutputError, match="is a directory"):
        atomic_write(tmp_path, b"1", overwrite=True)


def test_links_are_followed_and_devices_stay_devices(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    atomic_write(os.devnull, b"1")
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


def test_very_long_names_are_written(tmp_path: Path) -> None:
    name = "ä" * 120
    atomic_write(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


def test_importing_assets_loads_no_heavy_library() -> None:
    code = (
        "import sys, squeeze3d.assets; "
        "print([m for m in ('trimesh','plyfile','PIL','torch','open3d','scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def complaint(source: Source) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        read(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_random_bytes_and_text_end_in_our_errors() -> None:
    rng = np.random.default_rng(0)
    words = [
        b"v",
        b"f",
        b"1",
        b"-1",
        b"0.5",
        b"OFF",
        b"solid",
        b"ply",
        b"facet",
        b"vt",
        b"\n",
        b"usemtl",
        b"1/2",
        b"nan",
    ]
    for _ in range(300):
        noise = rng.bytes(int(rng.integers(1, 400)))
        text = b" ".join(words[i] for i in rng.integers(len(words), size=rng.integers(1, 60)))
        for data in (noise, text):
            for suffix in ("", ".obj", ".ply", ".stl", ".off", ".npz"):
                assert "\n" not in complaint(Source(data, f"x{suffix}"))
