"""Finding, importing and verifying weights."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from squeeze3d.errors import (
    ChecksumError,
    FormatError,
    InputError,
    MissingWeightsError,
    OutputError,
    UnsupportedError,
    UsageError,
)
from squeeze3d.weights import cache
from squeeze3d.weights.cache import cached_path, find, import_file, locate, verify
from squeeze3d.weights.directory import weights_directory
from squeeze3d.weights.hashing import recorded_sha256
from squeeze3d.weights.header import read_header

TENSORS = {"fc1.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "fc1.bias": np.ones(3, np.float16)}
CONTENT = save(TENSORS)
OTHER = save({"x": np.zeros(2, np.float32)})


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def names_in(folder: Path) -> list[str]:
    """Names of the files in a folder, hidden ones but not records of hashes."""
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "download.safetensors"
    path.write_bytes(CONTENT)
    return path


def test_directory_is_the_variable_or_the_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("SQ3D_WEIGHTS", "~/mine")
    assert weights_directory() == tmp_path / "mine"
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("SQ3D_WEIGHTS")
        else:
            monkeypatch.setenv("SQ3D_WEIGHTS", unset)
        assert weights_directory() == tmp_path / ".cache/squeeze3d/weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_directory() == tmp_path / "xdg/squeeze3d/weights"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert weights_directory() == tmp_path / ".cache/squeeze3d/weights"
    monkeypatch.setenv("SQ3D_WEIGHTS", "here")
    assert weights_directory() == Path.cwd() / "here"


def test_user_that_does_not_exist_has_no_directory(monkeypatch) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", "~nobody-of-that-name/x")
    with pytest.raises(UnsupportedError, match="no home directory"):
        weights_directory()


def test_missing_weights_name_artefact_licence_source_and_command(known) -> None:
    known()
    assert find("sample") is None
    with pytest.raises(MissingWeightsError) as caught:
        locate("sample")
    message, hint = caught.value.message, caught.value.hint
    for fact in ("`sample`", "CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY)", "https://huggingface.co/some/where"):
        assert fact in message
    assert hint == (
        "run `sq3d models pull sample`, or download deep/sample_v1.safetensors from https://huggingface.co/some/where "
        "yourself and run `sq3d models import sample sample_v1.safetensors`"
    )
    assert "\n" not in message + hint
    assert caught.value.exit_code == 4


def test_missing_weights_that_nobody_publishes_ask_for_a_file(known) -> None:
    known(repository=None)
    with pytest.raises(MissingWeightsError) as caught:
        locate("sample")
    assert "not published" in caught.value.message
    assert "`sq3d models import sample FILE`" in caught.value.hint


def test_missing_weights_that_are_published_elsewhere_are_not_to_be_pulled(known) -> None:
    known(repository=None, homepage="https://example.org/networks")
    with pytest.raises(MissingWeightsError, match="source: https://example") as caught:
        locate("sample")
    assert "download" in caught.value.hint
    assert "pull" not in caught.value.hint


def test_looking_for_weights_creates_nothing(known, weights) -> None:
    known()
    assert find("sample") is None
    assert not weights.exists()


def test_import_copies_the_file_as_it_is(known, source, weights) -> None:
    known(size=len(CONTENT), sha256=sha256(CONTENT))
    done = import_file("sample", source)
    assert done.path == locate("sample") == find("sample") == cached_path("sample") == weights / "sample.safetensors"
    assert done.path.read_bytes() == CONTENT
    assert done.path.stat().st_ino != source.stat().st_ino
    assert (done.sha256, done.size, done.converted) == (sha256(CONTENT), len(CONTENT), False)
    assert (done.header.tensors, done.header.parameters) == (2, 15)
    assert recorded_sha256(done.path) == sha256(CONTENT)
    assert names_in(weights) == ["sample.safetensors"]


def test_safetensors_file_is_known_by_its_content_not_its_suffix(known, source, monkeypatch) -> None:
    known()
    # A header of 0x280 bytes makes the file start like a pickle.
    header = CONTENT[8 : 8 + struct.unpack("<Q", CONTENT[:8])[0]]
    content = struct.pack("<Q", 0x280) + header.ljust(0x280) + CONTENT[8 + len(header) :]
    assert content.startswith(b"\x80\x02")
    path = source.rename(source.with_suffix(".pth"))
    path.write_bytes(content)
    assert import_file("sample", path).converted is False


def test_link_takes_no_second_copy(known, source) -> None:
    known(sha256=sha256(CONTENT))
    done = import_file("sample", source, link=True)
    assert done.path.stat().st_ino == source.stat().st_ino
    assert verify("sample").compared_with == "published"


def test_link_that_is_not_possible_is_a_copy(known, source, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(18, "Invalid cross-device link")

    known()
    monkeypatch.setattr(os, "link", refuse)
    done = import_file("sample", source, link=True)
    assert done.path.read_bytes() == CONTENT


@pytest.mark.parametrize("link", [False, True])
def test_never_overwrites_without_force(known, source, weights, link) -> None:
    known()
    import_file("sample", source)
    source.write_bytes(OTHER)
    with pytest.raises(OutputError, match="exists") as caught:
        import_file("sample", source, link=link)
    assert "--force" in caught.value.hint
    assert locate("sample").read_bytes() == CONTENT
    import_file("sample", source, force=True, link=link)
    assert locate("sample").read_bytes() == OTHER
    assert names_in(weights) == ["sample.safetensors"]


def test_file_that_appears_during_the_import_is_not_overwritten(known, source, weights, monkeypatch) -> None:
    known()
    copy = cache._copy

    def copy_slowly(*arguments: object) -> str:
        digest = copy(*arguments)
        cached_path("sample").write_bytes(OTHER)
        return digest

    monkeypatch.setattr(cache, "_copy", copy_slowly)
    with pytest.raises(OutputError, match="exists"):
        import_file("sample", source)
    assert locate("sample").read_bytes() == OTHER
    assert names_in(weights) == ["sample.safetensors"]


def test_file_of_the_cache_is_not_imported_onto_itself(known, source) -> None:
    known()
    import_file("sample", source)
    with pytest.raises(OutputError, match="in the cache itself"):
        import_file("sample", locate("sample"), force=True)
    assert locate("sample").read_bytes() == CONTENT


@pytest.mark.parametrize("link", [False, True])
def test_wrong_hash_is_refused_even_with_force(known, source, weights, link) -> None:
    known(sha256=sha256(OTHER))
    with pytest.raises(InputError, match=r"not the published deep/sample_v1\.safetensors") as caught:
        import_file("sample", source, force=True, link=link)
    assert sha256(CONTENT) in caught.value.message
    assert caught.value.hint.endswith("https://huggingface.co/some/where/resolve/main/deep/sample_v1.safetensors")
    assert names_in(weights) == []


def test_wrong_size_is_refused_before_anything_is_read(known, source, weights) -> None:
    known(size=len(CONTENT) + 1)
    with pytest.raises(InputError, match=f"has {len(CONTENT)} bytes, but .* has {len(CONTENT) + 1}"):
        import_file("sample", source)
    assert not weights.exists()


def test_every_truncation_is_refused(known, source, weights) -> None:
    known()
    for length in range(len(CONTENT)):
        source.write_bytes(CONTENT[:length])
        with pytest.raises((InputError, FormatError), match=r"download\.safetensors"):
            import_file("sample", source)
    assert names_in(weights) == []


def with_header(text: str | bytes, data: bytes = b"") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + data


def entry(**facts: object) -> bytes:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **facts}
    return with_header(json.dumps({"a": tensor}), bytes(4))


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 99_999_999) + b"{}",
        with_header("{"),
        with_header("{" * 100_000),
        with_header('{"a":' * 5000),
        with_header("{}"),
        with_header('{"__metadata__":{"a":"b"}}'),
        with_header(b"{\xff}"),
        entry(shape=[-1]),
        entry(shape=[2]),
        entry(shape=[2**63]),
        entry(shape=[2**32, 2**32]),
        entry(dtype="F31"),
        entry(data_offsets=[0, 2**63]),
        entry(data_offsets=[4, 0]),
        entry(data_offsets=[0, 3]),
        entry() + b"x",
    ],
)
def test_hostile_headers_are_format_errors(known, source, weights, content) -> None:
    known()
    source.write_bytes(content)
    with pytest.raises(FormatError, match=r"download\.safetensors"):
        import_file("sample", source)
    assert names_in(weights) == []


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "weights come as"),
        (b"these are not the weights you are looking for", "weights come as"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (bytes(100), "weights come as"),
    ],
)
def test_other_files_are_refused_with_advice(known, source, content, hint) -> None:
    known()
    source.write_bytes(content)
    with pytest.raises(InputError, match="is not a weights file") as caught:
        import_file("sample", source)
    assert hint in caught.value.hint


def test_what_is_not_a_file_is_refused(known, tmp_path) -> None:
    known()
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe", "nul\0"):
        with pytest.raises(InputError):
            import_file("sample", f"{tmp_path}/{name}")


def test_unknown_name_is_a_usage_error_everywhere(source) -> None:
    for action in (find, locate, verify, cached_path, lambda name: import_file(name, source)):
        with pytest.raises(UsageError, match="no weights `nothing`"):
            action("nothing")


def test_file_that_is_still_downloaded_is_refused(known, source, weights, monkeypatch) -> None:
    known()
    chunks = cache._chunks

    def growing(path: Path) -> object:
        yield from chunks(path)
        yield b"more"

    monkeypatch.setattr(cache, "_chunks", growing)
    with pytest.raises(InputError, match="changed while it was copied"):
        import_file("sample", source)
    assert names_in(weights) == []


def test_interrupted_import_leaves_nothing(known, source, weights) -> None:
    known()

    def stop(step: str, fraction: float) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file("sample", source, progress=stop)
    assert names_in(weights) == []


def test_folder_that_cannot_be_made_is_an_output_error(known, source, weights) -> None:
    known()
    weights.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot write") as caught:
        import_file("sample", source)
    assert "SQ3D_WEIGHTS" in caught.value.hint


SMALL_DISK = """
import resource, sys
from squeeze3d.errors import OutputError
from squeeze3d.weights import cache
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.registry import register_artefact
register_artefact(Artefact("sample", "", "f", "MIT"))
if sys.argv[1].endswith(".pt"):
    import torch  # may write files of its own
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    cache.import_file("sample", sys.argv[1])
except OutputError as error:
    print(error.message)
