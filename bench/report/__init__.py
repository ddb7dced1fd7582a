"""Reports of a benchmark: Markdown for reading, one HTML page for looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from squeeze3d.bench.records import Record
from squeeze3d.bench.report.content import content
from squeeze3d.bench.report.markdown import markdown
from squeeze3d.bench.report.page import page
from squeeze3d.bench.report.sheets import Sheets
from squeeze3d.bench.summary import Results


def write_report(folder: Path, head: Mapping[str, Any], rows: Sequence[Record]) -> list[Path]:
    """Write `report.md` and `report.html` into the output folder of a run; returns their paths.

    Parameters
    ----------
    head : what `squeeze3d.bench.runner.head` says of the run.
    rows : all results, in the order of the plan.
    """
    results = Results(head, rows)
    said = content(results)
    files = {
        "report.md": markdown(said).encode("utf-8", "backslashreplace"),
        "report.html": page(results, said, Sheets(folder, results)),
    }
    for name, data in files.items():
        new = folder / f"{name}.new"
        new.write_bytes(data)
        new.replace(folder / name)
    return [folder / name for name in files]
