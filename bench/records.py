"""Records of measurements: a log that a second run goes on with, means over assets, and numbers as tables show them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squeeze3d import __version__
from squeeze3d.errors import FormatError

Record = dict[str, Any]
"""One measurement: what was measured, then `bytes`, which is None where it could not be done, then the figures."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    key: str
    """Entry of a record."""
    heading: str
    """What tables call it."""
    digits: int
    """Decimals that tables show."""

    def text(self, value: float, *, more: int = 0, signed: bool = False) -> str:
        """The number, with `more` decimals than usual."""
        return f"{value:{'+' if signed else ''}.{self.digits + more}f}"


FIGURES = (
    Figure("object_albedo", "albedo", 1),
    Figure("object_shaded", "shaded", 1),
    Figure("iou", "IoU", 3),
    Figure("chamfer", "chamfer %", 2),
)
"""Object-only PSNR of colours and of lit colours in dB, overlap of silhouettes, percent of the diagonal."""


class Log:
    """Records in a file of JSON lines, to which each is appended at once.

    Parameters
    ----------
    path : the file, which need not exist.
    keys : entries that say what was measured; no two records that are added agree in all of them.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._path = path
        self._keys = tuple(keys)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole, newline, rest = text.rpartition("\n")
        if rest:
            # A run was stopped while it wrote: that line is measured again.
            _replace(path, whole + newline)
        try:
            self.records: list[Record] = [json.loads(line) for line in whole.splitlines()]
        except ValueError:
            raise FormatError(f"`{path}` does not hold one JSON object a line", hint="use another folder") from None
        self._known = {self._key(record) for record in self.records}

    def __contains__(self, record: Record) -> bool:
        """Whether there is a record of the same measurement, whatever came of it."""
        return self._key(record) in self._known

    def add(self, record: Record) -> None:
        """Append a record; one of a measurement that is known already is left out."""
        if record in self:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        self._known.add(self._key(record))

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        """Forget all other records, in the file as well."""
        self.records = [record for record in self.records if wanted(record)]
        self._known = {self._key(record) for record in self.records}
        self._write()

    def sort(self, place: Callable[[Record], tuple[float, float]]) -> None:
        """Put the records in order, in the file as well; those of one place stay as they are."""
        self.records.sort(key=place)
        self._write()

    def _write(self) -> None:
        _replace(self._path, "".join(json.dumps(record) + "\n" for record in self.records))

    def _key(self, record: Record) -> tuple[Any, ...]:
        return tuple(record[key] for key in self._keys)


def _replace(path: Path, text: str) -> None:
    """Change a file all at once."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def common(rows: Mapping[tuple[str, str], Record], names: Iterable[str]) -> list[str]:
    """Assets for which all names have a record with bytes, sorted; rows go by asset and name."""
    names = tuple(names)
    assets = sorted({asset for asset, _ in rows})
    return [asset for asset in assets if all(rows.get((asset, name), {}).get("bytes") for name in names)]


def mean(records: Sequence[Record], keys: Iterable[str]) -> Record | None:
    """Means of some entries; None without records."""
    return {key: float(np.mean([record[key] for record in records])) for key in keys} if records else None


def machine() -> str:
    """Versions and machine, for the head of a table."""
    return f"squeeze3d {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