"""


def import_on_small_disk(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", SMALL_DISK, str(path)], capture_output=True, text=True, check=True)
    return done.stdout


def test_full_disk_is_an_output_error_and_leaves_nothing(source, weights) -> None:
    source.write_bytes(save({"a": np.zeros(10_000, np.float32)}))
    checkpoint = source.with_suffix(".pt")
    torch.save({"a": torch.zeros(10_000)}, checkpoint)
    for path in (source, checkpoint):
        shown = import_on_small_disk(path)
        assert shown.startswith("cannot write")
        assert "file too large" in shown
        assert names_in(weights) == []


def test_verify_compares_with_the_published_hash(known, source) -> None:
    known(sha256=sha256(CONTENT))
    import_file("sample", source)
    found = verify("sample")
    assert (found.compared_with, found.sha256, found.size) == ("published", sha256(CONTENT), len(CONTENT))
    assert found.header.tensors == 2


@pytest.mark.parametrize("published", [True, False])
def test_verify_finds_one_flipped_bit(known, source, published, monkeypatch) -> None:
    known(sha256=sha256(CONTENT) if published else None)
    path = import_file("sample", source).path
    state = cache.recorded_sha256(path)
    damaged = bytearray(CONTENT)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    # Decay of a disk leaves the times of the file as they were.
    monkeypatch.setattr(cache, "recorded_sha256", lambda path: state)
    for _ in range(2):
        with pytest.raises(ChecksumError, match="is damaged") as caught:
            verify("sample")
        assert "sq3d models import sample FILE --force" in caught.value.hint


def test_verify_of_a_file_put_there_by_hand_records_its_hash(known, weights) -> None:
    known()
    weights.mkdir()
    cached_path("sample").write_bytes(CONTENT)
    assert verify("sample").compared_with is None
    assert verify("sample").compared_with == "recorded"


def test_verify_finds_truncation(known, source) -> None:
    known()
    path = import_file("sample", source).path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FormatError, match="not a whole safetensors file"):
        verify("sample")


def test_verify_of_missing_weights_says_so(known) -> None:
    known()
    with pytest.raises(MissingWeightsError):
        verify("sample")


def test_folder_in_the_place_of_weights_is_not_weights(known, weights) -> None:
    known()
    (weights / "sample.safetensors").mkdir(parents=True)
    assert find("sample") is None


def test_header_counts_tensors_and_numbers(source) -> None:
    source.write_bytes(save({"scalar": np.float32(1)[...], "empty": np.zeros((0, 5)), **TENSORS}, {"key": "value"}))
    header = read_header(source)
    assert (header.tensors, header.parameters, header.metadata) == (4, 16, {"key": "value"})
