"""How much memory encoding takes, told roughly before it takes it: a clear error instead of a machine that stops."""

from __future__ import annotations

import os
from pathlib import Path

from squeeze3d.assets.elements import described, element_count
from squeeze3d.assets.source import Loaded
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.spec import CodecSpec
from squeeze3d.errors import LimitError

COPIES = 3
"""Files in memory: what was read, the asset made of it, and what some step makes of that."""


def physical_memory() -> int | None:
    """Bytes of memory that this machine has; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def encoding_bytes(spec: CodecSpec, loaded: Loaded, *, searches: bool) -> int:
    """Estimate of what a codec takes for an asset.

    Parameters
    ----------
    searches : whether it looks for a size or a quality, which takes more than options that are given.
    """
    files = len(loaded.source.data) + sum(map(len, loaded.source.used.values()))
    return COPIES * files + element_count(loaded.asset) * spec.memory[searches]


def check_encoding(spec: CodecSpec, loaded: Loaded, limit: int | None, *, searches: bool) -> None:
    """Raise LimitError if the estimate is above the limit, or above what the machine has where that is None."""
    needed = encoding_bytes(spec, loaded, searches=searches)
    what = f"encoding {described(loaded.asset)} with {spec.id}"
    _check(needed, limit, what, "use fewer of them, or `--codec any.raw`, which takes the least")


def check_file(path: Path, limit: int | None) -> None:
    """Raise LimitError if a file cannot even be read within the limit."""
    if path.is_file():
        _check(path.stat().st_size, limit, f"reading `{path}`", "split the file")


def _check(count: int, limit: int | None, what: str, instead: str) -> None:
    most = physical_memory() if limit is None else limit
    if most is not None and count > most:
        whose = "this machine has" if limit is None else "`--max-memory` allows"
        raise LimitError(
            f"{what} takes about {format_bytes(count)} of memory, more than the {format_bytes(most)} that {whose}",
            hint=f"raise `--max-memory` if there is as much, or {instead}",
        )
