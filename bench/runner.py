"""The benchmark itself: every asset, every contender, every setting; one row each, appended as it is measured.

```text
asset ─► encode in a fresh process ─► bytes ─► decode in another one ─► figures on the rig ─► row, picture
```

A second run with the same output folder goes on where the first one stopped. Rows are sorted in the end, so that the
file is the same however often that happened, but for what was measured in seconds and bytes of memory.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from squeeze3d.assets.elements import described
from squeeze3d.assets.formats import read
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.registry import contender, for_kind
from squeeze3d.bench.datasets.base import Item
from squeeze3d.bench.meter import Meter
from squeeze3d.bench.pictures import save_strip
from squeeze3d.bench.process import THREAD_VARIABLES, CallFailedError, call, changed
from squeeze3d.bench.records import Log, Record
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError, Sq3Error

ROWS = "results.jsonl"
VIEWS = "views"
KEYS = ("asset", "contender", "setting")
"""What tells rows apart."""
ORIGINAL = "original"
OTHERS = math.inf, math.inf
"""Place of rows that a plan does not know."""

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
    """Files at once; 0 is one for each core."""
    paper: bool = False
    """Whether to measure by the rules of the Squeeze3D paper as well."""


class _Subject:
    """An asset that is measured: read, and with its views where they are needed."""

    def __init__(self, plan: Plan, item: Item, about: Record) -> None:
        self.plan = plan
        self.item = item
        self.lock = threading.Lock()
        """Held while something is measured."""
        self._loaded = read(item.path)
        asset = self._loaded.asset
        self.kind = Kind.of(asset)
        self.about = {
            **about,
            "kind": str(self.kind),
            "source_bytes": _size(self._loaded),
            "elements": described(asset),
        }

    @cached_property
    def meter(self) -> Meter:
        """Made by whoever needs it first, with the lock held."""
        meter = Meter(self._loaded.asset, paper=self.plan.paper)
        save_strip(meter.reference.images, self.plan.output / VIEWS, self.item.name, ORIGINAL)
        return meter


@dataclass(frozen=True)
class _Task:
    """What makes one row."""

    subject: _Subject
    contender: Contender
    setting: Setting
    head: Record


class _Queue:
    """Tasks that are left, for threads to take one after the other, and the rows they make."""

    def __init__(self, plan: Plan, log: Log, progress: Progress) -> None:
        self._plan = plan
        self._log = log
        self._progress = progress
        self._lock = threading.RLock()
        self._tasks = self._all()
        self._begun = 0
        self.stopped = False

    def take(self) -> _Task | None:
        """The next one; None if there is nothing left to do."""
        with self._lock:
            return None if self.stopped else next(self._tasks, None)

    def add(self, row: Record) -> None:
        """Keep a row."""
        with self._lock:
            self._log.add(row)
        # The asset that is under way counts as half done.
        done = (self._begun - 0.5) / len(self._plan.items)
        self._progress(f"{row['asset']}: {row['contender']}, {row['setting']}", done)

    def _all(self) -> Iterator[_Task]:
        plan, log = self._plan, self._log
        for number, item in enumerate(plan.items, 1):
            self._begun = number
            about = {"dataset": plan.dataset, "asset": item.name, "sha256": item.sha256(), "licence": item.licence}
            try:
                subject = _Subject(plan, item, about)
            except Sq3Error as error:
                for one in plan.contenders:
                    row = {**about, "contender": one.id, "setting": "any", "bytes": None, "error": error.message}
                    if row not in log:
                        self.add(row)
                continue
            for one in for_kind(plan.contenders, subject.kind):
                for setting in one.settings(plan.sizes, subject.kind):
                    head = {**subject.about, "contender": one.id, "setting": setting.label, "size": setting.size}
                    if head not in log:
                        yield _Task(subject, one, setting, head)


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
    queue = _Queue(plan, log, progress)

    def work() -> None:
        while (task := queue.take()) is not None:
            queue.add({**task.head, **_row(plan, task)})

    threads = plan.jobs or os.cpu_count() or 1
    # Metrics that bring threads of their own would only be in each other's way.
    alone = {name: "1" for name in THREAD_VARIABLES if threads > 1 and name not in os.environ}
    with changed(alone), ThreadPoolExecutor(threads) as pool:
        try:
            for each in wait([pool.submit(work) for _ in range(threads)], return_when=FIRST_EXCEPTION).done:
                each.result()
        finally:
            queue.stopped = True
    place = _places(plan)
    log.sort(place)
    return [row for row in log.records if place(row) is not OTHERS]


def known_rows(plan: Plan) -> list[Record]:
    """What is measured already, in the order of the plan."""
    place = _places(plan)
    return sorted((row for row in Log(plan.output / ROWS, KEYS).records if place(row) is not OTHERS), key=place)


def _check_same(plan: Plan, rows: Sequence[Record]) -> None:
    known = {row["asset"]: row["sha256"] for row in rows}
    for item in plan.items:
        if known.get(item.name, item.sha256()) != item.sha256():
            raise InputError(
                f"`{plan.output / ROWS}` has results of another file named `{item.name}`",
                hint="use another output folder with `--out`",
            )


def _places(plan: Plan) -> Callable[[Record], tuple[float, float]]:
    """Where rows stand: by asset, contender and setting; `OTHERS` for those of other plans."""
    pairs = [(item.name, one.id) for item in plan.items for one in plan.contenders]
    order = {pair: place for place, pair in enumerate(pairs)}
    settings = {
        (one.id, str(kind), setting.label): place
        for one in plan.contenders
        for kind in one.kinds
        for place, setting in enumerate(one.settings(plan.sizes, kind))
    }

    def place(row: Record) -> tuple[float, float]:
        pair = order.get((row["asset"], row["contender"]))
        if pair is None:
            return OTHERS
        # Settings of other plans come last, as they came.
        return pair, settings.get((row["contender"], str(row.get("kind")), row["setting"]), math.inf)

    return place


def _row(plan: Plan, task: _Task) -> Record:
    one, item, setting = task.contender, task.subject.item, task.setting
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
        with task.subject.lock:
            figures = task.subject.meter.measure(decoded[0].value)
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
