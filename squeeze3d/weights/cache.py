"""Weights on this machine: finding, importing and verifying them.

```text
file from anywhere ─► kind, size, hash ─► safetensors ─► <weights directory>/<name>.safetensors ─► locate(name)
```

Nothing here connects to a network.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squeeze3d.errors import ChecksumError, InputError, MissingWeightsError, OutputError
from squeeze3d.files import atomic_path, check_writable
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.conversion import SOURCE_KEY, convert_checkpoint
from squeeze3d.weights.directory import weights_directory
from squeeze3d.weights.hashing import CHUNK_BYTES, compute_sha256, recorded_sha256, remember
from squeeze3d.weights.header import Header, read_header
from squeeze3d.weights.registry import artefact

_NO_ROOM = "make room or get access there, or set SQ3D_WEIGHTS to another folder"
_MOST_HEADER = 100_000_000
"""Bytes of a safetensors header, by the format's definition."""

Progress = Callable[[str, float], None]
"""Called now and then with the name of the step and the fraction of it done, 0 to 1."""


def _silent(step: str, fraction: float) -> None:
    pass


def cached_path(name: str) -> Path:
    """Where the cache keeps an artefact, whether it is there or not.

    Raises UsageError for an unknown name.
    """
    return weights_directory() / f"{artefact(name).name}.safetensors"


def find(name: str) -> Path | None:
    """File of an artefact on this machine, or None; raises UsageError for an unknown name.

    What was imported or trained here comes before what ships with the program.
    """
    path = cached_path(name)
    if not path.is_file() and artefact(name).embedded:
        path = embedded_path(name)
    return path if path.is_file() else None


def embedded_path(name: str) -> Path:
    """Where an artefact that ships with the program lies."""
    return Path(__file__).parent / "embedded" / f"{name}.safetensors"


def locate(name: str) -> Path:
    """File of an artefact on this machine.

    Raises
    ------
    UsageError : nothing is known by that name.
    MissingWeightsError : the file is not here. Says what it is, its licence, where it is published and how to add it.
    """
    path = find(name)
    if path is None:
        raise missing(artefact(name))
    return path


@dataclass(frozen=True)
class Imported:
    """An artefact that has been brought into the cache."""

    path: Path
    sha256: str
    """Hash of the file in the cache."""
    size: int
    header: Header
    converted: bool
    """Whether it was a pickle checkpoint."""


def import_file(
    name: str,
    path: str | Path,
    *,
    force: bool = False,
    link: bool = False,
    progress: Progress = _silent,
) -> Imported:
    """Bring a downloaded or trained file into the cache under the name of its artefact.

    Size and hash are compared with the published ones where they are known. A safetensors file is copied as it is,
    whatever its suffix; a pickle checkpoint is read without running its code and converted.

    Parameters
    ----------
    force : replace a file that is there already. The checks stay.
    link : make a hard link instead of a copy where the file system can. The file must not be changed afterwards.

    Raises
    ------
    UsageError : nothing is known by that name.
    InputError : the file cannot be read, is not a weights file, or is not the published one.
    FormatError : it is a safetensors file, but damaged.
    LimitError : it unfolds to far more than its size.
    OutputError : the cache has this artefact already, or cannot be written.
    """
    return bring_in(artefact(name), path, force=force, link=link, progress=progress)


def bring_in(
    wanted: Artefact, path: str | Path, *, force: bool = False, link: bool = False, progress: Progress = _silent
) -> Imported:
    """As `import_file`, for a caller that knows more about an artefact than the registry, such as its hash."""
    name = wanted.name
    source, target = Path(path), cached_path(name)
    size = _regular_size(source)
    if target.exists() and os.path.samefile(source, target):
        raise OutputError(f"`{source}` is the file in the cache itself", hint=f"check it: `sq3d models verify {name}`")
    check_writable([target], overwrite=force)
    if wanted.size is not None and size != wanted.size:
        raise InputError(
            f"`{source}` has {size} bytes, but the published {wanted.file} has {wanted.size}", hint=_fetch_again(wanted)
        )
    converted = _is_pickle(source)
    with atomic_path(target, overwrite=force, hint=_NO_ROOM) as temporary:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        if converted:
            published = compute_sha256(source, lambda fraction: progress("read", fraction))
            _check_hash(wanted, source, published)
            progress("convert", 0.0)
            convert_checkpoint(source, temporary, sha256=published)
            digest = compute_sha256(temporary)
        else:
            read_header(source)  # before gigabytes are copied
            linked = _link(source, temporary, progress) if link else None
            digest = linked or _copy(source, temporary, size, progress)
            _check_hash(wanted, source, digest)
        header = read_header(temporary)
    remember(target, digest)
    return Imported(target, digest, target.stat().st_size, header, converted)


@dataclass(frozen=True)
class Verified:
    """An artefact whose file is whole."""

    path: Path
    sha256: str
    size: int
    header: Header
    compared_with: str | None
    """What the hash was compared with: `published`, `recorded` (when the file was first seen here), or None where
    neither is known."""


