"""Weights from the Hugging Face hub into the cache.

```text
name ─► ask the hub: size, hash, version ─► as the registry has it? room? ─► .downloads/<name>.part ─► import ─► cache
                                                                             goes on where it stopped
```

Only `pull` connects to a network. What has arrived is kept when the connection breaks or the user stops, beside the
cache; a file gets its place there when it is whole and checked. `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean
what they mean to other programs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from squeeze3d._version import __version__
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.errors import (
    FormatError,
    InputError,
    LimitError,
    MissingExtraError,
    MissingWeightsError,
    OutputError,
    UnsupportedError,
)
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.cache import Progress, bring_in, find
from squeeze3d.weights.directory import weights_directory
from squeeze3d.weights.hashing import recorded_sha256, remember
from squeeze3d.weights.header import Header, read_header
from squeeze3d.weights.registry import artefact

FOLDER = ".downloads"
"""In the weights directory: what is not whole yet."""

_STEP = 1 << 20
"""Bytes that are written at once: what is lost when a connection breaks, and how finely progress is told."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_NO_ROOM = "make room there, or set SQ3D_WEIGHTS to a folder on another disk"


@dataclass(frozen=True)
class Pulled:
    """An artefact that is on this machine now."""

    path: Path
    sha256: str | None
    """Hash of the file; None where it was here before and nobody has recorded one."""
    size: int
    header: Header
    converted: bool
    """Whether it came as a pickle checkpoint."""
    received: int
    """Bytes that came over the network: 0 for a file that was here before."""
    revision: str | None
    """Commit of the repository that the file comes from; None for a file that was here before."""


def pull(name: str, *, force: bool = False, progress: Progress = lambda step, fraction: None) -> Pulled:
    """Download an artefact, check it and bring it into the cache. What is here already is left as it is.

    Size and hash are compared with those of the registry, where it has them, and with what the hub says about the file.
    Pickle checkpoints are converted, see `import_file`.

    Parameters
    ----------
    force : download and replace a file that is here already. The checks stay.

    Raises
    ------
    UsageError : nothing is known by that name.
    MissingExtraError : huggingface_hub is not installed.
    UnsupportedError : nobody publishes these weights.
    MissingWeightsError : the hub cannot be reached, has no such file or does not give it away, or the connection broke.
    InputError, FormatError, LimitError : what the hub has is not the published file, or no file of weights.
    OutputError : there is no room, the cache cannot be written, or another process downloads the same.
    """
    wanted = artefact(name)
    present = _present(wanted)
    if present is not None and not force:
        return present
    if wanted.repository is None:
        if wanted.page is not None:
            raise UnsupportedError(
                f"weights `{name}` are not on the hub: download {wanted.file} from {wanted.page}",
                hint=f"then run `sq3d models import {name} {wanted.file.rpartition('/')[2]}`",
            )
        raise UnsupportedError(
            f"weights `{name}` are not published: there is nothing to download",
            hint=f"run `sq3d models import {name} FILE` with weights of your own",
        )
    _require_hub()
    folder = weights_directory() / FOLDER
    with _alone(folder, wanted):
        present = _present(wanted)
        if present is not None and not force:
            return present
        return _pull(wanted, folder, force, progress)


def _present(wanted: Artefact) -> Pulled | None:
    path = find(wanted.name)
    if path is None:
        return None
    return Pulled(path, recorded_sha256(path), path.stat().st_size, read_header(path), False, 0, None)


def _pull(wanted: Artefact, folder: Path, force: bool, progress: Progress) -> Pulled:
    progress("ask", 0.0)
    with _hub_errors(wanted, None):
        remote = _ask(wanted)
    known = _agreed(wanted, remote)
    # The name follows the content: what has arrived of another version cannot be continued.
    part = folder / f"{wanted.name}@{hashlib.sha256(remote.etag.encode()).hexdigest()[:12]}.part"
    for other in folder.glob(f"{wanted.name}@*.part"):
        if other != part:
            other.unlink(missing_ok=True)
    _check_room(wanted, remote, part)
    with _hub_errors(wanted, part):
        received = _fetch(remote, part, progress)
    try:
        done = bring_in(known, part, force=force, link=True, progress=progress)
    except (InputError, FormatError, LimitError) as error:
        # Going on from a wrong start would give the same file again.
        part.unlink(missing_ok=True)
        message = error.message.replace(str(part), str(wanted.url))
        hint = f"nothing was kept: run `sq3d models pull {wanted.name}` again, and if that does not help look at "
        raise type(error)(message, hint=f"{hint}{wanted.page}") from None
    part.unlink()
    # Taking away one of its two names has changed the times of the file.
    remember(done.path, done.sha256)
    return Pulled(done.path, done.sha256, done.size, done.header, done.converted, received, remote.revision)


