"""Standard input and output, and reading .sq3 files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from squeeze3d.cli.terminal import is_terminal
from squeeze3d.errors import InputError, OutputError, UsageError

DASH = "-"
"""Name of standard input and output on the command line."""

CLOSED_PIPE = 141
"""Exit code when nobody reads our output any more: 128 + SIGPIPE, as for programs that the signal ends."""


def read_stdin() -> bytes:
    """All of standard input; raises what `check_stdin_has_data` does."""
    check_stdin_has_data()
    return sys.stdin.buffer.read()


def check_stdin_has_data() -> None:
    """Raise UsageError if standard input is a terminal, InputError if it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed")
    if is_terminal(sys.stdin):
        raise UsageError("standard input is a terminal", hint="name a file, or pipe one in: `cat FILE | sq3d ... -`")


def read_sq3(name: str) -> bytes:
    """Bytes of a .sq3 file, or of standard input for `-`.

    Of a file that does not start like one, only the start is read: enough for the error, whatever its size.
    Raises InputError if it cannot be read.
    """
    if name == DASH:
        return read_stdin()
    from squeeze3d.bitstream.container import is_sq3

    try:
        with open(name, "rb") as file:
            start = file.read(16)
            return start + file.read() if is_sq3(start) else start
    except FileNotFoundError:
        raise InputError(f"no such file: `{name}`") from None
    except IsADirectoryError:
        raise InputError(f"`{name}` is a directory", hint=f"pass its files: `{Path(name) / '*.sq3'}`") from None
    except OSError as error:
        raise InputError(f"cannot read `{name}`: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        # A NUL character in the name.
        raise InputError(f"no such file: {name!r}") from None


def check_stdout_takes_files() -> None:
    """Raise OutputError if standard output is a terminal: binary data would only upset it."""
    if is_terminal(sys.stdout):
        raise OutputError(
            "standard output is a terminal, and the output is binary",
            hint="name a file with `-o FILE`, or redirect it: `sq3d ... > FILE`",
        )


def write_stdout(content: str | bytes) -> None:
    """Write to standard output and flush.

    Raises OutputError if the system refuses; ends the program quietly if the reader has gone.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        if isinstance(content, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
        else:
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(content.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        raise SystemExit(CLOSED_PIPE) from None
    except OSError as error:
        _discard_stdout()
        raise OutputError(f"cannot write standard output: {(error.strerror or str(error)).lower()}") from None


@contextlib.contextmanager
def native_output_to_stderr() -> Iterator[None]:
    """Send what libraries print to standard output to stderr instead, so that results stay clean."""
    try:
        saved = os.dup(1)
    except OSError:
        # Standard output is closed; there is nothing to keep clean.
        yield
        return
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        try:
            yield
        finally:
            # C libraries buffer: what they still hold must leave before the descriptor is given back.
            with contextlib.suppress(Exception):
                import ctypes

                ctypes.CDLL(None).fflush(None)
            os.dup2(saved, 1)
    finally:
        os.close(saved)


def _discard_stdout() -> None:
    # Python flushes standard output once more at exit; what is left in its buffer has nowhere to go.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
