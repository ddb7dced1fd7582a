"""Downloading weights, from a hub on this machine that can misbehave."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from loopback_hub import COMMIT, LoopbackHub, serving
from safetensors.numpy import save

from squeeze3d.errors import (
    FormatError,
    InputError,
    MissingExtraError,
    MissingWeightsError,
    OutputError,
    Sq3Error,
    UnsupportedError,
    UsageError,
)
from squeeze3d.weights import download
from squeeze3d.weights.cache import cached_path, find, verify
from squeeze3d.weights.download import pull
from squeeze3d.weights.hashing import recorded_sha256

CONTENT = save({"a": np.arange(50_000, dtype=np.float32)})
FILE = "some/where/deep/sample_v1.safetensors"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A hub with the file of `sample`."""
    import huggingface_hub.file_download

    with serving() as hub:
        hub.add(FILE, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        # The library waits a second before it goes on with a download that broke.
        waiting = types.SimpleNamespace(**{**vars(__import__("time")), "sleep": lambda seconds: None})
        monkeypatch.setattr(huggingface_hub.file_download, "time", waiting)
        monkeypatch.setattr(download, "_STEP", 1000)
        yield hub


def left(weights: Path) -> list[str]:
    """Names of all files below the weights directory but for records of hashes."""
    found = (path.relative_to(weights) for path in weights.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != ".hashes")


def parts(weights: Path) -> list[Path]:
    return sorted(weights.glob(".downloads/*.part"))


@pytest.mark.parametrize("large", [True, False])
def test_a_file_comes_whole_and_leaves_nothing_else(known, hub, weights, large) -> None:
    known()
    hub.large = large
    done = pull("sample")
    assert done.path == find("sample") == cached_path("sample")
    assert done.path.read_bytes() == CONTENT
    assert (done.size, done.received, done.revision) == (len(CONTENT), len(CONTENT), COMMIT)
    assert (done.header.parameters, done.converted) == (50_000, False)
    assert left(weights) == ["sample.safetensors"]
    assert not (weights / ".downloads").exists()
    assert done.path.stat().st_nlink == 1


def test_the_hub_is_asked_for_the_file_and_told_nothing_but_the_programs_name(known, hub) -> None:
    known()
    pull("sample")
    assert [(each.method, each.store) for each in hub.asked] == [("HEAD", False), ("GET", True)]
    assert {each.path for each in hub.asked} == {"/some/where/resolve/main/deep/sample_v1.safetensors"}
    assert all(re.fullmatch(r"squeeze3d/[\d.]+; hf_hub/[\d.]+; python/[\d.]+", each.agent) for each in hub.asked)


def test_the_hash_of_a_download_is_recorded(known, hub) -> None:
    known()
    done = pull("sample")
    assert done.sha256 == recorded_sha256(done.path) == sha256(CONTENT)
    assert verify("sample").compared_with == "recorded"


def test_progress_counts_up_to_the_end(known, hub) -> None:
    known()
    seen: list[tuple[str, float]] = []
    pull("sample", progress=lambda step, fraction: seen.append((step, fraction)))
    fractions = [fraction for step, fraction in seen if step == "download"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert seen[0] == ("ask", 0)


def test_what_is_here_already_is_not_asked_for(known, hub, weights) -> None:
    known()
    weights.mkdir()
    other = save({"b": np.zeros(3, np.float32)})
    cached_path("sample").write_bytes(other)
    done = pull("sample")
    assert (done.received, done.revision, done.size) == (0, None, len(other))
    assert hub.asked == []
    assert pull("sample", force=True).received == len(CONTENT)
    assert cached_path("sample").read_bytes() == CONTENT


def test_weights_that_ship_with_the_program_are_here_already(hub) -> None:
    import squeeze3d.codecs.points_lite  # noqa: F401 - registers them

    assert pull("points-lite-code").received == 0
    assert hub.asked == []
    with pytest.raises(UnsupportedError, match="not published"):
        pull("points-lite-code", force=True)


def test_weights_that_nobody_publishes_cannot_be_downloaded(known, hub) -> None:
    known(repository=None)
    with pytest.raises(UnsupportedError, match="not published") as caught:
        pull("sample")
    assert "sq3d models import sample FILE" in caught.value.hint


def test_weights_that_are_published_elsewhere_are_to_be_imported(known, hub) -> None:
    known(repository=None, homepage="https://example.org/networks")
    with pytest.raises(
        UnsupportedError, match=r"not on the hub: download deep/sample_v1\.safetensors from https"
    ) as caught:
        pull("sample")
    assert "sq3d models import sample sample_v1.safetensors" in caught.value.hint


def test_unknown_name_is_a_usage_error(hub) -> None:
    with pytest.raises(UsageError):
        pull("nothing")


def test_the_token_goes_to_the_hub_and_no_further(known, hub, monkeypatch) -> None:
    import huggingface_hub.constants

    known()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull("sample")
    assert {each.token for each in hub.asked if not each.store} == {"Bearer hf_secret"}
    assert {each.token for each in hub.asked if each.store} == {None}
    hub.large = False
    pull("sample", force=True)
    assert hub.asked[-1].method == "GET"
    assert hub.asked[-1].token == "Bearer hf_secret"


@pytest.mark.parametrize("large", [True, False])
def test_a_connection_that_breaks_is_taken_up_again_at_once(known, hub, weights, large) -> None:
    known()
    hub.large, hub.cuts = large, [70_500, 10**9]
    done = pull("sample")
    assert hub.downloads == [0, 70_000]
    assert done.received == len(CONTENT)
    assert done.path.read_bytes() == CONTENT
    assert left(weights) == ["sample.safetensors"]


def break_off(hub: LoopbackHub, after: int) -> MissingWeightsError:
    """Try to download while connections break after so many bytes of the file."""
    hub.cuts = [after]
    with pytest.raises(MissingWeightsError) as caught:
        pull("sample")
    hub.cuts = []
    hub.asked.clear()
    return caught.value


def test_a_download_that_broke_goes_on_the_next_time(known, hub, weights) -> None:
    known()
    error = break_off(hub, 123_456)
    assert "the connection broke after 123 kB" in error.message
    assert "sq3d models pull sample" in error.hint
    assert find("sample") is None
    (part,) = parts(weights)
    assert part.read_bytes() == CONTENT[:123_000]
    done = pull("sample")
    assert hub.downloads == [123_000]
    assert done.received == len(CONTENT) - 123_000
    assert done.path.read_bytes() == CONTENT
    assert left(weights) == ["sample.safetensors"]


def test_a_download_that_was_complete_but_not_in_place_needs_no_other(known, hub, weights, monkeypatch) -> None:
    known()

    def killed(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "bring_in", killed)
        with pytest.raises(KeyboardInterrupt):
            pull("sample")
    hub.asked.clear()
    done = pull("sample")
    assert hub.downloads == []
    assert (done.received, done.path.read_bytes()) == (0, CONTENT)


def test_a_download_that_is_interrupted_goes_on_the_next_time(known, hub, weights) -> None:
    known()
    hub.cuts = [100_000, 10**9]

    def stop(step: str, fraction: float) -> None:
        if step == "download":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("sample", progress=stop)
    (part,) = parts(weights)
    assert 0 < part.stat().st_size < len(CONTENT)
    assert left(weights) == [str(part.relative_to(weights))]
    start = part.stat().st_size
    hub.asked.clear()
    assert pull("sample").path.read_bytes() == CONTENT
    assert hub.downloads == [start]


def test_a_server_that_only_knows_whole_files_sends_them_again(known, hub) -> None:
    known()
    break_off(hub, 5_000)
    hub.ranges = False
    assert pull("sample").path.read_bytes() == CONTENT


def test_what_has_arrived_of_another_version_is_dropped(known, hub, weights) -> None:
    known()
    break_off(hub, 5_000)
    newer = save({"a": np.arange(60_000, dtype=np.float32)})
    hub.add(FILE, newer)
    assert pull("sample").path.read_bytes() == newer
    assert hub.downloads == [0]
    assert left(weights) == ["sample.safetensors"]


def test_more_than_the_whole_file_is_started_again(known, hub, weights) -> None:
    known()
    break_off(hub, 5_000)
    (part,) = parts(weights)
    part.write_bytes(bytes(len(CONTENT) + 1))
    assert pull("sample").path.read_bytes() == CONTENT


@pytest.mark.parametrize("start", [0, 1000], ids=["from the server", "from an earlier attempt"])
def test_damage_on_the_way_is_found_and_nothing_is_kept(known, hub, weights, start) -> None:
    known()
    if start:
        break_off(hub, start)
        (part,) = parts(weights)
        part.write_bytes(bytes(start))
    else:
        hub.etag = sha256(CONTENT)
        hub.add(FILE, CONTENT[:-1] + b"\x01")
    with pytest.raises((InputError, FormatError)) as caught:
        pull("sample")
    assert caught.value.exit_code == 3
    assert "huggingface.co/some/where" in caught.value.message
    assert str(weights) not in caught.value.message
    assert "sq3d models pull sample" in caught.value.hint
    assert left(weights) == []


def test_a_small_file_is_checked_against_the_registry(known, hub, weights) -> None:
    known(sha256=sha256(CONTENT[:-1] + b"\x01"))
    hub.large = False
    with pytest.raises(InputError, match="SHA-256"):
        pull("sample")
    assert left(weights) == []


@pytest.mark.parametrize(
    ("facts", "what"),
    [({"size": len(CONTENT) + 1}, "size"), ({"sha256": "0" * 64}, "SHA-256")],
    ids=["size", "hash"],
)
def test_a_hub_that_contradicts_the_registry_is_refused_before_the_download(known, hub, weights, facts, what) -> None:
    known(**facts)
    with pytest.raises(InputError, match=f"not the file this program knows: its {what}"):
        pull("sample")
    assert hub.downloads == []
    assert left(weights) == []


@pytest.mark.parametrize("content", [b"<!doctype html><p>maintenance", CONTENT[:-1], b"", b"\x80\x02nonsense"])
def test_what_is_no_file_of_weights_is_refused_and_not_kept(known, hub, weights, content) -> None:
    known()
    hub.add(FILE, content)
    with pytest.raises((InputError, FormatError)) as caught:
        pull("sample")
    assert caught.value.exit_code == 3
    assert left(weights) == []


class Dangerous:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("this code must not run",)


def checkpoint(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_a_pickle_is_converted_once(known, hub, weights, monkeypatch) -> None:
    data = checkpoint({"state_dict": {"x": torch.arange(6.0)}, "step": 3})
    known(sha256=sha256(data), size=len(data))
    hub.add(FILE, data)
    done = pull("sample")
    assert done.converted
    assert (done.header.tensors, done.header.parameters) == (1, 6)
    assert done.header.metadata["converted_from_sha256"] == sha256(data)
    assert left(weights) == ["sample.safetensors"]
    assert not pull("sample").received
    assert len(hub.downloads) == 1


def test_a_pickle_that_would_run_code_is_refused_and_not_kept(known, hub, weights, capfd) -> None:
    known()
    hub.add(FILE, checkpoint({"x": torch.zeros(2), "y": Dangerous()}))
    with pytest.raises(InputError, match="more than tensors"):
        pull("sample")
    assert left(weights) == []
    assert "must not run" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("failure", "said", "advice"),
    [
        ((401, ""), r"access is refused \(401\)|no such repository \(401\)", "HF_TOKEN"),
        ((401, "RepoNotFound"), r"access is refused \(401\)", "HF_TOKEN"),
        ((403, ""), r"access is refused \(403\)", "HF_TOKEN"),
        ((403, "GatedRepo"), "wants to be asked first", "accept the terms"),
        ((404, "RepoNotFound"), r"no such repository \(404\)", "where it went"),
        ((404, "EntryNotFound"), r"no file deep/sample_v1.safetensors \(404\)", "where it went"),
        ((404, "RevisionNotFound"), r"no file deep/sample_v1.safetensors \(404\)", "where it went"),
        ((500, ""), r"answers with an error \(500\)", "later"),
    ],
)
def test_refusals_say_why_and_what_to_do(known, hub, weights, failure, said, advice) -> None:
    known()
    hub.failure = failure
    with pytest.raises(MissingWeightsError, match=said) as caught:
        pull("sample")
    assert "https://huggingface.co/some/where" in caught.value.message
    assert advice in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    assert left(weights) == []


def test_a_machine_that_is_offline_is_told_so(known, hub, monkeypatch) -> None:
    import huggingface_hub.constants

    known()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError, match="stay offline") as caught:
        pull("sample")
    assert "HF_HUB_OFFLINE" in caught.value.hint
    assert "sq3d models import sample FILE" in caught.value.hint
    assert hub.asked == []


def test_a_hub_that_cannot_be_reached_is_told_so(known, monkeypatch) -> None:
    known()
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with pytest.raises(MissingWeightsError, match="cannot be reached") as caught:
        pull("sample")
    assert "sq3d models import sample FILE" in caught.value.hint


def test_a_server_that_is_no_hub_is_told_so(known, hub) -> None:
    known()
    hub.commit = None
    with pytest.raises(MissingWeightsError, match="is no Hugging Face hub") as caught:
        pull("sample")
    assert "HF_ENDPOINT" in caught.value.hint


def test_a_full_disk_is_noticed_before_the_download(known, hub, weights, monkeypatch) -> None:
    known()
    room = shutil.disk_usage("/")._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    with pytest.raises(OutputError, match="no room") as caught:
        pull("sample")
    assert "SQ3D_WEIGHTS" in caught.value.hint
    assert hub.downloads == []
    assert left(weights) == []


SMALL_DISK = """
import resource
from squeeze3d.errors import OutputError
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.download import pull
from squeeze3d.weights.registry import register_artefact
register_artefact(Artefact("sample", "", "deep/sample_v1.safetensors", "MIT", "some/where"))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    pull("sample")
except OutputError as error:
    print(error.message)
"""


def test_a_disk_that_fills_up_is_an_output_error_and_leaves_nothing(hub, weights) -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_DISK], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write")
    assert "file too large" in done.stdout
    assert left(weights) == []
    assert hub.downloads == [0]