@dataclass(frozen=True)
class _Remote:
    """What the hub says about a file."""

    location: str
    etag: str
    size: int | None
    revision: str | None
    headers: dict[str, str]

    @property
    def sha256(self) -> str | None:
        """Of large files; those that git keeps itself have an etag that says nothing about it."""
        return self.etag if _SHA256.fullmatch(self.etag) else None


def _require_hub() -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "downloading weights needs huggingface_hub, which is not installed",
            hint='install it with `pip install "squeeze3d[hub]"`, or download files yourself and use '
            "`sq3d models import`",
        ) from None


def _ask(wanted: Artefact) -> _Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import FileMetadataError
    from huggingface_hub.utils import build_hf_headers

    assert wanted.repository is not None
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    url = hf_hub_url(wanted.repository, wanted.file, endpoint=endpoint)
    with _our_way():
        facts = get_hf_file_metadata(url, library_name="squeeze3d", library_version=__version__, endpoint=endpoint)
        headers = build_hf_headers(library_name="squeeze3d", library_version=__version__)
    if facts.etag is None or facts.commit_hash is None:
        raise FileMetadataError(f"what answers at {urlsplit(url).netloc} is no Hugging Face hub")
    if urlsplit(facts.location).netloc != urlsplit(url).netloc:
        # Large files lie with others, behind addresses that are signed; the user's token is none of their business.
        headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
    # Offsets count bytes of the file, not of a compressed stream.
    headers["Accept-Encoding"] = "identity"
    return _Remote(facts.location, facts.etag, facts.size, facts.commit_hash, headers)


def _agreed(wanted: Artefact, remote: _Remote) -> Artefact:
    """The artefact with everything that is known about its file.

    Raises InputError where the hub contradicts the registry, before anything is downloaded.
    """
    for what, ours, theirs in (("size", wanted.size, remote.size), ("SHA-256", wanted.sha256, remote.sha256)):
        if ours is not None and theirs is not None and ours != theirs:
            raise InputError(
                f"{wanted.url} is not the file this program knows: its {what} is {theirs}, not {ours}",
                hint=f"look at {wanted.page}: the publisher may have replaced it",
            )
    return replace(wanted, size=wanted.size or remote.size or None, sha256=wanted.sha256 or remote.sha256)


def _check_room(wanted: Artefact, remote: _Remote, part: Path) -> None:
    if remote.size is None:
        return
    here = part.stat().st_size if part.exists() else 0
    needed = max(remote.size - here, 0)
    if wanted.file.endswith(_PICKLES):
        needed += remote.size
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise OutputError(
            f"`{part.parent.parent}` has no room for {wanted.file}: {format_bytes(needed)} are needed, "
            f"{format_bytes(free)} are free",
            hint=_NO_ROOM,
        )


class _Counted:
    """A file that tells how much has been written, for a library that shows progress in a way of its own."""

    def __init__(self, file: BinaryIO, total: int | None, progress: Progress) -> None:
        self._file, self._total, self._progress = file, total, progress
        self.received = 0

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self.received += written
        if self._total:
            self._progress("download", min(self._file.tell() / self._total, 1.0))
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)


def _fetch(remote: _Remote, part: Path, progress: Progress) -> int:
    """Download what is missing of a file, and return how much that was.

    The hub's own `hf_hub_download` keeps nothing of a download that fails; its lower layer can go on with one.
    """
    from huggingface_hub.file_download import http_get

    with open(part, "ab") as file, _our_way():
        start = file.tell()
        if remote.size is not None and start > remote.size:
            start = file.truncate(0)
        target = _Counted(file, remote.size, progress)
        http_get(
            remote.location,
            target,  # type: ignore[arg-type]  # it writes, seeks, tells and truncates
            resume_size=start,
            headers=remote.headers,
            expected_size=remote.size,
        )
        return target.received


