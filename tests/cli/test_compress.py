"""`sq3d compress` in this process."""

from __future__ import annotations

import dataclasses
import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import squeeze3d
from squeeze3d.codecs import registry
from squeeze3d.codecs.spec import Job
from squeeze3d.errors import MissingExtraError

from .conftest import RAW, Run, files_in


def test_writes_next_to_the_input_and_tells_in_one_line(sq3d: Run, cube: Path) -> None:
    run = sq3d("compress", cube, *RAW)
    assert run.code == 0
    assert run.out == b""
    size = cube.with_suffix(".sq3").stat().st_size
    (line,) = run.err.splitlines()
    assert line.startswith(f"cube.off  118 B → cube.sq3  {size} B   ")
    assert "any.raw (lossless)" in line
    assert line.endswith(" s")


def test_same_bytes_as_the_python_api(sq3d: Run, cube: Path) -> None:
    sq3d("compress", cube, *RAW, "-O", "level=3")
    assert cube.with_suffix(".sq3").read_bytes() == squeeze3d.compress(cube, codec="any.raw", options={"level": 3})


def test_effort_quality_and_device_reach_the_encoder(sq3d: Run, cube: Path) -> None:
    target = ("--effort", "1", "--quality", "30dB", "--device", "cpu", "--no-metadata")
    assert sq3d("compress", cube, "-o", "a.sq3", *target).code == 0
    data = squeeze3d.compress(cube, effort=1, quality=30, device="cpu", metadata=False)
    assert Path("a.sq3").read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--effort", "10"), "`--effort 10` is not a whole number from 1 to 9"),
        (("--effort", "much"), "`--effort much` is not a whole number"),
        (("--device", "tpu"), "there is no device `tpu`"),
        (("--quality", "fine"), "`fine` is no quality level"),
    ],
)
def test_values_that_make_no_sense_are_usage_errors(
    sq3d: Run, cube: Path, arguments: tuple[str, str], message: str
) -> None:
    run = sq3d("compress", cube, *arguments)
    assert run.code == 2
    assert message in run.err


def test_stdin_goes_to_stdout(sq3d: Run, cube: Path) -> None:
    run = sq3d("compress", "-", *RAW, stdin=cube.read_bytes())
    assert run.code == 0
    assert run.out == squeeze3d.compress(cube, codec="any.raw")


@pytest.mark.parametrize("where", [("-c",), ("-o", "-"), ("--stdout",)])
def test_standard_output_on_request(sq3d: Run, cube: Path, where: tuple[str, ...]) -> None:
    run = sq3d("compress", cube, *RAW, *where)
    assert squeeze3d.inspect(run.out).codec.id == "any.raw"
    assert files_in(cube.parent) == ["cube.off"]


def test_format_names_what_stdin_holds(sq3d: Run) -> None:
    corners = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    binary_stl = bytes(80) + struct.pack("<I", 1) + bytes(12) + corners + bytes(2)
    run = sq3d("compress", "-", *RAW, "--format", "stl", stdin=binary_stl)
    assert run.code == 0, run.err
    assert squeeze3d.inspect(run.out).source_format == "stl"
    assert sq3d("compress", "-", *RAW, stdin=b"what is this").code in (3, 4)


def test_quiet_says_nothing_and_verbose_says_more(sq3d: Run, cube: Path) -> None:
    assert sq3d("compress", cube, *RAW, "-q").err == ""
    run = sq3d("compress", cube, *RAW, "-f", "-v")
    assert "tried any.raw: " in run.err
    assert "files 1" in run.err


