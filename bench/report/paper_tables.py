"""The tables that are laid out like the paper's."""

from __future__ import annotations

import math
from collections.abc import Iterator

from squeeze3d.bench import paper
from squeeze3d.bench.report.grid import NOTHING, Cell, Grid, headings
from squeeze3d.bench.summary import Results
from squeeze3d.bitstream.limits import format_bytes


def paper_tables(results: Results) -> Iterator[Grid]:
    """One for each kind of asset that the paper has and the run measured by its rules."""
    for layout in paper.layouts(results):
        common, lines = paper.measured(results, layout.kind)
        names = ["whose", "method"]
        numbers = ["ratio", "sizes", "compress", "decompress", *(column.heading for column in layout.columns), "done"]
        objects = len(results.objects(layout.kind))
        yield Grid(
            f"{layout.title}; means of this run over {common} of {objects} objects",
            headings(names, numbers),
            [
                *(_published(line) for line in layout.published),
                *(_measured(line, layout, objects) for line in lines if line.done),
            ],
            layout.remarks,
        )


def _published(line: paper.Published) -> list[Cell]:
    texts = (f"published, table {line.table}", line.method, line.ratio, line.sizes, *line.times, *line.values, NOTHING)
    return [Cell(text) for text in texts]


def _measured(line: paper.Measured, layout: paper.Layout, objects: int) -> list[Cell]:
    name, done = Cell(f"{line.contender}, {line.setting}"), Cell(f"{line.done} of {objects}")
    if line.means is None:
        return [Cell("this run"), name, *(Cell(NOTHING) for _ in range(4 + len(layout.columns))), done]
    means = line.means
    return [
        Cell("this run"),
        name,
        Cell.number(means.ratio, 1),
        Cell(f"{format_bytes(means.source)} / {format_bytes(means.compressed)}"),
        Cell.number(means.compress_s, 2, unit=" s"),
        Cell.number(means.decompress_s, 2, unit=" s"),
        *(_moments(means.values.get(column.key), column) for column in layout.columns),
        done,
    ]


def _moments(moments: paper.Moments | None, column: paper.Column) -> Cell:
    if moments is None:
        return Cell(NOTHING)
    if math.isinf(moments.mean):
        return Cell("∞")
    text = f"{moments.mean:{column.format}}"
    return Cell(text if moments.deviation is None else f"{text} ± {moments.deviation:{column.format}}", moments.mean)