@contextlib.contextmanager
def _our_way() -> Iterator[None]:
    """Let huggingface_hub write in small steps, keep to itself what machine this is, and print nothing.

    Left alone it describes the machine in its user agent, and asks the hub for help with that.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    settings = {"DOWNLOAD_CHUNK_SIZE": _STEP, "HF_HUB_DISABLE_TELEMETRY": True}
    before = {name: getattr(constants, name) for name in settings}
    level, had_bars = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    try:
        for name, value in settings.items():
            setattr(constants, name, value)
        hub_logging.set_verbosity(hub_logging.CRITICAL)
        disable_progress_bars()
        yield
    finally:
        for name, value in before.items():
            setattr(constants, name, value)
        hub_logging.set_verbosity(level)
        if had_bars:
            enable_progress_bars()


@contextlib.contextmanager
def _alone(folder: Path, wanted: Artefact) -> Iterator[None]:
    """Keep other processes from writing to the same download; clears up what is empty."""
    from filelock import FileLock, Timeout

    path = folder / f"{wanted.name}.lock"
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another process is downloading `{wanted.name}`", hint="wait until it is done, or stop it"
        ) from None
    except OSError as error:
        raise _refused(folder, error) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _hub_errors(wanted: Artefact, part: Path | None) -> Iterator[None]:
    """Tell what went wrong between us and the hub in words for users."""
    from huggingface_hub import errors

    by_hand = f"download it in another way and run `sq3d models import {wanted.name} FILE`"
    try:
        yield
    except errors.GatedRepoError:
        raise _unavailable(
            wanted,
            "its publisher wants to be asked first",
            f"accept the terms at {wanted.page}, then log in with `hf auth login` or set HF_TOKEN",
        ) from None
    except errors.OfflineModeIsEnabled:
        raise _unavailable(
            wanted, "this machine is told to stay offline", f"unset HF_HUB_OFFLINE, or {by_hand}"
        ) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError):
        raise _unavailable(
            wanted, f"the repository has no file {wanted.file} (404)", f"look at {wanted.page} for where it went"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            reason = f"access is refused ({status}): the repository is private or gone, or the token is not valid"
            raise _unavailable(
                wanted, reason, f"look at {wanted.page}; log in with `hf auth login` or set HF_TOKEN"
            ) from None
        if isinstance(error, errors.RepositoryNotFoundError):
            reason, hint = f"there is no such repository ({status})", f"look at {wanted.page} for where it went"
            raise _unavailable(wanted, reason, hint) from None
        raise _unavailable(wanted, f"the hub answers with an error ({status})", "try again later") from None
    except errors.FileMetadataError as error:
        raise _unavailable(wanted, str(error), "check HF_ENDPOINT and the proxy of this network") from None
    except errors.HTTPError as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise _broken(wanted, part, reason, by_hand) from None
    except OSError as error:
        if error.errno is None:  # the library's way to tell that a file has another size than announced
            raise _broken(wanted, part, "fewer bytes than announced", by_hand) from None
        if part is not None:
            # A full disk is no place for half a file.
            part.unlink(missing_ok=True)
        raise _refused(part or weights_directory(), error) from None


def _broken(wanted: Artefact, part: Path | None, reason: str, by_hand: str) -> MissingWeightsError:
    here = part.stat().st_size if part is not None and part.exists() else 0
    if here:
        return _unavailable(
            wanted,
            f"the connection broke after {format_bytes(here)} ({reason})",
            f"run `sq3d models pull {wanted.name}` again: it goes on from there",
        )
    return _unavailable(wanted, f"the hub cannot be reached ({reason})", f"check the connection, or {by_hand}")


def _unavailable(wanted: Artefact, reason: str, hint: str) -> MissingWeightsError:
    return MissingWeightsError(f"cannot download {wanted.file} from {wanted.page}: {reason}", hint=hint)


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}", hint=_NO_ROOM)
