"""The tables of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from squeeze3d.bench.records import Figure, Record
from squeeze3d.bench.report.grid import NOTHING, Cell, Grid, headings
from squeeze3d.bench.summary import (
    FIGURES,
    LEAST_OVERLAP,
    LOWER_IS_BETTER,
    RATED,
    Entry,
    Line,
    Results,
    Table,
    Wins,
    cap,
    raw,
)
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.spec import Fidelity, Kind
from squeeze3d.quality.report import format_ratio

NOUNS = {
    Kind.MESH: ("mesh", "meshes"),
    Kind.POINTS: ("point cloud", "point clouds"),
    Kind.FIELD: ("radiance field", "radiance fields"),
    Kind.SPLATS: ("splat scene", "splat scenes"),
}
_FULL = 0.9
"""Share of the bytes below which a comparison at equal bytes says that they are not equal."""
_NAMED = 6
"""Objects that a failure names; it counts the others."""


def count(kind: Kind, number: int) -> str:
    """`1 mesh`, `12 point clouds`."""
    return f"{number:,} {NOUNS[kind][number != 1]}"


def in_short(results: Results) -> Iterator[str]:
    """Sentences on how often that of ours which does best at a size beats the best peer."""
    for kind in results.kinds():
        known = [wins for wins in results.wins(kind) if wins.figure == RATED[kind][0]]
        for size in dict.fromkeys(wins.size for wins in known):
            yield _sentence(max((wins for wins in known if wins.size == size), key=_merit))


def _merit(wins: Wins) -> tuple[float, int]:
    """Where nothing can be compared, what can be done at all counts."""
    return -math.inf if wins.margin is None else wins.margin.mean, wins.alone - wins.failed


def _sentence(wins: Wins) -> str:
    parts = []
    if wins.margin is not None:
        parts.append(
            f"{wins.ours} has the better {wins.figure.heading} on {wins.better} of the "
            f"{count(wins.kind, wins.margin.count)} that both it and any peer can do, the best peer on {wins.worse} "
            f"({wins.margin.mean:+.2f} dB on average{_room(wins)})"
        )
    if wins.alone:
        parts.append(f"only {wins.ours} can do {count(wins.kind, wins.alone)}")
    if wins.failed:
        parts.append(f"only peers can do {count(wins.kind, wins.failed)}")
    return f"Within {format_bytes(wins.size)}: {'; '.join(parts) or f'no result for {NOUNS[wins.kind][1]}'}."


def _room(wins: Wins) -> str:
    """What peers left of the bytes, where it is much."""
    if wins.bytes is None or wins.bytes > _FULL:
        return ""
    return f"; peers used {100 * wins.bytes:.0f} % of its bytes"


def sizes(results: Results, kind: Kind) -> Iterator[Grid]:
    """One table for each size, then one of settings that search for none."""
    for size in results.sizes(kind):
        yield _grid(results.table(kind, size), f"Within {format_bytes(size)}")
    own = results.table(kind, None)
    if own.lines or own.aside:
        yield _grid(own, "Settings without a size", settings=True)


def _grid(table: Table, caption: str, *, settings: bool = False) -> Grid:
    # Settings without a size have different sizes: none of them is the best.
    best = {} if settings else {figure.key: _best(figure, table.lines) for figure in table.figures}
    rows = [
        [
            Cell(_name(line.entry, setting=settings)),
            Cell(f"{len(line.entry.rows)} of {len(table.objects)}", len(line.entry.rows)),
            Cell.number(line.bytes.mean),
            Cell(format_ratio(line.ratio.mean), line.ratio.mean),
            *_means(line, table, best),
            Cell.mean(line.compress_s, 2),
            Cell.mean(line.decompress_s, 2),
        ]
        for line in table.lines
    ]
    figures = [figure.heading for figure in table.figures]
    figures.insert(1, "quartiles")
    numbers = ["done", "bytes", "ratio", *figures, "compress s", "decompress s"]
    return Grid(
        f"{caption}: means over {len(table.common)} of {count(table.kind, len(table.objects))}",
        headings(["contender"], numbers),
        rows,
        list(_table_notes(table, settings=settings)),
    )


def _means(line: Line, table: Table, best: Mapping[str, str]) -> Iterator[Cell]:
    """Means of the figures, and the quartiles of the first one."""
    for place, figure in enumerate(table.figures):
        spread = line.figures.get(figure.key)
        mean = None if spread is None else spread.mean
        is_best = len(table.lines) > 1 and mean is not None and figure.text(mean) == best.get(figure.key)
        yield Cell.figure(figure, mean, best=is_best)
        if place == 0:
            yield Cell.spread(spread, figure.digits)


def _best(figure: Figure, lines: Sequence[Line]) -> str:
    """The best mean as the table shows it: what looks equal is marked equally."""
    means = [line.figures[figure.key].mean for line in lines if figure.key in line.figures]
    if not means:
        return ""
    return figure.text(min(means) if figure.key in LOWER_IS_BETTER else max(means))


def _name(entry: Entry, *, setting: bool) -> str:
    return f"{entry.contender}, {entry.setting}" if setting else entry.contender


def _table_notes(table: Table, *, settings: bool) -> Iterator[str]:
    for figure in table.figures:
        over = next((line.figures[figure.key].count for line in table.lines if figure.key in line.figures), 0)
        if table.lines and over < len(table.common):
            yield f"{figure.heading}: over the {over} where it can be computed."
    some = [entry for entry in table.aside if entry.rows]
    if some:
        shares = [f"{_name(entry, setting=settings)} {len(entry.rows)} of {len(table.objects)}" for entry in some]
        why = "did less than half" if table.common else "no object is common to those that did half or more"
        yield f"Without means ({why}): {', '.join(shares)}."
    generative = [(line.entry, sum(map(_is_generative, line.entry.rows.values()))) for line in table.lines]
    shares = [
        f"{_name(entry, setting=settings)} {number} of {len(entry.rows)}" for entry, number in generative if number
    ]
    if shares:
        yield f"Recreated by a generator, details may be invented: {', '.join(shares)}."
    none = [_name(entry, setting=settings) for entry in table.aside if not entry.rows]
    if none:
        yield f"Nothing{'' if settings else ' within the size'} on any object: {', '.join(none)}."


def _is_generative(row: Record) -> bool:
    return bool(row.get("notes", {}).get("fidelity") == Fidelity.GENERATIVE)


def chosen(results: Results, kind: Kind) -> Grid | None:
    """What the program's own choice was; None where it did not choose."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in results.of(kind):
        codec = row.get("notes", {}).get("codec")
        if row["bytes"] and codec is not None and codec != row["contender"]:
            counts.setdefault((row["contender"], row["setting"]), Counter())[_made_by(row)] += 1
    if not counts:
        return None
    codecs = sorted({name for found in counts.values() for name in found})
    rows = [
        [Cell(contender), Cell(setting), *(Cell.number(found[name]) for name in codecs)]
        for (contender, setting), found in counts.items()
    ]
    return Grid("Codecs chosen, number of objects", headings(["contender", "setting"], codecs), rows)


