"""`sq3d models`."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback_hub import COMMIT, LoopbackHub, serving
from safetensors.numpy import save

from squeeze3d.codecs import registry as codec_registry
from squeeze3d.weights import registry
from squeeze3d.weights.artefacts import Artefact

from .conftest import Run, files_in, run_process

CONTENT = save({"a": np.arange(6, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMANDS = ("list", "path", "pull", "import", "verify")
HEAVY = {"torch", "open3d", "trimesh", "scipy", "PIL", "rich", "pydantic", "multiprocessing", "asyncio"}


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights directory and one artefact, `sample`, that `any.raw` pretends to use."""
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))
    registry.register_artefact(
        Artefact("sample", "a sample", "sample.safetensors", "CC-BY-NC-4.0", "some/where", non_commercial=True)
    )
    spec = codec_registry.codec_by_id("any.raw")
    monkeypatch.setitem(codec_registry._BY_ID, spec.id, dataclasses.replace(spec, weights=("sample",)))
    return tmp_path / "weights"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "download.safetensors"
    path.write_bytes(CONTENT)
    return path


def test_list_shows_every_artefact_with_licence_presence_users_and_source(sq3d: Run, file: Path) -> None:
    for arguments in (("models",), ("models", "list")):
        run = sq3d(*arguments)
        assert (run.code, run.err) == (0, "")
        rows = run.text.splitlines()
        for artefact, row in zip(registry.artefacts(), rows[1:], strict=True):
            assert row.startswith(artefact.name)
            assert artefact.license in row
            assert artefact.repository is None or f"{artefact.repository}: {artefact.file}" in row
    (row,) = [row for row in rows if row.startswith("sample ")]
    assert "CC-BY-NC-4.0 (NON-COMMERCIAL)  no    ?" in row
    assert "any.raw" in row
    sq3d("models", "import", "sample", file)
    (row,) = [row for row in sq3d("models").text.splitlines() if row.startswith("sample ")]
    assert "CC-BY-NC-4.0 (NON-COMMERCIAL)  yes   " in row
    assert f"{len(CONTENT)} B" in row


def test_list_in_json_has_stable_keys(sq3d: Run, file: Path, weights: Path) -> None:
    documents = [
        sq3d(*arguments).document
        for arguments in (("models", "--json"), ("models", "list", "--json"), ("models", "--json", "list"))
    ]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["command"] == "models"
    results = documents[0]["results"]
    assert [result["name"] for result in results] == [each.name for each in registry.artefacts()]
    assert results[-1] == {
        "name": "sample",
        "summary": "a sample",
        "license": "CC-BY-NC-4.0",
        "non_commercial": True,
        "present": False,
        "path": None,
        "size": None,
        "published_size": None,
        "published_sha256": None,
        "codecs": ["any.raw"],
        "repository": "some/where",
        "file": "sample.safetensors",
        "page": "https://huggingface.co/some/where",
        "url": "https://huggingface.co/some/where/resolve/main/sample.safetensors",
    }
    sq3d("models", "import", "sample", file)
    result = sq3d("models", "--json").document["results"][-1]
    assert (result["present"], result["size"]) == (True, len(CONTENT))
    assert result["path"] == str(weights / "sample.safetensors")


def test_verbose_list_says_where_weights_lie(sq3d: Run, weights: Path) -> None:
    assert str(weights) in sq3d("models", "-v").err
    assert str(weights) in sq3d("models", "-v", "list").err


def test_path_prints_the_path_or_how_to_get_the_file(sq3d: Run, file: Path, weights: Path) -> None:
    run = sq3d("models", "path", "sample")
    assert (run.code, run.out) == (4, b"")
    error, hint = run.err.splitlines()
    assert error.startswith("error: weights `sample`")
    assert "NON-COMMERCIAL" in error
    assert "`sq3d models pull sample`" in hint
    assert hint.endswith("yourself and run `sq3d models import sample sample.safetensors`")
    document = sq3d("models", "path", "sample", "--json").document
    assert document["error"]["type"] == "MissingWeightsError"
    sq3d("models", "import", "sample", file)
    run = sq3d("models", "path", "sample")
    assert (run.code, run.text, run.err) == (0, f"{weights / 'sample.safetensors'}\n", "")
    (result,) = sq3d("models", "--json", "path", "sample").document["results"]
    assert result == {"name": "sample", "path": str(weights / "sample.safetensors")}


def test_import_tells_size_and_licence(sq3d: Run, file: Path, weights: Path) -> None:
    run = sq3d("models", "import", "sample", file)
    assert (run.code, run.out) == (0, b"")
    assert f"imported sample  {len(CONTENT)} B   6 numbers in 1 tensors" in run.err
    assert "warning: licence of sample: CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY)" in run.err
    assert (weights / "sample.safetensors").read_bytes() == CONTENT
    assert file.read_bytes() == CONTENT


def test_verbose_import_tells_hash_and_place_on_lines_of_their_own(sq3d: Run, file: Path, weights: Path) -> None:
    lines = sq3d("models", "import", "sample", file, "-v").err.splitlines()
    assert f"  sha256 {SHA256}" in lines
    assert f"  {weights / 'sample.safetensors'}" in lines


