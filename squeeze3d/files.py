"""Writing files so that they appear whole or not at all.

```text
data ─► .name.1a2b3c4d.tmp in the same folder ─► fsync ─► rename (or link, where nothing may be replaced)
```

The temporary file sits in the target's folder because a rename is only atomic within one file system. It is
removed on every error and on Ctrl-C. `atomic_write` takes bytes; `atomic_path` is for large files, and for libraries
that want a path.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from squeeze3d.errors import OutputError

_NAME_BYTES = 180
"""Longest part of the target's name that a temporary name repeats; file systems end at 255 bytes."""


def atomic_write(path: str | Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write one file.

    Raises
    ------
    OutputError : the file exists and `overwrite` is false, or the system refuses. Nothing is left behind.
    """
    atomic_write_many({Path(path): data}, overwrite=overwrite)


def atomic_write_many(files: Mapping[Path, bytes], *, overwrite: bool = False) -> None:
    """Write several files: check all, then write all temporaries, then rename all.

    A failure before the first rename changes nothing. If a rename fails and `overwrite` is false, the files
    that were already in place are taken away again.
    """
    check_writable(files, overwrite=overwrite)
    temporaries: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for path, data in files.items():
            target = _through_link(path)
            if _is_special(target):
                # /dev/null, a pipe or a terminal: replacing it with a file would break the system.
                _write_special(target, data)
                continue
            temporary = _temporary(target)
            temporaries.append((temporary, target))
            _write_synced(temporary, data, target)
        for temporary, target in temporaries:
            _place(temporary, target, overwrite)
            placed.append(target)
        for folder in {target.parent for target in placed}:
            _sync_folder(folder)
    except BaseException:
        for temporary, _ in temporaries:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if not overwrite:
            for target in placed:
                with contextlib.suppress(OSError):
                    target.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False, hint: str = "") -> Iterator[Path]:
    """Give a path to write to; what the block leaves there takes the place of `path` when it ends well.

    On an error, or on Ctrl-C, it vanishes and the target is as before. An OSError of the block is taken for one of
    writing.

    Parameters
    ----------
    hint : what to do where the system refuses.

    Raises
    ------
    OutputError : the file exists and `overwrite` is false, or the system refuses.
    """
    target = _through_link(Path(path))
    check_writable([target], overwrite=overwrite)
    special = _is_special(target)
    temporary = target if special else _temporary(target)
    try:
        try:
            yield temporary
            if special:
                return
            _sync(temporary)
        except OSError as error:
            raise _refused(target, error, hint) from None
        _place(temporary, target, overwrite, hint)
        _sync_folder(target.parent)
    finally:
        if not special:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder for results, with its parents; raises OutputError where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"`{folder}` is not a folder", hint="give the name of a folder") from None
    except OSError as error:
        raise OutputError(f"cannot create folder `{folder}`: {(error.strerror or str(error)).lower()}") from None


def check_writable(files: Mapping[Path, bytes] | list[Path], *, overwrite: bool) -> None:
    """Raise OutputError if a target is a folder, or exists and may not be replaced."""
    for path in files:
        if path.is_dir():
            raise OutputError(f"`{path}` is a directory", hint="give a file name")
        if not overwrite and os.path.lexists(path) and not _is_special(path):
            raise _exists(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"`{path}` exists", hint="allow overwriting (`--force`), or choose another name")


def _refused(path: Path, error: OSError, hint: str = "") -> OutputError:
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        return OutputError(f"cannot write `{path}`: no such folder `{path.parent}`", hint="create the folder first")
    return OutputError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}", hint=hint)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{_clipped(target.name)}.{secrets.token_hex(4)}.tmp")


def _clipped(name: str) -> str:
    return name.encode("utf-8", "surrogateescape")[:_NAME_BYTES].decode("utf-8", "ignore")


def _through_link(path: Path) -> Path:
    # Renaming onto a symbolic link would replace the link; the user means the file behind it.
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_special(path: Path, data: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(data)
    except OSError as error:
        raise _refused(path, error) from None


def _write_synced(temporary: Path, data: bytes, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # Mode 0666 lets the umask decide, as for any file; tempfile.mkstemp would leave 0600 behind.
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _refused(target, error) from None


def _sync(path: Path) -> None:
    # Files that cannot be opened for writing are hard links to what somebody else has written.
    with contextlib.suppress(PermissionError), path.open("rb+") as file:
        os.fsync(file.fileno())


def _place(temporary: Path, target: Path, overwrite: bool, hint: str = "") -> None:
    try:
        if overwrite:
            os.replace(temporary, target)
            return
        try:
            # A link fails if the target has appeared in the meantime; a rename would replace it.
            os.link(temporary, target)
        except FileExistsError:
            raise _exists(target) from None
        except OSError:
            # No hard links here (FAT, some network drives): a small race is left.
            if os.path.lexists(target):
                raise _exists(target) from None
            os.rename(temporary, target)
            return
        os.unlink(temporary)
    except OSError as error:
        raise _refused(target, error, hint) from None


def _sync_folder(folder: Path) -> None:
    # Makes the new names survive a power cut; not every system can, and the data itself is safe already.
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
