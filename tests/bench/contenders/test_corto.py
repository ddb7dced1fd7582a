"""Corto, or rather a program that behaves like it: it writes a stream, and the mesh that comes of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.bench.contenders.corto import Corto
from squeeze3d.errors import FormatError

CORTO = """\
#!{python}
import shutil, sys
options = dict(zip(sys.argv[1:-1:2], sys.argv[2:-1:2]))
open(options["-o"], "wb").write(b"crt" * int(options["-v"]))
shutil.copy(sys.argv[-1], options["-P"])
"""


@pytest.fixture
def corto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "corto").write_text(CORTO.format(python=sys.executable))
    (folder / "corto").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.usefixtures("corto")
def test_stream_is_counted_and_its_mesh_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("squeeze3d.bench.contenders.corto.cache_folder", lambda: tmp_path / "cache")
    peer, asset = Corto(), sample_assets.vertex_colours()
    encoded, _, measured = round_trip(peer, saved(asset, tmp_path), settings(peer, asset)["10 bits"])
    assert encoded.size == 30
    assert measured.iou > 0.99
    assert measured.psnr > 35


def test_foreign_streams_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("squeeze3d.bench.contenders.corto.cache_folder", lambda: tmp_path)
    with pytest.raises(FormatError):
        Corto().decode({"mesh.crt": b"?"})


def test_missing_program_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "corto is not installed" in str(Corto().missing())