def test_import_in_json(sq3d: Run, file: Path, weights: Path) -> None:
    (result,) = sq3d("models", "import", "sample", file, "--json", "-q").document["results"]
    assert result == {
        "input": str(file),
        "name": "sample",
        "license": "CC-BY-NC-4.0",
        "non_commercial": True,
        "converted": False,
        "path": str(weights / "sample.safetensors"),
        "size": len(CONTENT),
        "sha256": SHA256,
        "tensors": 1,
        "parameters": 6,
    }


def test_import_overwrites_only_with_force(sq3d: Run, file: Path, weights: Path) -> None:
    assert sq3d("models", "import", "sample", file).code == 0
    other = save({"b": np.zeros(2, np.float32)})
    file.write_bytes(other)
    run = sq3d("models", "import", "sample", file)
    assert run.code == 5
    assert "exists" in run.err
    assert (weights / "sample.safetensors").read_bytes() == CONTENT
    assert sq3d("models", "import", "sample", file, "--force", "--link").code == 0
    assert (weights / "sample.safetensors").read_bytes() == other
    assert (weights / "sample.safetensors").stat().st_ino == file.stat().st_ino


def test_import_of_a_bad_file_has_code_3_and_leaves_nothing(sq3d: Run, file: Path, weights: Path) -> None:
    for content in (CONTENT[:-1], b"text", b""):
        file.write_bytes(content)
        run = sq3d("models", "import", "sample", file)
        assert run.code == 3
        assert run.err.startswith("error: `")
        assert not weights.exists() or files_in(weights) == []
    assert sq3d("models", "import", "sample", "missing.safetensors").code == 3


def test_verify_checks_named_weights_or_all_that_are_here(sq3d: Run, file: Path) -> None:
    run = sq3d("models", "verify")
    assert (run.code, run.text, run.err) == (0, "", "no weights are on this machine\n")
    assert sq3d("models", "verify", "sample").code == 4
    sq3d("models", "import", "sample", file)
    for arguments in ((), ("sample",)):
        run = sq3d("models", "verify", *arguments)
        assert (run.code, run.text, run.err) == (0, "sample: ok, as recorded\n", "")
    assert SHA256 in sq3d("models", "verify", "-v").text
    assert sq3d("models", "verify", "-q").out == b""
    (result,) = sq3d("models", "verify", "--json").document["results"]
    assert (result["name"], result["ok"], result["compared_with"]) == ("sample", True, "recorded")
    assert result["sha256"] == SHA256