def _made_by(row: Record) -> str:
    notes = row.get("notes", {})
    codec, fidelity = notes.get("codec"), notes.get("fidelity")
    if codec is None:
        return NOTHING
    return f"{codec} ({fidelity})" if fidelity else str(codec)


def rates(results: Results) -> Grid | None:
    """Bytes at equal quality; None without peers."""
    rows = []
    without: dict[str, None] = {}
    for kind in results.kinds():
        for rate in results.rates(kind):
            ratio = None if rate.ratio is None else rate.ratio.as_percent()
            if not rate.objects:
                without[f"{rate.ours} and {rate.peer}"] = None
                continue
            rows.append(
                [
                    Cell(NOUNS[kind][1]),
                    Cell(rate.ours),
                    Cell(rate.peer),
                    Cell(rate.figure.heading),
                    Cell.mean(ratio, 1, signed=True, unit=" %"),
                    Cell.spread(ratio, 1, signed=True, unit=" %"),
                    Cell(f"{ratio.count if ratio else 0} of {rate.objects}", ratio.count if ratio else 0),
                    Cell.number(rate.shared if ratio else None, 1),
                    Cell.number(rate.above),
                    Cell.number(rate.below),
                ]
            )
    if not rows and not without:
        return None
    numbers = ["BD-rate", "quartiles", "objects", "shared dB", "all above", "all below"]
    return Grid(
        "Bytes of ours against those of a peer at equal quality; negative is smaller",
        headings(["kind", "ours", "peer", "figure"], numbers),
        rows,
        [
            "Bjøntegaard's delta rate with monotone piecewise cubics, for each object; the mean over objects is "
            "that of logarithms, so that half as many bytes and twice as many are even.",
            f"Objects: those where the two curves share at least {LEAST_OVERLAP} dB, of those that both did anything "
            "of. Shared dB: mean width of that range. All above, all below: objects where the curves do not meet, "
            "and every result of ours has the better or the worse quality, whatever the bytes.",
            "Results that find no difference are no points of a curve: a lossless peer has no rate.",
            *([f"No curves to compare, for some or all figures: {', '.join(without)}."] if without else []),
        ],
    )


