"""Tools for glTF: found where they are, run as they should be, and what they make is searched within the bytes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import sample_assets
from peer_checks import round_trip, saved

from squeeze3d.bench.contenders import external, gltf_tools
from squeeze3d.bench.contenders.base import Setting
from squeeze3d.bench.contenders.gltf_transform import GltfTransform
from squeeze3d.bench.contenders.gltfpack import Gltfpack
from squeeze3d.errors import InputError, TargetSizeError

COPY = """\
#!{python}
import shutil, sys
if "-v" in sys.argv or "--version" in sys.argv:
    print("tool 9.9")
    raise SystemExit
arguments = sys.argv[1:]
source = next(a for a in arguments if a.endswith(".glb"))
target = [a for a in arguments if a.endswith(".glb")][1]
open("{log}", "a").write(" ".join(arguments) + chr(10))
shutil.copy(source, target)
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that only copy; what they were asked for is in the file that comes back."""
    log = tmp_path / "log.txt"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gltfpack", "gltf-transform"):
        path = folder / name
        path.write_text(COPY.format(python=sys.executable, log=log))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(gltf_tools, "BITS", (10,))
    monkeypatch.setattr(gltf_tools, "PICTURES", ((16, 50),))
    external.first_words.cache_clear()
    return log


@pytest.mark.parametrize("peer", [Gltfpack(), GltfTransform()])
@pytest.mark.usefixtures("tools")
def test_what_a_tool_makes_is_read_and_fits(
    tmp_path: Path, peer: Gltfpack, tools: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(peer), "missing", lambda self: None)
    encoded, _, measured = round_trip(peer, saved(sample_assets.textured_cube(), tmp_path), Setting.of_size(4000))
    assert set(encoded.files) == {"asset.glb.zst"}
    assert measured.iou > 0.99
    assert measured.psnr > 15
    assert " 10" in tools.read_text()
    assert "tool 9.9" in peer.versions().values()


@pytest.mark.usefixtures("tools")
def test_size_that_nothing_fits_is_refused(tmp_path: Path):
    with pytest.raises(TargetSizeError):
        Gltfpack().encode(saved(sample_assets.vertex_colours(), tmp_path), Setting.of_size(100))


def test_missing_tools_are_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "npm install" in str(Gltfpack().missing())
    assert "npm install" in str(GltfTransform().missing())


@pytest.mark.usefixtures("tools")
def test_files_that_cannot_be_read_are_a_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "squeeze3d[meshopt]" in str(Gltfpack().missing())
    assert "squeeze3d[draco]" in str(GltfTransform().missing())


def test_programs_of_node_modules_above_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "node_modules" / ".bin" / "gltfpack"
    program.parent.mkdir(parents=True)
    program.write_text("")
    below = tmp_path / "some" / "where"
    below.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(below)
    assert external.find("gltfpack") == str(program)
    assert external.find("corto") is None


def test_last_words_of_a_failing_program_are_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "corto"
    program.write_text("#!/bin/sh\necho first >&2\necho 'no such model' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match="no such model"):
        external.run("corto", [])
    assert external.first_words("corto") == ""
