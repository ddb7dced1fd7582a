"""Hashes of weight files: computed once, never wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from squeeze3d.errors import InputError
from squeeze3d.weights import hashing
from squeeze3d.weights.hashing import compute_sha256, fingerprint_of, recorded_sha256, remember, sha256_of

CONTENT = b"weights" * 1000
WRONG = "0" * 64


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def _files_count_as_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of tests are young; -60 s makes them old enough to be recorded."""
    monkeypatch.setattr(hashing, "_SETTLED_NS", -60_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read whole."""
    seen: list[Path] = []

    def count(path: Path) -> str:
        seen.append(path)
        return compute_sha256(path)

    monkeypatch.setattr(hashing, "compute_sha256", count)
    return seen


def forget_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_known", {})


def records(weights: Path) -> list[Path]:
    return sorted((weights / ".hashes").iterdir()) if weights.exists() else []


def test_file_is_read_once_in_this_process_and_the_next(path, reads, monkeypatch) -> None:
    assert sha256_of(path) == sha256(CONTENT)
    assert sha256_of(str(path)) == sha256(CONTENT)
    forget_this_process(monkeypatch)
    assert sha256_of(path) == sha256(CONTENT)
    assert len(reads) == 1


def test_changed_file_is_read_again(path, reads) -> None:
    sha256_of(path)
    for content in (CONTENT + b"x", CONTENT[::-1]):
        path.write_bytes(content)
        assert sha256_of(path) == sha256(content)
    assert len(reads) == 3


def test_replaced_file_with_the_same_size_and_time_is_read_again(path, tmp_path) -> None:
    sha256_of(path)
    other = tmp_path / "other"
    other.write_bytes(CONTENT[::-1])
    shutil.copystat(path, other)
    os.replace(other, path)
    assert path.stat().st_size == len(CONTENT)
    assert sha256_of(path) == sha256(CONTENT[::-1])


def test_young_file_is_not_recorded_because_its_time_may_not_tell_of_a_change(path, weights, monkeypatch) -> None:
    monkeypatch.setattr(hashing, "_SETTLED_NS", 2_000_000_000)
    stat = path.stat()
    assert sha256_of(path) == sha256(CONTENT)
    assert records(weights) == []
    # A change within one tick of the clock leaves all that `stat` tells as it was.
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert sha256_of(path) == sha256(CONTENT[::-1])


def test_file_that_changes_while_it_is_read_is_not_recorded(path, weights, monkeypatch) -> None:
    def slow(path: Path) -> str:
        found = compute_sha256(path)
        path.write_bytes(CONTENT + b"more")
        return found

    monkeypatch.setattr(hashing, "compute_sha256", slow)
    sha256_of(path)
    assert records(weights) == []
    monkeypatch.setattr(hashing, "compute_sha256", compute_sha256)
    assert sha256_of(path) == sha256(CONTENT + b"more")


def test_every_damage_to_a_record_costs_a_read_and_gives_the_right_hash(path, weights, monkeypatch, reads) -> None:
    sha256_of(path)
    (record,) = records(weights)
    whole = record.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))] + [whole + b"x", whole * 2, b"\xff" * 10_000, b"[]\n" * 2]
    for position in range(len(whole)):
        for bit in (0x01, 0x80):
            flipped = bytearray(whole)
            flipped[position] ^= bit
            damaged.append(bytes(flipped))
    monkeypatch.setattr(hashing, "_record", lambda *_: None)
    for content in damaged:
        record.write_bytes(content)
        forget_this_process(monkeypatch)
        assert sha256_of(path) == sha256(CONTENT)
    assert len(reads) == 1 + len(damaged)


def test_record_of_another_file_is_not_taken(path, tmp_path, weights, monkeypatch) -> None:
    other = tmp_path / "other"
    other.write_bytes(CONTENT[::-1])
    sha256_of(path)
    (mine,) = records(weights)
    sha256_of(other)
    (others,) = [record for record in records(weights) if record != mine]
    mine.write_bytes(others.read_bytes())
    forget_this_process(monkeypatch)
    assert sha256_of(path) == sha256(CONTENT)


def test_folder_in_the_place_of_records_does_no_harm(path, weights) -> None:
    weights.mkdir()
    (weights / ".hashes").write_text("not a folder")
    assert sha256_of(path) == sha256(CONTENT)


def test_folder_that_cannot_be_written_still_hashes_once_per_process(path, weights, reads, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The user of a test may be root, whom permissions do not stop.
    monkeypatch.setattr(Path, "mkdir", refuse)
    for _ in range(2):
        assert sha256_of(path) == sha256(CONTENT)
    assert len(reads) == 1
    assert not weights.exists()


def test_records_of_a_shared_folder_hold_where_it_is_moved_to(weights, reads, monkeypatch) -> None:
    weights.mkdir()
    (weights / "a.safetensors").write_bytes(CONTENT)
    sha256_of(weights / "a.safetensors")
    moved = weights.rename(weights.with_name("moved"))
    monkeypatch.setenv("SQ3D_WEIGHTS", str(moved))
    assert sha256_of(moved / "a.safetensors") == sha256(CONTENT)
    assert len(reads) == 1


def test_remembered_hash_is_returned_until_the_file_changes(path) -> None:
    remember(path, WRONG)
    assert recorded_sha256(path) == WRONG
    assert sha256_of(path) == WRONG
    assert compute_sha256(path) == sha256(CONTENT)
    path.write_bytes(CONTENT + b"x")
    assert recorded_sha256(path) is None
    assert sha256_of(path) == sha256(CONTENT + b"x")


def test_link_and_file_share_a_record(path, tmp_path, reads) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    assert sha256_of(path) == sha256_of(link)
    assert len(reads) == 1


@pytest.mark.parametrize("name", ["missing", ".", "nul\0"])
def test_unreadable_file_is_an_input_error(name, tmp_path) -> None:
    with pytest.raises(InputError):
        sha256_of(f"{tmp_path}/{name}")


def test_progress_ends_at_one(path, monkeypatch) -> None:
    monkeypatch.setattr(hashing, "CHUNK_BYTES", 1000)
    seen: list[float] = []
    compute_sha256(path, seen.append)
    assert seen == sorted(seen)
    assert (len(seen), seen[-1]) == (7, 1.0)


def test_fingerprint_is_the_start_of_the_hash_over_the_hashes_in_order(tmp_path) -> None:
    paths = []
    for name in "abc":
        paths.append(tmp_path / name)
        paths[-1].write_text(name)
    digests = b"".join(hashlib.sha256(name.encode()).digest() for name in "abc")
    assert fingerprint_of(paths) == hashlib.sha256(digests).digest()[:4]
    assert fingerprint_of(paths[::-1]) != fingerprint_of(paths)
    assert fingerprint_of([]) == hashlib.sha256().digest()[:4]
