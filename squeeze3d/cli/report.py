"""What a command tells: lines for people on stderr, results or one JSON document on stdout."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from squeeze3d.cli.failure import Failure
from squeeze3d.cli.streams import write_stdout
from squeeze3d.cli.terminal import Style, printable, say, styled

SCHEMA_VERSION = 1
"""Of the JSON documents: raised when a key changes its meaning or goes away, not when one is added."""

Record = dict[str, Any]
"""One entry of `results`."""


class Reporter:
    """Speaks for one run of a command."""

    def __init__(self, command: str, *, as_json: bool, quiet: bool, verbose: bool = False, names: bool = False) -> None:
        self.command = command
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.names = names
        """Whether warnings and errors start with the file they are about."""

    def line(self, text: str, style: Style = "plain") -> None:
        """One line for people, unless quiet."""
        if not self.quiet:
            say(styled(printable(text), style))

    def remark(self, kind: str, text: str, name: str) -> None:
        """A line `kind: [name: ]text`, unless quiet."""
        if not self.quiet:
            style: Style = "yellow" if kind == "warning" else "dim"
            say(f"{styled(kind + ':', style)} {self._about(name)}{printable(text)}")

    def failure(self, failure: Failure, name: str) -> None:
        """An error, always."""
        print_failure(failure, self._about(name))

    def result(self, text: str) -> None:
        """Text that is the answer to the command, on stdout; the JSON document replaces it."""
        if not self.as_json:
            write_stdout(text + "\n")

    def document(self, results: Sequence[Record]) -> None:
        """The JSON document, if asked for. The last thing a command does."""
        if self.as_json:
            write_document(self.command, results)

    def _about(self, name: str) -> str:
        return f"{printable(name)}: " if self.names else ""


def print_failure(failure: Failure, prefix: str = "") -> None:
    """Write the `error:` and `hint:` lines, and the traceback if `SQ3D_DEBUG` asks for it."""
    if failure.trace and os.environ.get("SQ3D_DEBUG"):
        say(failure.trace.rstrip())
    say(f"{styled('error:', 'red')} {prefix}{printable(failure.message)}")
    if failure.hint:
        say(f"{styled('hint:', 'dim')} {printable(failure.hint)}")


def write_document(command: str, results: Iterable[Record], failure: Failure | None = None) -> None:
    """Write the one JSON document. `failure` is an error that concerns the request as a whole."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "results": list(results),
    }
    if failure is not None:
        document["error"] = failure.to_json()
    # ASCII only: file names that are not valid Unicode survive as escapes.
    write_stdout(json.dumps(plain(document), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Value as JSON can express it: bytes in hexadecimal, NumPy as numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def table(rows: Sequence[Sequence[str]], *, indent: int = 0) -> str:
    """Rows as aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(" " * indent + line.rstrip() for line in lines)
