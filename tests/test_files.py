"""Large files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squeeze3d.errors import OutputError
from squeeze3d.files import atomic_path, make_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, content: bytes = b"new", *, then: Callable[[], object] = lambda: None, **options: Any) -> None:
    """Write a file in a block, and do something else at its end."""
    with atomic_path(path, **options) as temporary:
        temporary.write_bytes(content)
        then()


def test_what_the_block_wrote_takes_the_place_of_the_target(tmp_path: Path) -> None:
    target = tmp_path / "a"
    for content in (b"1", b"2"):
        with atomic_path(target, overwrite=True) as temporary:
            assert temporary.parent == tmp_path
            temporary.write_bytes(content)
        assert target.read_bytes() == content
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("x"), OSError(28, "No space left on device")])
def test_a_block_that_fails_leaves_the_target_as_it_was(tmp_path: Path, fault: BaseException) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    expected = OutputError if isinstance(fault, OSError) else type(fault)

    def fail() -> None:
        raise fault

    with pytest.raises(expected) as caught:
        write(target, then=fail, overwrite=True, hint="make room")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
    if isinstance(caught.value, OutputError):
        assert caught.value.message == f"cannot write `{target}`: no space left on device"
        assert caught.value.hint == "make room"


def test_an_existing_file_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(OutputError, match="exists"):
        write(target, then=lambda: target.write_bytes(b"theirs, meanwhile"))
    entered = []
    with pytest.raises(OutputError, match="exists"):
        write(target, then=lambda: entered.append(True))
    assert not entered
    assert target.read_bytes() == b"theirs, meanwhile"
    assert names(tmp_path) == ["a"]


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no such folder") as caught,
        atomic_path(tmp_path / "gone" / "a") as temporary,
    ):
        temporary.write_bytes(b"1")
    assert caught.value.hint == "create the folder first"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"), atomic_path(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="links and devices of Unix")
def test_links_are_followed_and_devices_stay_devices(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with atomic_path(tmp_path / "link", overwrite=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    with atomic_path(os.devnull) as temporary:
        temporary.write_bytes(b"1")
    assert Path(os.devnull).is_char_device()


def test_make_folder_takes_what_is_there_and_refuses_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot create folder"):
        make_folder(tmp_path / "file" / "inside")
