"""`log.jsonl`: what a training run measured, one JSON object per line.

`kind` is `train` (means over the interval since the last such line) or `validation` (the validation split, without
dropout and without weights of elements). Loss parts are before their weights; `rendering` is a mean over the steps that
had a rendering loss. `d_eff`, `d_eff_centred` and `condition` are figures of the latest codes, see
`squeeze3d.mapping.diagnostics`; `latent_error` is relative to the variance of the latents.

A run that is resumed from a checkpoint drops the lines that were written after it, and writes them anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from squeeze3d.errors import InputError, OutputError
from squeeze3d.files import atomic_write

Entry = dict[str, Any]

Say = Callable[[str], None]
"""Tells people how a run is going, a line at a time. Whoever starts a run decides where that goes."""


def silent(line: str) -> None:
    """A `Say` that keeps everything to itself."""


class Log:
    """Appends to the log of one run."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        """Open a log, keeping the entries up to a step."""
        self._path = path
        kept = [entry for entry in read_log(path) if entry.get("step", 0) <= after_step] if path.exists() else []
        atomic_write(path, "".join(map(_line, kept)).encode(), overwrite=True)

    def write(self, entry: Entry) -> None:
        """Append one entry."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(entry))
        except OSError as error:
            raise OutputError(f"cannot write `{self._path}`: {(error.strerror or str(error)).lower()}") from None


def read_log(path: Path) -> list[Entry]:
    """All entries of a log. A last line that was cut short is left out.

    Raises InputError if the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None
    entries = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _line(entry: Entry) -> str:
    # JSON knows no infinity: numbers that are not finite become null.
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()
    }
    return json.dumps(plain, allow_nan=False) + "\n"
