"""Large files that appear whole or not at all, written by libraries that want a path.

`squeeze3d.files` does the same for bytes in memory; a checkpoint or a shard of latents would take that memory twice.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from squeeze3d.errors import OutputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Path to write to; its content takes the place of `path` when the block ends well, and vanishes otherwise.

    Raises OutputError where the system refuses: no such folder, disk full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}") from None
    finally:
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
