"""Running `sq3d` in this process and as a real one, and small assets to run it on."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squeeze3d.cli import main

RAW = ("--codec", "any.raw")


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert document["schema_version"] == 1
        return document


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "SQ3D_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sq3d(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`sq3d(*arguments, stdin=b"")` in this process."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsysbinary.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err.decode())

    return run


def run_process(
    *arguments: str | bytes | Path, stdin: bytes = b"", script: str | None = None, **environment: str
) -> Outcome:
    """`sq3d` as a process of its own; `script` is Python code that runs instead of the plain entry point."""
    done = subprocess.run(
        command(*arguments, script=script),
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return Outcome(done.returncode, done.stdout, done.stderr.decode())


def command(*arguments: str | bytes | Path, script: str | None = None) -> Sequence[str | bytes | Path]:
    """Command line of `sq3d` for `subprocess`."""
    return [sys.executable, *(["-m", "squeeze3d"] if script is None else ["-c", script]), *arguments]


def triangle_glb() -> bytes:
    """The smallest useful binary glTF file."""
    positions = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 3,
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [1, 1, 0],
            }
        ],
        "bufferViews": [{"buffer": 0, "byteLength": len(positions)}],
        "buffers": [{"byteLength": len(positions)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(positions), b"BIN\0") + positions
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


CUBE_OFF = """OFF
8 6 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
4 0 3 2 1
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """`cube.off`."""
    path = tmp_path / "cube.off"
    path.write_text(CUBE_OFF)
    return path


@pytest.fixture
def glb(tmp_path: Path) -> Path:
    """`triangle.glb`."""
    path = tmp_path / "triangle.glb"
    path.write_bytes(triangle_glb())
    return path


@pytest.fixture
def obj(tmp_path: Path) -> Path:
    """`red.obj` with its side file `red.mtl`."""
    (tmp_path / "red.mtl").write_text("newmtl red\nKd 1 0 0\n")
    path = tmp_path / "red.obj"
    path.write_text("mtllib red.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl red\nf 1 2 3\n")
    return path


def files_in(folder: Path) -> list[str]:
    """Names of all files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