def test_losses_are_listed_and_warnings_stand_out(sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_losses(monkeypatch)
    run = sq3d("compress", cube, *RAW)
    assert run.err.splitlines()[1:] == [
        "  dropped: normal map, 2 animations (Walk, Run)",
        "warning: texture wood.png is missing; going on without it",
    ]
    assert sq3d("compress", cube, *RAW, "-f", "-q").err == ""


def test_strict_refuses_losses(sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_losses(monkeypatch)
    run = sq3d("compress", cube, *RAW, "--strict")
    assert run.code == 4
    assert "2 animations (Walk, Run)" in run.err
    assert files_in(cube.parent) == ["cube.off"]


def _with_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = registry.codec_by_id("any.raw")

    def encode(loaded: Any, options: Any, job: Job) -> Any:
        job.losses.add("normal-map", "normal map", stage="encode")
        job.losses.add("animation", "2 animations (Walk, Run)", stage="encode")
        job.losses.add("missing-texture", "texture wood.png is missing; going on without it", warning=True)
        return plain.encode(loaded, options, job)

    _replace(monkeypatch, "any.raw", encode)


def _replace(monkeypatch: pytest.MonkeyPatch, codec: str, encode: Any) -> None:
    monkeypatch.setitem(registry._BY_ID, codec, dataclasses.replace(registry.codec_by_id(codec), encode=encode))


def test_json_describes_each_file_with_stable_keys(sq3d: Run, cube: Path, glb: Path) -> None:
    run = sq3d("compress", cube, "missing.glb", glb, *RAW, "--json", "-q")
    document = run.document
    assert document["command"] == "compress"
    first, failed, last = document["results"]
    assert set(first) == {
        "input", "output", "input_bytes", "output_bytes", "ratio", "seconds", "codec", "fidelity", "kind", "losses",
        "notes", "tried", "measured", "quality_reached",
    }  # fmt: skip
    assert (first["codec"], first["fidelity"], first["kind"]) == ("any.raw", "lossless", "mesh")
    assert first["output_bytes"] == Path(first["output"]).stat().st_size
    assert last["input"] == str(glb)
    assert failed == {
        "input": "missing.glb",
        "error": {"type": "InputError", "message": "no such file: `missing.glb`", "hint": "", "exit_code": 3},
    }
    assert run.code == 3


def test_json_refuses_to_share_stdout_with_a_file(sq3d: Run, cube: Path) -> None:
    for arguments in (("-", "--json"), (cube, "-c", "--json"), (cube, "-o", "-", "--json")):
        run = sq3d("compress", *arguments, *RAW, stdin=b"x")
        assert (run.code, run.out) == (2, b"")
        assert "--json" in run.err


def test_one_bad_file_does_not_stop_the_others(sq3d: Run, cube: Path, glb: Path) -> None:
    Path("damaged.glb").write_bytes(glb.read_bytes()[:40])
    run = sq3d("compress", "missing.obj", "damaged.glb", cube, glb, *RAW)
    assert run.code == 3
    assert "error: missing.obj: no such file" in run.err
    assert "error: damaged.glb: " in run.err
    assert run.err.splitlines()[-1].startswith("2 of 4 files, 2 failed: ")
    assert Path("cube.sq3").exists()
    assert Path("triangle.sq3").exists()


def test_existing_output_needs_force(sq3d: Run, cube: Path) -> None:
    output = cube.with_suffix(".sq3")
    output.write_bytes(b"precious")
    run = sq3d("compress", cube, *RAW)
    assert run.code == 5
    assert "`--force`" in run.err
    assert output.read_bytes() == b"precious"
    assert sq3d("compress", cube, *RAW, "--force").code == 0
    assert output.read_bytes() != b"precious"


@pytest.mark.parametrize("kind", ["same", "symlink", "hardlink", "dotted"])
def test_never_writes_onto_the_input_even_with_force(sq3d: Run, cube: Path, kind: str) -> None:
    before = cube.read_bytes()
    output = Path("out.sq3")
    if kind == "same":
        output = cube
    elif kind == "symlink":
        output.symlink_to(cube)
    elif kind == "hardlink":
        os.link(cube, output)
    else:
        Path("sub").mkdir()
        output = Path("sub/../cube.off")
    run = sq3d("compress", cube, *RAW, "-f", "-o", output)
    assert run.code == 5
    assert "input" in run.err
    assert cube.read_bytes() == before


def test_never_writes_onto_another_input(sq3d: Run, cube: Path) -> None:
    sq3d("compress", cube, *RAW)
    before = Path("cube.sq3").read_bytes()
    run = sq3d("compress", cube, "cube.sq3", *RAW, "-f")
    assert run.code in (3, 5)
    assert Path("cube.sq3").read_bytes() == before


def test_output_dir_is_made_and_collects_the_outputs(sq3d: Run, cube: Path, glb: Path) -> None:
    run = sq3d("compress", cube, glb, *RAW, "--output-dir", "new/small")
    assert run.code == 0
    assert files_in(Path("new")) == ["small/cube.sq3", "small/triangle.sq3"]
    assert run.err.splitlines()[-1].startswith("2 files: ")


def test_inputs_that_would_share_an_output_are_refused_up_front(sq3d: Run, cube: Path) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        (Path(folder) / "x.off").write_bytes(cube.read_bytes())
    Path("a/x.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    for arguments in (("a/x.off", "b/x.off", "--output-dir", "out"), ("a/x.off", "a/x.obj")):
        run = sq3d("compress", *arguments, *RAW)
        assert run.code == 2
        assert f"`{arguments[0]}` and `{arguments[1]}` would both become" in run.err
    assert "is given twice" in sq3d("compress", "a/x.off", "./a/x.off", *RAW).err
    assert files_in(Path()) == ["a/x.obj", "a/x.off", "b/x.off", "cube.off"]


def test_missing_folder_of_the_output_is_found_before_the_work(
    sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squeeze3d.api.encode", pytest.fail)
    run = sq3d("compress", cube, *RAW, "-o", "nowhere/cube.sq3")
    assert run.code == 5
    assert "no such folder" in run.err


def test_directories_are_refused_with_a_hint(sq3d: Run) -> None:
    Path("models").mkdir()
    for name in ("models", "models/", "."):
        run = sq3d("compress", name, *RAW)
        assert run.code == 3
        assert "is a directory" in run.err
        assert "hint: " in run.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_an_output_error(sq3d: Run, cube: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    run = sq3d("compress", cube, *RAW, "-o", "locked/cube.sq3")
    assert run.code == 5
    assert "permission denied" in run.err


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("two words.off", "two words.sq3"),
        ("-dash.off", "-dash.sq3"),
        ("UPPER.OFF", "UPPER.sq3"),
        ("v1.2", "v1.2.sq3"),
        ("noël ☃.off", "noël ☃.sq3"),
        ("line\nbreak\x1b[31m.off", "line\nbreak\x1b[31m.sq3"),
        (".off", ".off.sq3"),
        (os.fsdecode(b"caf\xe9.off"), os.fsdecode(b"caf\xe9.sq3")),
    ],
)
def test_odd_names_work(sq3d: Run, cube: Path, name: str, output: str) -> None:
    cube.rename(name)
    run = sq3d("compress", *RAW, "--json", "--", name)
    assert run.code == 0, run.err
    assert run.document["results"][0]["output"] == output
    assert Path(output).exists()
    assert "\x1b" not in run.err
    assert len(run.err.splitlines()) == 1


def test_text_reads_well_in_ascii(sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeeze3d.cli.terminal.sys", SimpleNamespace(stderr=SimpleNamespace(encoding="ascii")))
    from squeeze3d.cli.terminal import arrow

    assert arrow() == "->"


def test_binary_is_not_written_to_a_terminal(sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    run = sq3d("compress", cube, *RAW, "-c")
    assert (run.code, run.out) == (5, b"")
    assert "is a terminal" in run.err
    assert "hint: " in run.err


def test_unmet_target_size_is_a_limit_error(sq3d: Run, cube: Path) -> None:
    run = sq3d("compress", cube, *RAW, "--target-size", "20")
    assert run.code == 6
    assert "20 B" in run.err
    assert files_in(Path()) == ["cube.off"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 6, "error: out of memory"),
        (NotImplementedError(), 1, "error: internal error: NotImplementedError"),
        (ValueError("odd"), 1, "error: internal error: ValueError: odd"),
        (OSError(5, "Input/output error", "x.bin"), 5, "error: input/output error: `x.bin`"),
        (MissingExtraError("needs draco", hint="pip install squeeze3d[draco]"), 4, "error: needs draco"),
    ],
)
def test_every_error_has_its_exit_code(
    sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    _replace(monkeypatch, "any.raw", fail)
    run = sq3d("compress", cube, *RAW)
    assert (run.code, run.out) == (code, b"")
    assert run.err.splitlines()[0] == message
    assert "Traceback" not in run.err
    assert files_in(Path()) == ["cube.off"]
    monkeypatch.setenv("SQ3D_DEBUG", "1")
    assert "Traceback" in sq3d("compress", cube, *RAW).err


def test_full_disk_leaves_nothing_behind(sq3d: Run, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    run = sq3d("compress", cube, *RAW)
    assert run.code == 5
    assert "no space left on device" in run.err
    assert files_in(Path()) == ["cube.off"]


def test_native_chatter_does_not_reach_stdout(
    cube: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from squeeze3d.cli import main

    plain = registry.codec_by_id("any.raw")

    def chatty(loaded: Any, options: Any, job: Job) -> Any:
        os.write(1, b"[Open3D WARNING] something\n")
        return plain.encode(loaded, options, job)

    _replace(monkeypatch, "any.raw", chatty)
    with pytest.raises(SystemExit) as stop:
        main(["compress", str(cube), "-c", *RAW])
    out, err = capfdbinary.readouterr()
    assert stop.value.code == 0
    assert squeeze3d.inspect(out).codec.id == "any.raw"
    assert b"[Open3D WARNING]" in err


def test_memory_limit_reaches_the_encoder(sq3d: Run, cube: Path) -> None:
    run = sq3d("compress", cube, "--max-memory", "50")
    assert run.code == 6
    assert "error: reading" in run.err
    assert "`--max-memory`" in run.err
    assert not cube.with_suffix(".sq3").exists()
