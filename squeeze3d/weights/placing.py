"""Large files that appear whole or not at all, without passing through memory."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from squeeze3d.errors import OutputError
from squeeze3d.files import check_writable


@contextlib.contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path beside the target; at the end of the block the file there becomes the target.

    The block creates the file. On an error, or on Ctrl-C, it is removed and the target is as before. Folders are
    created. Whatever OSError the block raises is taken for one of writing.

    Raises
    ------
    OutputError : the target exists and `overwrite` is false, or the system refuses.
    """
    check_writable([target], overwrite=overwrite)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, target)
        else:
            _place_new(temporary, target)
    except OSError as error:
        raise OutputError(
            f"cannot write `{target}`: {(error.strerror or str(error)).lower()}",
            hint="make room or get access there, or set SQ3D_WEIGHTS to another folder",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    # Read-only files are hard links to files that somebody else has written.
    with contextlib.suppress(PermissionError), open(path, "rb+") as file:
        os.fsync(file.fileno())


def _place_new(temporary: Path, target: Path) -> None:
    try:
        # A link fails if the target has appeared in the meantime; a rename would replace it.
        os.link(temporary, target)
    except OSError:
        check_writable([target], overwrite=False)
        # No hard links here (FAT, some network drives): a small race is left.
        os.rename(temporary, target)
