"""`sq3d bench`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.numbers import parse_whole
from squeeze3d.cli.progress import Bar
from squeeze3d.cli.report import Reporter
from squeeze3d.cli.sizes import parse_size
from squeeze3d.errors import UsageError

if TYPE_CHECKING:
    from squeeze3d.bench.contenders.base import Contender
    from squeeze3d.bench.datasets.base import Dataset

HELP = """\
Example: sq3d bench --dataset samples

Measure codecs and peers on a data set: bytes on disk, decoded in a fresh process, rendered and compared. DIR gets
results.jsonl, report.md and report.html. The same command again goes on where it was stopped.

\b
More examples:
  sq3d bench --dataset folder:models --sizes 1kB,10kB --out results -j 2
  sq3d bench --dataset folder:models --codecs mesh.lite,mesh.surface --peers draco,careful
  sq3d bench --dataset objaverse --limit 50
"""
DEFAULT_OUTPUT = "bench-{dataset}"


def _complete_dataset(incomplete: str) -> list[str]:
    from squeeze3d.bench.datasets.registry import DATASETS, FOLDER

    return [name for name in (*DATASETS, f"{FOLDER}:") if name.startswith(incomplete)]


def bench(
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="samples, folder:PATH, objaverse, gltf-samples:PATH, shapenet:PATH or nerf-mae:PATH.",
            show_default=False,
            autocompletion=_complete_dataset,
        ),
    ],
    codecs: Annotated[
        str | None,
        typer.Option(
            "--codecs",
            metavar="LIST",
            help="Our codecs, separated by commas; sq3d is the program's own choice, none is none. [default: sq3d]",
            show_default=False,
        ),
    ] = None,
    peers: Annotated[
        str | None,
        typer.Option(
            "--peers",
            metavar="LIST",
            help="Peers, separated by commas; none is none. [default: all that are installed]",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="N", help="Only the first N assets.", show_default=False)
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            metavar="LIST",
            help="Sizes to compare at. [default: 500,1kB,3kB,10kB,30kB; for samples 2kB]",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option("--effort", metavar="N", help="1 to 9, of our codecs.", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="DIR", help="Output folder. [default: bench-NAME]", show_default=False),
    ] = None,
    runs: Annotated[
        str, typer.Option("--runs", metavar="N", help="Repetitions; the median of the seconds counts.")
    ] = "1",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="SECONDS", help="Give up on one file after so long.")
    ] = "1800",
    threads: Annotated[str, typer.Option("--threads", metavar="N", help="Threads of each process.")] = "1",
    paper_protocol: Annotated[
        bool, typer.Option("--paper-protocol", help="Measure by the rules of the Squeeze3D paper as well.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    jobs: shared.Jobs = "1",
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Measure codecs and peers on a data set."""
    from squeeze3d.bench.datasets.registry import dataset as find

    chosen = find(dataset)
    level = None if effort is None else parse_whole(effort, "--effort", 1, 9)
    ours, others = _contenders(codecs, peers, level or chosen.effort)
    reporter = Reporter("bench", as_json=as_json, quiet=quiet, verbose=verbose)
    return partial(
        _run,
        chosen,
        [*ours, *others],
        [parse_size(size, "--sizes") for size in _listed(sizes)] or list(chosen.sizes),
        Path(out or DEFAULT_OUTPUT.format(dataset=chosen.id.replace(":", "-"))),
        None if limit is None else parse_whole(limit, "--limit", 1, 1 << 30),
        {
            "runs": parse_whole(runs, "--runs", 1, 1000),
            "timeout": parse_whole(timeout, "--timeout", 1, 1 << 30),
            "threads": parse_whole(threads, "--threads", 1, 1024),
            "jobs": shared.parse_jobs(jobs),
        },
        reporter,
        paper=paper_protocol,
        retry=retry,
    )


def _listed(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _contenders(codecs: str | None, peers: str | None, effort: int | None) -> tuple[list[Contender], list[Contender]]:
    from squeeze3d.bench.contenders import registry

    ours = ["sq3d"] if codecs is None else [] if codecs == "none" else _listed(codecs)
    for name in ours:
        if name not in registry.codec_names():
            raise UsageError(f"there is no codec `{name}`", hint=f"there are {', '.join(registry.codec_names())}")
    known = {peer.id: peer for peer in registry.peers()}
    names = list(known) if peers is None else [] if peers == "none" else _listed(peers)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no peer `{name}`", hint=f"there are {', '.join(known)}")
    if not ours and not names:
        raise UsageError("there is nothing to measure", hint="name codecs or peers")
    return [registry.contender(name, effort=effort) for name in ours], [known[name] for name in names]


def _run(
    dataset: Dataset,
    contenders: Sequence[Contender],
    sizes: Sequence[int],
    output: Path,
    limit: int | None,
    counts: dict[str, int],
    reporter: Reporter,
    *,
    paper: bool,
    retry: bool,
) -> int:
    from squeeze3d.bench.records import machine
    from squeeze3d.bench.report import write_report
    from squeeze3d.bench.runner import Plan, head, known_rows, run, save_head

    bar = Bar(1, enabled=not reporter.quiet)
    try:
        items = dataset.items(limit, lambda stage, fraction: bar.stage(dataset.id, stage, fraction))
        missing = {each.id: why for each in contenders if (why := each.missing()) is not None}
        for name, why in missing.items():
            reporter.remark("left out", f"{name}: {why}", "")
        able = [each for each in contenders if each.id not in missing]
        plan = Plan(dataset.id, items, able, sizes, output, paper=paper, **counts)
        about = head(plan, missing, shlex.join(["sq3d", *sys.argv[1:]]), machine())
        save_head(plan, about)
        try:
            rows = run(plan, lambda stage, fraction: bar.stage(dataset.id, stage, fraction), retry=retry)
        except KeyboardInterrupt:
            # What has been measured can be looked at.
            write_report(output, about, known_rows(plan))
            raise
        paths = write_report(output, about, rows)
    finally:
        bar.clear()
    failed = sum(row["error"] is not None for row in rows)
    reporter.line(f"{len(items)} assets, {len(rows)} results, {failed} without bytes: {', '.join(map(str, paths))}")
    reporter.document([{"output": str(output), "files": list(map(str, paths)), "results": rows}])
    return 0