def wins(results: Results) -> Grid | None:
    """How often ours is better at equal bytes; None without peers."""
    rows = [
        [
            Cell(NOUNS[kind][1]),
            Cell(each.ours),
            Cell(each.figure.heading),
            Cell(format_bytes(each.size), each.size),
            Cell(f"{each.better} of {each.objects}", each.better),
            Cell.number(each.worse),
            Cell.number(each.equal),
            Cell.number(each.alone),
            Cell.number(each.failed),
            Cell.mean(each.margin, 2, signed=True),
            Cell.spread(each.margin, 2, signed=True),
            Cell.number(None if each.bytes is None else 100 * each.bytes, unit=" %"),
        ]
        for kind in results.kinds()
        for each in results.wins(kind)
    ]
    if not rows:
        return None
    numbers = ["size", "better", "worse", "equal", "only ours", "only peers", "mean dB", "quartiles dB", "peer's bytes"]
    return Grid(
        "Ours against the best peer of each object, at equal bytes",
        headings(["kind", "ours", "figure"], numbers),
        rows,
        [
            "The best peer is chosen anew for each object, figure and size, from all results of all peers within "
            "the size and 1 % more. dB: ours less the best peer, over the objects that both could do; peer's bytes: "
            "those of the best peer over ours there. Peers with few settings leave much of the size unused: the "
            "rates below compare at equal quality.",
        ],
    )


def failures(results: Results) -> Grid | None:
    """What has no bytes, and why; None if there is nothing."""
    rows = []
    for failure in results.failures():
        objects = list(dict.fromkeys(asset for asset, _ in failure.places))
        names = ", ".join(objects[:_NAMED]) + (f" and {len(objects) - _NAMED} more" if len(objects) > _NAMED else "")
        settings = ", ".join(dict.fromkeys(setting for _, setting in failure.places))
        rows.append(
            [
                Cell(failure.contender),
                Cell(failure.error),
                Cell(settings),
                Cell(names),
                Cell.number(len(failure.places)),
            ]
        )
    if not rows:
        return None
    return Grid("Results without bytes", headings(["contender", "error", "settings", "objects"], ["count"]), rows)


def objects(results: Results) -> Grid:
    """What was compressed; hashes are those of the main files."""
    rows = {row["asset"]: row for row in results.rows}
    lines = [
        [
            Cell(name),
            Cell(row.get("kind", NOTHING)),
            Cell(row.get("elements", NOTHING)),
            Cell(row["licence"]),
            Cell(row["sha256"]),
            Cell.number(row.get("source_bytes")),
        ]
        for name, row in rows.items()
    ]
    columns = headings(["object", "kind", "elements", "licence", "SHA-256"], ["bytes"])
    return Grid("Files", columns, lines, long=True)


def everything(results: Results, kind: Kind) -> Grid:
    """Every row of a kind."""
    rows = results.of(kind)
    figures = _present(rows, FIGURES[kind])
    lines = [
        [
            Cell(row["asset"]),
            Cell(row["contender"]),
            Cell(row["setting"], row["size"]),
            Cell(_made_by(row) if row["bytes"] else row["error"] or NOTHING),
            Cell.number(row["bytes"]),
            _ratio(row),
            *(_figure(row, figure) for figure in figures),
            Cell.number(row.get("compress_s"), 2),
            Cell.number(row.get("decompress_s"), 2),
            Cell.number(_megabytes(row.get("compress_peak"))),
            Cell.number(_megabytes(row.get("decompress_peak"))),
        ]
        for row in rows
    ]
    names = ["bytes", "ratio", *(figure.heading for figure in figures), "compress s", "decompress s"]
    columns = headings(["object", "contender", "setting", "made by"], [*names, "compress MB", "decompress MB"])
    return Grid(f"Every result: {NOUNS[kind][1]}", columns, lines, long=True)


def _ratio(row: Record) -> Cell:
    if not row["bytes"]:
        return Cell(NOTHING)
    ratio = row["source_bytes"] / row["bytes"]
    return Cell(format_ratio(ratio), ratio)


def _figure(row: Record, figure: Figure) -> Cell:
    found = raw(row, figure.key)
    # No browser sorts what is infinite: it is above all that count.
    return Cell("∞", 2 * cap(figure.key)) if found == math.inf else Cell.figure(figure, found)


def _present(rows: Iterable[Record], figures: Iterable[Figure]) -> list[Figure]:
    rows = list(rows)
    return [figure for figure in figures if any(raw(row, figure.key) is not None for row in rows)]


def _megabytes(peak: float | None) -> float | None:
    return None if peak is None else peak / 1e6
