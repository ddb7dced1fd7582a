"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from squeeze3d.bench.report.content import Content, Section
from squeeze3d.bench.report.grid import Cell, Grid
from squeeze3d.quality.report import printable


def markdown(content: Content) -> str:
    """The report, tables and all, without pictures."""
    lines = [f"# {escaped(content.title)}", "", *(f"- {escaped(fact)}" for fact in content.facts), ""]
    for section in content.sections:
        lines += _section(section)
    lines += ["## Machine and command", "", _code(content.command), ""]
    lines += [*(f"- {escaped(term)}: {escaped(text)}" for term, text in content.about), ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text that stays text whatever it holds."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", text)


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escaped(section.title)}", "")
    for sentence in section.sentences:
        yield f"- {escaped(sentence)}"
    if section.sentences:
        yield ""
    for grid in section.grids:
        yield from _grid(grid)


def _grid(grid: Grid) -> Iterator[str]:
    yield from (f"### {escaped(grid.caption)}", "")
    if grid.rows:
        yield f"| {' | '.join(escaped(heading.text) for heading in grid.headings)} |"
        yield "|" + "|".join("---:" if heading.number else "---" for heading in grid.headings) + "|"
        for row in grid.rows:
            yield f"| {' | '.join(map(_cell, row))} |"
        yield ""
    for note in grid.notes:
        yield f"- {escaped(note)}"
    if grid.notes:
        yield ""


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    return f"**{text}**" if cell.best else text


def _code(text: str) -> str:
    """A block that no run of backticks inside can end."""
    text = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"
