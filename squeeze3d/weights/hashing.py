"""SHA-256 of weight files, each hashed once: gigabytes take seconds, and the answer does not change.

```text
file ─► size, times, inode ─► as recorded? ─ yes ─► recorded hash
                                           └ no ──► read the file, record, hash
```

Records lie in `.hashes` in the weights directory, one small file each. A record only ever saves time: one that is
missing, damaged, of another state of the file, or that cannot be written, costs a pass over the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from squeeze3d.errors import InputError, Sq3Error
from squeeze3d.files import atomic_write
from squeeze3d.weights.directory import weights_directory

FINGERPRINT_BYTES = 4
CHUNK_BYTES = 1 << 20

_RECORD_BYTES = 4096
"""More than any record has; a larger file is not one."""
_SETTLED_NS = 2_000_000_000
"""Age from which a file's times tell of every later change: file systems count time in steps of up to two seconds, and
a change in the same step as the last one leaves them as they are."""

_known: dict[tuple[str, tuple[int, ...]], str] = {}
"""Hashes by path and state, for folders where records cannot be written."""

Progress = Callable[[float], None]
"""Called now and then with the fraction done, 0 to 1."""


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal, from the record if the file has not changed since.

    Raises InputError if the file cannot be read.
    """
    path = Path(path)
    state = _state(path)
    key = (os.path.realpath(path), state)
    found = _known.get(key) or _recall(path, state)
    if found is None:
        found = compute_sha256(path)
        settled = max(state[1:3]) < time.time_ns() - _SETTLED_NS
        if not settled or _state(path) != state:
            return found
        _record(path, state, found)
    _known[key] = found
    return found


def compute_sha256(path: str | Path, progress: Progress = lambda fraction: None) -> str:
    """SHA-256 of a file in hexadecimal, read from the file whatever is recorded.

    Raises InputError if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size or 1
            done = 0
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                progress(min(done / total, 1.0))
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.hexdigest()


def remember(path: str | Path, sha256: str) -> None:
    """Record the hash of a file that the caller has written and hashed. Where that is not possible, do nothing."""
    with contextlib.suppress(Sq3Error):
        path = Path(path)
        _record(path, _state(path), sha256)


def recorded_sha256(path: str | Path) -> str | None:
    """The recorded hash of a file in its present state, or None."""
    path = Path(path)
    return _recall(path, _state(path))


def fingerprint_of(paths: Iterable[str | Path]) -> bytes:
    """Four bytes that tell sets of weight files apart: the start of the SHA-256 over their hashes, in this order.

    Raises InputError if a file cannot be read.
    """
    digests = b"".join(bytes.fromhex(sha256_of(path)) for path in paths)
    return hashlib.sha256(digests).digest()[:FINGERPRINT_BYTES]


def _state(path: Path) -> tuple[int, int, int, int]:
    # The modification time alone can be set back, as copying tools do; the change time cannot.
    try:
        stat = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _record_path(path: Path) -> Path:
    # Relative, so that records of a shared folder hold wherever it is mounted.
    folder = weights_directory()
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
    return folder / ".hashes" / f"{hashlib.sha256(os.fsencode(relative)).hexdigest()[:32]}.json"


def _record(path: Path, state: tuple[int, ...], sha256: str) -> None:
    body = json.dumps({"sha256": sha256, "state": state})
    check = hashlib.sha256(body.encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError, Sq3Error):
        target = _record_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(target, f"{body}\n{check}\n".encode(), overwrite=True)


def _recall(path: Path, state: tuple[int, ...]) -> str | None:
    try:
        with open(_record_path(path), "rb") as file:
            body, check, *rest = file.read(_RECORD_BYTES).split(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != check or rest != [b""]:
            return None
        record = json.loads(body)
        return str(record["sha256"]) if record["state"] == list(state) else None
    except (OSError, Sq3Error, ValueError, KeyError, TypeError):
        return None


def _unreadable(path: str | Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"no such file: `{path}`")
    return InputError(f"cannot read `{path}`: {(getattr(error, 'strerror', None) or str(error)).lower()}")
