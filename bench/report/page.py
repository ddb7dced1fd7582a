"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from squeeze3d._version import __version__
from squeeze3d.bench.report import plot, tables
from squeeze3d.bench.report.content import Content, Section
from squeeze3d.bench.report.grid import Cell, Grid
from squeeze3d.bench.report.sheets import Picture, Sheet, Sheets
from squeeze3d.bench.summary import OBJECT, RATED, Results, value
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.report import format_ratio, printable
from squeeze3d.quality.standalone import fill

OPEN_ROWS = 400
"""Longer tables start folded."""


def page(results: Results, content: Content, sheets: Sheets) -> bytes:
    """The page as a UTF-8 file."""
    sections = [_section(section, results) for section in content.sections]
    pictures = _sheets(sheets, results)
    # Curves and figures come first, then what they look like, then everything to look up.
    split = next((i for i, section in enumerate(content.sections) if section.key in ("failures", "all")), len(sections))
    links = [(section.key, section.title) for section in content.sections]
    if pictures:
        links.insert(split, ("looks", "At equal bytes"))
    return fill(
        "squeeze3d.bench.report",
        "report",
        title=_text(content.title),
        facts="".join(f"<span>{_text(fact)}</span>" for fact in content.facts),
        links="".join(f'<a href="#{_text(key)}">{_text(title)}</a>' for key, title in [*links, ("run", "Run")]),
        sections="\n".join([*sections[:split], pictures, *sections[split:]]),
        command=_text(content.command),
        about="".join(f"<dt>{_text(term)}</dt><dd>{_text(text)}</dd>" for term, text in content.about),
        version=_text(__version__),
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def _section(section: Section, results: Results) -> str:
    key = _text(section.key)
    parts = [f'<section id="{key}" aria-labelledby="{key}-title">', f'<h2 id="{key}-title">{_text(section.title)}</h2>']
    if section.sentences:
        parts.append(_list(section.sentences))
    if section.kind is not None:
        parts += _curves(section.kind, results)
    parts += [_grid(grid, number=f"{key}-{index}") for index, grid in enumerate(section.grids)]
    return "\n".join([*parts, "</section>"])


def _list(sentences: Sequence[str]) -> str:
    return f'<ul class="said">{"".join(f"<li>{_text(each)}</li>" for each in sentences)}</ul>'


def _curves(kind: Kind, results: Results) -> Iterator[str]:
    """Plots of all rated figures, their legend, and what they leave out."""
    table = results.curves(kind)
    names = results.names()
    drawn: dict[str, plot.Curve] = {}
    figures, remarks = [], []
    for figure in RATED[kind]:
        shown = plot.curves(table, figure, names, results.ours)
        if not shown:
            continue
        drawn |= {curve.name: curve for curve in shown}
        over = max(point.quality.count for curve in shown for point in curve.points)
        title = f"{figure.heading} over bytes, {tables.count(kind, over)}"
        figures.append(
            f'<figure class="chart"><figcaption><b>{_text(figure.heading)}</b> '
            f'<span class="soft">mean and quartiles of {_text(tables.count(kind, over))}</span></figcaption>'
            f'<div class="scroll">{plot.plot(shown, figure, title)}</div></figure>'
        )
        beyond = [f"{x.entry.contender}, {format_bytes(x.bytes.mean)}" for x in plot.lossless(table, figure)]
        if beyond:
            remarks.append(f"{figure.heading}, no difference found: {'; '.join(beyond)}.")
    if not figures:
        return
    aside = [f"{x.contender}, {x.setting} ({len(x.rows)} of {len(table.objects)})" for x in table.aside]
    if aside:
        remarks.append(f"Not drawn, done on too few objects: {'; '.join(aside)}.")
    yield f'<div class="charts">{"".join(figures)}</div>'
    summaries = results.head.get("contenders", {})
    keys = "".join(
        f'<li>{plot.swatch(curve.index)}<b>{_text(name)}</b> <span class="soft">{_text(str(summaries.get(name, "")))}'
        "</span></li>"
        for name, curve in sorted(drawn.items(), key=lambda item: item[1].index)
    )
    yield f'<ul class="legend">{keys}</ul>'
    if any(curve.lone for curve in drawn.values()):
        remarks.append("Hollow marks: settings without a size.")
    if remarks:
        yield _list(remarks)


def _grid(grid: Grid, *, number: str) -> str:
    name = f"table-{number}"
    notes = _list(grid.notes) if grid.notes else ""
    if not grid.rows:
        return f'<h3 id="{name}">{_text(grid.caption)}</h3>{notes}'
    heads = "".join(
        f'<th scope="col"{_class(heading.number)} aria-sort="none"><button type="button">{_text(heading.text)}'
        '<span class="arrow" aria-hidden="true"></span></button></th>'
        for heading in grid.headings
    )
    first = next((i for i, heading in enumerate(grid.headings) if heading.number), len(grid.headings))
    rows = "\n".join(
        f"<tr>{''.join(_cell(cell, is_number=i >= first) for i, cell in enumerate(row))}</tr>" for row in grid.rows
    )
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}"><table class="sortable" '
        f'aria-labelledby="{name}"><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'
    )
    if not grid.long:
        return f'<h3 id="{name}">{_text(grid.caption)}</h3>{table}{notes}'
    opened = " open" if len(grid.rows) <= OPEN_ROWS else ""
    return (
        f'<details{opened}><summary><h3 id="{name}">{_text(grid.caption)}</h3></summary>'
        '<div class="bar"><label class="filter">Show rows with <input type="search" autocomplete="off"></label>'
        f'<span class="soft count" role="status">{len(grid.rows):,} rows</span></div>{table}</details>{notes}'
    )


