"""What a report says, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squeeze3d.bench.paper import REMARKS, SOURCE
from squeeze3d.bench.report import tables
from squeeze3d.bench.report.grid import Grid
from squeeze3d.bench.report.paper_tables import paper_tables
from squeeze3d.bench.summary import CAP, CLOUD_CAP, Results
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.measure import RESOLUTION

HOW = (
    "Bytes are those on disk of all files that decoding takes. Every result is decoded in a process of its own and "
    f"measured on views of {RESOLUTION} x {RESOLUTION} pixels, the same as `sq3d compare` takes, and by the "
    "distances between shapes.",
    "Seconds are those of one call in a fresh process, with what it imports and without the start of the "
    "interpreter; MB are the most physical memory that the process held.",
    "A mean is over objects that every contender with a mean could do. Those that did at least half of the objects "
    "define them; the others are listed with how many they did. Bytes and ratios are geometric means.",
    f"A figure that finds no difference is infinite; in means and wins it counts as {CAP:.0f} dB, distances between "
    f"points as {CLOUD_CAP:.0f} dB.",
    "Within a size, contenders that cannot search for one stand with the best of their settings, which may be 1 % "
    "larger.",
)


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    key: str
    sentences: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    kind: Kind | None = None
    """Of curves that belong here."""


@dataclass(frozen=True)
class Content:
    """All of it."""

    title: str
    facts: Sequence[str]
    sections: Sequence[Section]
    command: str
    about: Sequence[tuple[str, str]]
    """Machine, versions, licences."""


def content(results: Results) -> Content:
    """Everything but curves and pictures."""
    head = results.head
    return Content(
        f"sq3d bench: {head.get('dataset', 'results')}",
        list(_facts(results)),
        list(_sections(results)),
        str(head.get("command", "")),
        list(_about(results)),
    )


def _facts(results: Results) -> Iterator[str]:
    for kind in results.kinds():
        yield tables.count(kind, len(results.objects(kind)))
    yield f"{len(results.rows):,} results"
    failed = sum(row["error"] is not None for row in results.rows)
    yield f"{failed:,} without bytes" if failed else "no failures"


def _sections(results: Results) -> Iterator[Section]:
    short = list(tables.in_short(results))
    if short:
        yield Section("In short", "short", short)
    for kind in results.kinds():
        grids = list(tables.sizes(results, kind))
        if (chosen := tables.chosen(results, kind)) is not None:
            grids.append(chosen)
        title = tables.count(kind, len(results.objects(kind)))
        yield Section(title, str(kind), grids=grids, kind=kind)
    against = [grid for grid in (tables.wins(results), tables.rates(results)) if grid is not None]
    if against:
        yield Section("Against peers", "peers", grids=against)
    if results.head.get("paper") and (published := list(paper_tables(results))):
        yield Section("Beside the paper", "paper", [f"Published figures: {SOURCE}.", *REMARKS], published)
    failures = tables.failures(results)
    sentences = [f"Left out: {name}, {why}." for name, why in results.head.get("missing", {}).items()]
    sentences += [f"Not computed: {key} of {n:,} results, {why}." for (key, why), n in results.unavailable().items()]
    if failures is not None or sentences:
        yield Section("Failures", "failures", sentences, [failures] if failures is not None else [])
    yield Section("Every result", "all", grids=[tables.everything(results, kind) for kind in results.kinds()])
    yield Section("Objects", "objects", grids=[tables.objects(results)])
    yield Section("How it is measured", "how", HOW)


def _about(results: Results) -> Iterator[tuple[str, str]]:
    head = results.head
    yield "machine", str(head.get("machine", ""))
    yield "processes", f"{head.get('threads', 1)} threads each, median of {head.get('runs', 1)} runs"
    yield "versions", ", ".join(f"{name} {version}" for name, version in results.versions().items())
    for name, summary in head.get("contenders", {}).items():
        yield name, str(summary)
    licences = results.licences().most_common()
    yield "licences of the objects", ", ".join(f"{licence} ({count})" for licence, count in licences)
