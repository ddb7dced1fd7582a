"""The benchmark itself: every asset, every contender, every setting; one row each, appended as it is measured.

```text
asset ─► encode in a fresh process ─► bytes ─► decode in another one ─► figures on the rig ─► row, picture
```

A second run with the same output folder goes on where the first one stopped. Rows are sorted in the end, so that the
file is the same however often that happened, but for what was measured in seconds and bytes of memory.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from squeeze3d.assets.formats import read
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.registry import contender, for_kind
from squeeze3d.bench.datasets.base import Item
from squeeze3d.bench.meter import Meter
from squeeze3d.bench.pictures import save_strip
from squeeze3d.bench.process import CallFailedError, call
from squeeze3d.bench.records import Log, Record
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError, Sq3Error

ROWS = "results.jsonl"
VIEWS = "views"
KEYS = ("asset", "contender", "setting")
"""What tells rows apart."""
ORIGINAL = "original"

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    dataset: str
    items: Sequence[Item]
    contenders: Sequence[Contender]
    sizes: Sequence[int]
    output: Path
    runs: int = 1
    """Repetitions of which the median of the seconds counts."""
    timeout: float = 1800.0
    """Seconds after which one call is given up."""
    threads: int = 1
    """Of each call."""
    jobs: int = 1
    """Assets at once; 0 is one for each core."""
    paper: bool = False
    """Whether to measure by the rules of the Squeeze3D paper as well."""


@dataclass
class _Count:
    total: int
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(plan: Plan, progress: Progress = lambda stage, fraction: None, *, retry: bool = False) -> list[Record]:
    """Measure what is not measured yet; all rows, in the order of the plan.

    Parameters
    ----------
    retry : forget failures of earlier runs.

    Raises InputError if the output folder holds rows of other assets under the same names.
    """
    plan.output.mkdir(parents=True, exist_ok=True)
    log = Log(plan.output / ROWS, KEYS)
    _check_same(plan, log.records)
    if retry:
        log.keep(lambda row: row["error"] is None)
    count = _Count(len(plan.items))
    stopped = threading.Event()

    def work(item: Item) -> None:
        for row in _rows(plan, item, log, stopped):
            with count.lock:
                log.add(row)
            progress(f"{item.name}: {row['contender']}, {row['setting']}", count.done / count.total)
        with count.lock:
            count.done += 1

    with ThreadPoolExecutor(plan.jobs or os.cpu_count()) as pool:
        try:
            futures = [pool.submit(work, item) for item in plan.items]
            for each in wait(futures, return_when=FIRST_EXCEPTION).done:
                each.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    order = _order(plan)
    log.sort(lambda row: order.get((row["asset"], row["contender"]), len(order)))
    return [row for row in log.records if (row["asset"], row["contender"]) in order]


def known_rows(plan: Plan) -> list[Record]:
    """What is measured already, in the order of the plan."""
    order = _order(plan)
    rows = [row for row in Log(plan.output / ROWS, KEYS).records if (row["asset"], row["contender"]) in order]
    return sorted(rows, key=lambda row: order[row["asset"], row["contender"]])


def _check_same(plan: Plan, rows: Sequence[Record]) -> None:
    known = {row["asset"]: row["sha256"] for row in rows}
    for item in plan.items:
        if known.get(item.name, item.sha256()) != item.sha256():
            raise InputError(
                f"`{plan.output / ROWS}` has results of another file named `{item.name}`",
                hint="use another output folder with `--out`",
            )


def _order(plan: Plan) -> dict[tuple[str, str], int]:
    pairs = [(item.name, one.id) for item in plan.items for one in plan.contenders]
    return {pair: place for place, pair in enumerate(pairs)}


def _rows(plan: Plan, item: Item, log: Log, stopped: threading.Event) -> Iterator[Record]:
    """Rows of one asset that the log does not have."""
    about: Record = {"dataset": plan.dataset, "asset": item.name, "sha256": item.sha256(), "licence": item.licence}
    try:
        loaded = read(item.path)
    except Sq3Error as error:
        for one in plan.contenders:
            row = {**about, "contender": one.id, "setting": "any", "bytes": None, "error": error.message}
            if row not in log:
                yield row
        return
    kind = Kind.of(loaded.asset)
    about |= {"kind": str(kind), "source_bytes": _size(loaded), "elements": _elements(loaded.asset)}
    meter: Meter | None = None
    for one in for_kind(plan.contenders, kind):
        for setting in one.settings(plan.sizes, kind):
            row = {**about, "contender": one.id, "setting": setting.label, "size": setting.size}
            if row in log:
                continue
            if stopped.is_set():
                return
            if meter is None:
                meter = Meter(loaded.asset, paper=plan.paper)
                save_strip(meter.reference.images, plan.output / VIEWS, item.name, ORIGINAL)
            yield {**row, **_row(plan, item, one, setting, meter)}


def _row(plan: Plan, item: Item, one: Contender, setting: Setting, meter: Meter) -> Record:
    versions = one.versions()
    try:
        encoded = [
            call(_encode, one.id, item.path, setting, timeout=plan.timeout, threads=plan.threads)
            for _ in range(plan.runs)
        ]
        files = encoded[0].value.files
        decoded = [
            call(_decode, one.id, dict(files), timeout=plan.timeout, threads=plan.threads) for _ in range(plan.runs)
        ]
        figures = meter.measure(decoded[0].value)
    except (CallFailedError, Sq3Error) as error:
        return {"bytes": None, "error": str(error), "versions": versions}
    save_strip(figures.views, plan.output / VIEWS, item.name, f"{one.id}-{setting.label}")
    return {
        "bytes": encoded[0].value.size,
        "error": None,
        "compress_s": round(median(each.seconds for each in encoded), 4),
        "decompress_s": round(median(each.seconds for each in decoded), 4),
        "compress_peak": encoded[0].peak,
        "decompress_peak": decoded[0].peak,
        "runs": plan.runs,
        "threads": plan.threads,
        **figures.to_json(),
        "notes": dict(encoded[0].value.notes),
        "versions": versions,
    }


def _encode(id: str, path: Path, setting: Setting) -> Encoded:
    return contender(id).encode(path, setting)


def _decode(id: str, files: Mapping[str, bytes]) -> Asset:
    return contender(id).decode(files)


def _size(loaded: Loaded) -> int:
    return len(loaded.source.data) + sum(map(len, loaded.source.used.values()))


def _elements(asset: Asset) -> str:
    from squeeze3d.quality.report import Side

    return Side("", asset, 0).elements


def head(plan: Plan, missing: Mapping[str, str], command: str, machine: str) -> dict[str, Any]:
    """What a report says of a run besides its rows.

    Parameters
    ----------
    missing : contenders that were asked for and cannot run here, and why.
    """
    return {
        "dataset": plan.dataset,
        "assets": len(plan.items),
        "sizes": list(plan.sizes),
        "contenders": {each.id: each.summary for each in plan.contenders},
        "ours": [each.id for each in plan.contenders if each.is_ours],
        "missing": dict(missing),
        "paper": plan.paper,
        "runs": plan.runs,
        "threads": plan.threads,
        "machine": machine,
        "command": command,
        "licences": {item.name: item.licence for item in plan.items},
        "attributions": {item.name: text for item in plan.items if (text := _attribution(item))},
    }


def _attribution(item: Item) -> str:
    return ", ".join(filter(None, (item.attribution, item.source)))


def save_head(plan: Plan, values: Mapping[str, Any]) -> None:
    """Write it next to where rows will be."""
    plan.output.mkdir(parents=True, exist_ok=True)
    (plan.output / "run.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