def _class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _cell(cell: Cell, *, is_number: bool) -> str:
    key = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
    text = f"<strong>{_text(cell.text)}</strong>" if cell.best else _text(cell.text)
    return f"<td{_class(is_number)}{key}>{text}</td>"


def _sheets(sheets: Sheets, results: Results) -> str:
    if not any(sheet.original for sheet in sheets.shown):
        return ""
    sizes = sorted({size for kind in results.kinds() for size in results.sizes(kind)})
    choice = "".join(
        f'<label><input type="radio" name="size" value="{size}"{" checked" if index == len(sizes) // 2 else ""}>'
        f"<span>{format_bytes(size)}</span></label>"
        for index, size in enumerate(sizes)
    )
    left_out = (
        f"{sheets.left_out:,} more objects are not shown here, to keep the page small." if sheets.left_out else ""
    )
    about = (
        "Best peer: the result of any peer with the highest object PSNR among those that are at most 1 % larger "
        f"than the size. {left_out}"
    )
    return (
        '<section id="looks" aria-labelledby="looks-title"><div class="bar"><h2 id="looks-title">At equal bytes</h2>'
        f'<fieldset id="size"><legend class="hidden">Bytes</legend>{choice}</fieldset>'
        '<fieldset id="width"><legend class="hidden">Width of pictures</legend>'
        '<label><input type="radio" name="width" value="three" checked><span>Side by side</span></label>'
        '<label><input type="radio" name="width" value="one"><span>Large</span></label></fieldset></div>'
        f'<p class="soft">{_text(about)}</p><div id="sheets">{"".join(map(_sheet, sheets.shown))}</div></section>'
    )


def _sheet(sheet: Sheet) -> str:
    about = sheet.about
    facts = f"{about['elements']}, {about['source_bytes']:,} bytes"
    figures = [_figure(sheet.original, "Original", facts, f"{sheet.name}, original")]
    for size, pair in sheet.pairs.items():
        figures += [_result(picture, sheet, size) for picture in pair]
    return (
        f'<article><h3>{_text(sheet.name)} <span class="soft">{_text(str(about["licence"]))}</span></h3>'
        f'<div class="views">{"".join(figures)}</div></article>'
    )


def _result(picture: Picture, sheet: Sheet, size: int) -> str:
    row = picture.row
    whose = picture.whose[:1].upper() + picture.whose[1:]
    if row is None:
        return _figure(None, whose, f"nothing within {format_bytes(size)}", "", size=size)
    parts = [str(row["contender"]), f"{row['bytes']:,} bytes", format_ratio(row["source_bytes"] / row["bytes"])]
    codec = row.get("notes", {}).get("codec")
    if codec is not None and codec != row["contender"]:
        parts[0] += f" ({codec})"
    quality = value(row, OBJECT.key)
    if quality is not None:
        parts.append(f"{OBJECT.text(quality)} dB")
    return _figure(picture.url, whose, ", ".join(parts), f"{sheet.name}, {row['contender']}", size=size)


def _figure(url: str | None, title: str, text: str, alt: str, *, size: int | None = None) -> str:
    shown = (
        f'<img src="{url}" alt="{_text(alt)}, three views" loading="lazy" decoding="async">'
        if url
        else '<div class="nothing">no picture</div>'
    )
    which = "" if size is None else f' data-size="{size}"'
    return f"<figure{which}>{shown}<figcaption><b>{_text(title)}</b> {_text(text)}</figcaption></figure>"
