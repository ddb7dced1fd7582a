"""Reports of a benchmark: Markdown for reading, one HTML page for looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from squeeze3d.bench.records import Record


def write_report(folder: Path, head: Mapping[str, Any], rows: Sequence[Record]) -> list[Path]:
    """Write `report.md` and `report.html` into the output folder of a run; returns their paths."""
    return []
