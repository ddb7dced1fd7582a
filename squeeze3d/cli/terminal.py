"""Text for people: what a terminal can show, colours, and writing lines to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, Literal

Style = Literal["plain", "dim", "red", "yellow"]

_CODES: dict[Style, str] = {"plain": "", "dim": "\x1b[2m", "red": "\x1b[1;31m", "yellow": "\x1b[33m"}


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a standard stream is open and shown on a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def can_animate() -> bool:
    """Whether stderr is a terminal that moves its cursor."""
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def styled(text: str, style: Style) -> str:
    """Text in a style where stderr shows colours: a terminal, not `TERM=dumb`, and `NO_COLOR` unset."""
    if style == "plain" or not can_animate() or os.environ.get("NO_COLOR"):
        return text
    return f"{_CODES[style]}{text}\x1b[0m"


def printable(text: str) -> str:
    """Text with control characters and undecodable bytes written as escapes.

    File names and metadata come from others: printed raw, they could steer the terminal or have no encoding.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(text: str) -> None:
    """Write one line to stderr. Messages that nobody can receive are not an error."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def arrow() -> str:
    """An arrow that the encoding of stderr can express."""
    try:
        "→".encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "->"
    return "→"