def test_verify_reports_damage_with_code_3(sq3d: Run, file: Path, weights: Path) -> None:
    sq3d("models", "import", "sample", file)
    (weights / "sample.safetensors").write_bytes(CONTENT[:-1])
    run = sq3d("models", "verify", "mapping.shape", "sample")
    assert run.code == 4  # of the first that failed
    assert "error: mapping.shape: weights `mapping.shape`" in run.err
    assert "error: sample: `" in run.err
    run = sq3d("models", "verify")
    assert run.code == 3
    assert "not a whole safetensors file" in run.err


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub on this machine that has the file of `sample`."""
    with serving() as hub:
        hub.add("some/where/sample.safetensors", CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        yield hub


def test_pull_warns_of_the_licence_and_tells_what_came(sq3d: Run, hub: LoopbackHub, weights: Path) -> None:
    run = sq3d("models", "pull", "sample")
    assert (run.code, run.out) == (0, b"")
    assert run.err.splitlines() == [
        "warning: sample: licence: CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY), see https://huggingface.co/some/where",
        f"sample: downloaded, {len(CONTENT)} B, 6 numbers in 1 tensors; licence CC-BY-NC-4.0",
    ]
    assert (weights / "sample.safetensors").read_bytes() == CONTENT
    run = sq3d("models", "pull", "sample", "-v")
    assert run.code == 0
    assert run.err.splitlines() == [
        f"sample: here already, {len(CONTENT)} B, 6 numbers in 1 tensors; licence CC-BY-NC-4.0",
        f"  sha256 {SHA256}",
        f"  {weights / 'sample.safetensors'}",
    ]
    assert len(hub.downloads) == 1
    assert "NON-COMMERCIAL" in sq3d("models", "pull", "sample", "--force").err
    assert len(hub.downloads) == 2
    assert sq3d("models", "pull", "sample", "-q").err == ""


def test_pull_warns_before_anything_is_downloaded(sq3d: Run, hub: LoopbackHub) -> None:
    hub.failure = (404, "EntryNotFound")
    run = sq3d("models", "pull", "sample")
    assert run.code == 4
    assert [line[:8] for line in run.err.splitlines()] == ["warning:", "error: s", "hint: lo"]


def test_pull_of_free_weights_warns_of_nothing(sq3d: Run, hub: LoopbackHub) -> None:
    registry.register_artefact(Artefact("free", "", "sample.safetensors", "MIT", "some/where"))
    run = sq3d("models", "pull", "free")
    assert run.err == f"free: downloaded, {len(CONTENT)} B, 6 numbers in 1 tensors; licence MIT\n"


def test_pull_in_json(sq3d: Run, hub: LoopbackHub, weights: Path) -> None:
    run = sq3d("models", "pull", "sample", "--json", "-q")
    (result,) = run.document["results"]
    assert result == {
        "name": "sample",
        "license": "CC-BY-NC-4.0",
        "non_commercial": True,
        "converted": False,
        "received": len(CONTENT),
        "repository": "some/where",
        "revision": COMMIT,
        "path": str(weights / "sample.safetensors"),
        "size": len(CONTENT),
        "sha256": SHA256,
        "tensors": 1,
        "parameters": 6,
    }
    (again,) = sq3d("models", "--json", "pull", "sample").document["results"]
    assert again == {**result, "received": 0, "revision": None}


def test_pull_takes_a_codec_for_all_of_its_weights(sq3d: Run, hub: LoopbackHub, weights: Path) -> None:
    assert sq3d("models", "pull", "any.raw", "sample").code == 0
    assert files_in(weights)[-1] == "sample.safetensors"
    assert len(hub.downloads) == 1


def test_pull_goes_on_after_a_failure_and_returns_its_code(sq3d: Run, hub: LoopbackHub, weights: Path) -> None:
    run = sq3d("models", "pull", "mapping.shape", "sample")
    assert run.code == 4
    assert "error: mapping.shape: cannot download mesh_ma_shape.safetensors from https://huggingface.co" in run.err
    assert (weights / "sample.safetensors").is_file()


def test_pull_of_a_damaged_file_has_code_3_and_leaves_nothing(sq3d: Run, hub: LoopbackHub, weights: Path) -> None:
    hub.add("some/where/sample.safetensors", CONTENT[:-1] + b"?")
    hub.etag = SHA256
    run = sq3d("models", "pull", "sample")
    assert run.code == 3
    assert "SHA-256" in run.err
    assert files_in(weights) == []


def test_pull_on_a_full_disk_has_code_5(sq3d: Run, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage("/")._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    run = sq3d("models", "pull", "sample")
    assert run.code == 5
    assert "no room" in run.err


def test_pull_without_the_extra_has_code_4_and_the_install_line(sq3d: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    run = sq3d("models", "pull", "sample")
    assert run.code == 4
    assert 'hint: install it with `pip install "squeeze3d[hub]"`' in run.err


def test_pull_as_a_process_of_its_own(hub: LoopbackHub, weights: Path) -> None:
    # `sample` is known to this process alone: a published name serves.
    hub.add("rishitdagli/squeeze3d/mesh_ma_shape.safetensors", CONTENT)
    for environment, code in (({"HF_HUB_OFFLINE": "1"}, 4), ({}, 0)):
        run = run_process("models", "pull", "mapping.shape", **environment)
        assert (run.code, run.out) == (code, b"")
        assert len(run.err.splitlines()) == (2 if code else 1)
        assert (weights / "mapping.shape.safetensors").exists() == (code == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("path", "none"),
        ("import", "none", "x"),
        ("verify", "none"),
        ("pull", "none"),
        ("pull", "mesh.surface"),
        ("pull",),
        ("bogus",),
        ("path",),
        ("import", "a"),
    ],
)
def test_usage_errors(sq3d: Run, arguments: tuple[str, ...]) -> None:
    run = sq3d("models", *arguments)
    assert run.code == 2
    assert not run.out
    assert [line[:6] for line in run.err.splitlines()] == ["error:", "hint: "]


@pytest.mark.parametrize("command", [(), *((each,) for each in COMMANDS)])
def test_help_opens_with_an_example_and_documents_every_option(sq3d: Run, command: tuple[str, ...]) -> None:
    run = sq3d("models", *command, "--help")
    assert run.code == 0
    lines = run.text.splitlines()
    verb = " ".join(("sq3d", "models", *command))
    assert lines[0].startswith(f"Usage: {verb} [OPTIONS]")
    assert lines[2].startswith(f"  Example: {verb} ")
    for option in ("--quiet", "--verbose", "--json"):
        assert option in run.text
    if not command:
        assert all(f"\n  {each} " in run.text for each in COMMANDS)


def test_names_are_completed() -> None:
    run = run_process(_SQ3D_COMPLETE="complete_bash", COMP_WORDS="sq3d models path mapping.lion", COMP_CWORD="3")
    assert "mapping.lion-1024" in run.text.split()


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("import", "mapping.shape", "download.safetensors")])
def test_models_load_nothing_heavy(file: Path, arguments: tuple[str, ...]) -> None:
    run = run_process(
        "models",
        *arguments,
        script="import sys; from squeeze3d.cli.run import run; code = run(None); "
        "print('MODULES', *{m.split('.')[0] for m in sys.modules}); sys.exit(code)",
    )
    assert run.code == 0
    assert sorted(set(run.text.rpartition("MODULES")[2].split()) & HEAVY) == []