def verify(name: str, *, progress: Progress = _silent) -> Verified:
    """Read the file of an artefact whole, and check its header and hash.

    Raises
    ------
    MissingWeightsError : the file is not here.
    FormatError : it is damaged (ChecksumError: its hash is not the published or recorded one).
    """
    wanted, path = artefact(name), locate(name)
    header = read_header(path)
    found = compute_sha256(path, lambda fraction: progress("read", fraction))
    recorded = recorded_sha256(path)
    # The published hash is that of the checkpoint, which a converted file names but no longer equals.
    source = header.metadata.get(SOURCE_KEY)
    compared_with = None
    if wanted.sha256 is not None and source is None:
        _compare(wanted, path, found, wanted.sha256, "published")
        compared_with = "published"
    elif wanted.sha256 is not None and source != wanted.sha256:
        raise ChecksumError(
            f"`{path}` was made from a file that is not the published {wanted.file}", hint=_fetch_again(wanted)
        )
    elif recorded is not None:
        _compare(wanted, path, found, recorded, "recorded")
        compared_with = "recorded"
    if recorded is None:
        remember(path, found)
    return Verified(path, found, path.stat().st_size, header, compared_with)


def missing(wanted: Artefact) -> MissingWeightsError:
    """The error that tells what an artefact is, its licence, where it is published and how to add it."""
    message = f"weights `{wanted.name}` ({wanted.summary}) are not on this machine; licence: {wanted.terms}; source: "
    local = wanted.file.rpartition("/")[2]
    if wanted.page is None:
        return MissingWeightsError(
            f"{message}not published", hint=f"run `sq3d models import {wanted.name} FILE` with weights of your own"
        )
    pull = "" if wanted.url is None else f"run `sq3d models pull {wanted.name}`, or "
    return MissingWeightsError(
        f"{message}{wanted.page}",
        hint=f"{pull}download {wanted.file} from {wanted.page} yourself and run "
        f"`sq3d models import {wanted.name} {local}`",
    )


def _fetch_again(wanted: Artefact) -> str:
    return "fetch the file again" if wanted.url is None else f"fetch the file again: {wanted.url}"


def _regular_size(source: Path) -> int:
    try:
        status = source.stat()
        readable = os.access(source, os.R_OK)
    except FileNotFoundError:
        raise InputError(f"no such file: `{source}`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read `{source}`: {str(error).lower()}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"`{source}` is not a file", hint="name the file with the weights")
    if not readable:
        raise InputError(f"cannot read `{source}`: permission denied")
    return status.st_size


def _is_pickle(source: Path) -> bool:
    """Whether a file is a pickle checkpoint; the alternative is safetensors. Suffixes are not to be relied on.

    Raises InputError for a file that starts like neither.
    """
    with open(source, "rb") as file:
        start = file.read(64)
    # First, because the length of a safetensors header may look like the start of a pickle.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _MOST_HEADER:
        return False
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return True
    hint = "weights come as .safetensors, .pt, .pth or .ckpt"
    if start.startswith(b"version https://git-lfs"):
        hint = "this is what git leaves in place of a large file: fetch it with `git lfs pull`"
    elif start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        hint = "this is a web page: download the file itself"
    raise InputError(f"`{source}` is not a weights file", hint=hint)


def _check_hash(wanted: Artefact, source: Path, sha256: str) -> None:
    if wanted.sha256 is not None and sha256 != wanted.sha256:
        raise InputError(
            f"`{source}` is not the published {wanted.file}: its SHA-256 is {sha256}, not {wanted.sha256}",
            hint=_fetch_again(wanted),
        )


def _compare(wanted: Artefact, path: Path, found: str, expected: str, origin: str) -> None:
    if found != expected:
        raise ChecksumError(
            f"`{path}` is damaged: its SHA-256 is {found}, and the {origin} one is {expected}",
            hint=f"import the file again: `sq3d models import {wanted.name} FILE --force`",
        )


def _link(source: Path, temporary: Path, progress: Progress) -> str | None:
    """Make a hard link and return the hash of the file, or None where that is not possible."""
    try:
        os.link(os.path.realpath(source), temporary)
    except OSError:
        return None
    return compute_sha256(temporary, lambda fraction: progress("read", fraction))


def _copy(source: Path, temporary: Path, size: int, progress: Progress) -> str:
    """Copy a file and return the hash of what was copied."""
    digest = hashlib.sha256()
    done = 0
    with open(temporary, "xb") as new:
        for chunk in _chunks(source):
            digest.update(chunk)
            new.write(chunk)
            done += len(chunk)
            progress("copy", min(done / (size or 1), 1.0))
    if done != size:
        raise InputError(f"`{source}` changed while it was copied", hint="wait until its download is complete")
    return digest.hexdigest()


def _chunks(source: Path) -> Iterator[bytes]:
    try:
        with open(source, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise InputError(f"cannot read `{source}`: {(error.strerror or str(error)).lower()}") from None