def test_a_folder_that_cannot_be_made_is_an_output_error(known, hub, weights) -> None:
    known()
    weights.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot write"):
        pull("sample")


def test_two_downloads_of_the_same_do_not_mix(known, hub, weights) -> None:
    known()
    (weights / ".downloads").mkdir(parents=True)
    with FileLock(weights / ".downloads/sample.lock"):
        with pytest.raises(OutputError, match="another process"):
            pull("sample")
        with pytest.raises(OutputError, match="another process"):
            pull("sample")
    assert hub.asked == []
    assert pull("sample").received == len(CONTENT)


def test_without_the_library_the_error_has_the_install_line(known, hub, monkeypatch) -> None:
    known()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError) as caught:
        pull("sample")
    assert 'pip install "squeeze3d[hub]"' in caught.value.hint
    assert hub.asked == []


def test_the_library_is_left_as_it_was(known, hub) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled
    from huggingface_hub.utils import logging as hub_logging

    known()

    def state() -> list[object]:
        chosen = vars(constants)
        return [
            hub_logging.get_verbosity(),
            are_progress_bars_disabled(),
            chosen["DOWNLOAD_CHUNK_SIZE"],
            chosen["HF_HUB_DISABLE_TELEMETRY"],
        ]

    before = state()
    hub.cuts = [1000]
    with pytest.raises(Sq3Error):
        pull("sample")
    assert state() == before
