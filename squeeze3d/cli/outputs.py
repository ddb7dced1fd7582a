"""Writing results: never over an input, never over one another, over other files only with `--force`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from squeeze3d.cli.streams import DASH
from squeeze3d.errors import OutputError
from squeeze3d.files import atomic_write_many, check_writable


class Outputs:
    """All files that one run of a command writes."""

    def __init__(self, inputs: Iterable[str], *, force: bool) -> None:
        self._force = force
        self._inputs = {key: name for name in inputs if name != DASH for key in _identities(Path(name))}
        self._owners: dict[str, str] = {}

    def check(self, paths: Iterable[Path]) -> None:
        """Raise OutputError where writing is certain to be refused; spares minutes of work for nothing."""
        for path in paths:
            taken = next((self._inputs[key] for key in _identities(path) if key in self._inputs), None)
            if taken is not None:
                raise OutputError(f"`{path}` is the input `{taken}` itself", hint="choose another name with `-o`")
            check_writable([path], overwrite=self._force)
            if not path.parent.is_dir():
                raise OutputError(
                    f"cannot write `{path}`: no such folder `{path.parent}`", hint="create the folder first"
                )

    def write(self, main: Path, content: bytes, side: Mapping[str, bytes], owner: str) -> list[Path]:
        """Write a file and its side files, named relative to it; all of them or none.

        A side file that is there already with the same content is left alone: assets share textures.

        Returns
        -------
        The files that belong to the result, main file first.
        """
        files = {main: content}
        for name, data in side.items():
            path = main.parent / name
            if path in files:
                raise OutputError(
                    f"`{path}` is the output and also one of its side files",
                    hint="choose another name with `-o`",
                )
            files[path] = data
        missing = {path: data for path, data in files.items() if path == main or not _holds(path, data)}
        for path in missing:
            other = self._owners.get(os.path.realpath(path), owner)
            if other != owner:
                raise OutputError(
                    f"`{path}` was already written for `{other}`, with other content",
                    hint="use a folder of its own for each: `--output-dir`",
                )
        made = _make_folders(path.parent for path in missing if path.parent != main.parent)
        try:
            self.check(missing)
            atomic_write_many(missing, overwrite=self._force)
        except BaseException:
            _remove_empty(made)
            raise
        self._owners.update((os.path.realpath(path), owner) for path in files)
        return list(files)


def _identities(path: Path) -> list[object]:
    """Keys by which two names of one file are equal: the resolved name, and what the system says it is."""
    keys: list[object] = [os.path.realpath(path)]
    # Named pipes and devices may be input and output at once.
    if path.is_file():
        with contextlib.suppress(OSError):
            status = path.stat()
            keys.append((status.st_dev, status.st_ino))
    return keys if path.is_file() or not path.exists() else []


def _holds(path: Path, data: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    return False


def _make_folders(folders: Iterable[Path]) -> list[Path]:
    made: list[Path] = []
    for folder in dict.fromkeys(folders):
        absent = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            _remove_empty(made)
            raise OutputError(f"cannot create folder `{folder}`: {(error.strerror or str(error)).lower()}") from None
        made += reversed(absent)
    return made


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()
