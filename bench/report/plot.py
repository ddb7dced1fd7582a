"""Rate-distortion curves as SVG: bytes on a logarithmic scale, a figure over them, mean and quartiles over objects.

Colours come from the page's style sheet, so that they suit its ground; shapes and dashes tell curves apart without
them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from squeeze3d.bench.records import Figure
from squeeze3d.bench.summary import Line, Spread, Table, cap
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.quality.report import printable

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 168, 18, 46
"""Margins; curves have their names in the right one."""
COLOURS = 7
"""Of the style sheet."""
DASHES = ("", "7 4", "2 4", "9 3 2 3")
"""Of one round of colours after another."""
LABEL_HEIGHT = 17
_LONGEST = 20
"""Characters of a label."""
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_MOST_TICKS = 8
_SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.2L5 3.8H-5Z",
    "M0 -5.6L5.6 0L0 5.6L-5.6 0Z",
    "M-5 -3.8H5L0 5.2Z",
    "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
    "M0 -5.6L5.3 -1.7L3.3 4.5H-3.3L-5.3 -1.7Z",
)


@dataclass(frozen=True)
class Point:
    """One setting of a contender."""

    setting: str
    bytes: float
    quality: Spread


@dataclass(frozen=True)
class Curve:
    """One contender."""

    name: str
    index: int
    """Decides colour, shape and dash."""
    is_ours: bool
    line: tuple[Point, ...]
    """By bytes."""
    lone: tuple[Point, ...]
    """Settings that are no part of the curve: without a size, of a contender that searches for sizes."""

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them."""
        return self.line + self.lone


def curves(table: Table, figure: Figure, names: Sequence[str], ours: Sequence[str]) -> list[Curve]:
    """Curves of a table of all settings.

    Parameters
    ----------
    names : all contenders, so that one looks alike in all plots.

    Points that find no difference on most objects are left out; `lossless` names them.
    """
    found: dict[str, tuple[list[Point], list[Point]]] = {}
    for line in table.lines:
        quality = line.figures.get(figure.key)
        if quality is None or quality.median >= cap(figure.key):
            continue
        point = Point(line.entry.setting, line.bytes.mean, quality)
        found.setdefault(line.entry.contender, ([], []))[_is_lone(line, table)].append(point)
    return [
        Curve(name, names.index(name), name in ours, tuple(sorted(line, key=lambda p: p.bytes)), tuple(lone))
        for name, (line, lone) in found.items()
    ]


def lossless(table: Table, figure: Figure) -> list[Line]:
    """Lines that find no difference on most objects."""
    found = [(line, line.figures.get(figure.key)) for line in table.lines]
    return [line for line, quality in found if quality is not None and quality.median >= cap(figure.key)]


def _is_lone(line: Line, table: Table) -> bool:
    def searched(entry_line: Line) -> bool:
        return any(row["size"] is not None for row in entry_line.entry.rows.values())

    same = [each for each in table.lines if each.entry.contender == line.entry.contender]
    return not searched(line) and any(searched(each) for each in same)


def series(index: int) -> str:
    """Class of the style sheet that sets the colour of a curve."""
    return f"series-{index % COLOURS}"


def swatch(index: int) -> str:
    """A short piece of a curve, for a legend."""
    return (
        f'<svg class="swatch {series(index)}" viewBox="0 0 36 14" aria-hidden="true">'
        f'<path class="line" d="M1 7H35"{_dash(index)}/>{_marker(index, 18, 7)}</svg>'
    )


def plot(shown: Sequence[Curve], figure: Figure, title: str) -> str:
    """The plot; `shown` must have points."""
    scale = _Scale.of([point for curve in shown for point in curve.points])
    ends = {curve.name: (curve.line or curve.lone)[-1] for curve in shown}
    labels = _spaced({name: scale.y(end.quality.mean) for name, end in ends.items()})
    parts = [*_axes(scale, figure)]
    parts += [_band(curve, scale) for curve in shown]
    parts += [_curve(curve, scale, figure) for curve in shown]
    parts += [_label(curve, scale, ends[curve.name], labels[curve.name]) for curve in shown]
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(title)}">'
        f"{''.join(parts)}</svg>"
    )


@dataclass(frozen=True)
class _Scale:
    bytes: tuple[float, float]
    quality: tuple[float, float]
    step: float

    @classmethod
    def of(cls, points: Sequence[Point]) -> _Scale:
        small, large = min(p.bytes for p in points), max(p.bytes for p in points)
        low = min(min(p.quality.low, p.quality.mean) for p in points)
        high = max(max(p.quality.high, p.quality.mean) for p in points)
        step = next((s for s in _STEPS if (high - low) / s <= _MOST_TICKS), _STEPS[-1])
        low, high = step * math.floor(low / step), step * math.ceil(high / step)
        return cls((small / 1.15, large * 1.15), (low, max(high, low + step)), step)

    def x(self, size: float) -> float:
        low, high = self.bytes
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(size / low) / math.log(high / low)

    def y(self, quality: float) -> float:
        low, high = self.quality
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (quality - low) / (high - low)

    def sizes(self) -> list[int]:
        low, high = self.bytes
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [round(m * 10.0**d) for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
        return found or [round(math.sqrt(low * high))]

    def qualities(self) -> Iterator[float]:
        low, high = self.quality
        for index in range(round((high - low) / self.step) + 1):
            yield low + index * self.step


def _axes(scale: _Scale, figure: Figure) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    digits = 0 if scale.step >= 1 else 1
    for quality in scale.qualities():
        y = scale.y(quality)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{quality:.{digits}f}</text>'
    for size in scale.sizes():
        x = scale.x(size)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{format_bytes(size)}</text>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    middle = (LEFT + right) / 2
    yield f'<text class="axis-name" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">bytes on disk</text>'
    centre = (TOP + bottom) / 2
    yield (
        f'<text class="axis-name" transform="translate(14 {centre:.0f}) rotate(-90)" text-anchor="middle">'
        f"{_text(figure.heading)}, dB</text>"
    )


def _band(curve: Curve, scale: _Scale) -> str:
    """Between the quartiles: an area, and where there is no line a bar."""
    bars = "".join(
        f'<path class="bar-of" d="M{scale.x(p.bytes):.1f} {scale.y(p.quality.low):.1f}V{scale.y(p.quality.high):.1f}"/>'
        for p in (curve.points if len(curve.line) < 2 else curve.lone)
    )
    area = ""
    if len(curve.line) > 1:
        upper = [f"{scale.x(p.bytes):.1f} {scale.y(p.quality.high):.1f}" for p in curve.line]
        lower = [f"{scale.x(p.bytes):.1f} {scale.y(p.quality.low):.1f}" for p in reversed(curve.line)]
        area = f'<path class="band" d="M{"L".join(upper + lower)}Z"/>'
    return f'<g class="{series(curve.index)}">{area}{bars}</g>'


def _curve(curve: Curve, scale: _Scale, figure: Figure) -> str:
    places = [f"{scale.x(p.bytes):.1f} {scale.y(p.quality.mean):.1f}" for p in curve.line]
    line = f'<path class="line" d="M{"L".join(places)}"{_dash(curve.index)}/>' if len(places) > 1 else ""
    markers = "".join(_point(curve, point, scale, figure) for point in curve.points)
    ours = " ours" if curve.is_ours else ""
    return f'<g class="curve {series(curve.index)}{ours}">{line}{markers}</g>'


def _point(curve: Curve, point: Point, scale: _Scale, figure: Figure) -> str:
    quality = point.quality
    told = (
        f"{curve.name}, {point.setting}: {point.bytes:,.0f} bytes, {figure.heading} {figure.text(quality.mean)} "
        f"({figure.text(quality.low)} to {figure.text(quality.high)}), {quality.count} objects"
    )
    lone = point in curve.lone
    return _marker(curve.index, scale.x(point.bytes), scale.y(quality.mean), told=told, hollow=lone)


def _marker(index: int, x: float, y: float, *, told: str = "", hollow: bool = False) -> str:
    title = f"<title>{_text(told)}</title>" if told else ""
    kind = "marker hollow" if hollow else "marker"
    shape = _SHAPES[index % len(_SHAPES)]
    return f'<path class="{kind}" transform="translate({x:.1f} {y:.1f})" d="{shape}">{title}</path>'


def _label(curve: Curve, scale: _Scale, end: Point, y: float) -> str:
    x, left = scale.x(end.bytes), WIDTH - RIGHT + 14
    name = printable(curve.name)
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    ours = " ours" if curve.is_ours else ""
    return (
        f'<g class="label {series(curve.index)}{ours}">'
        f'<path class="leader" d="M{x + 7:.1f} {scale.y(end.quality.mean):.1f}L{left - 4} {y:.1f}"/>'
        f'<text x="{left}" y="{y + 4:.1f}">{html.escape(short)}</text></g>'
    )


def _spaced(wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights of labels that do not cover each other, as near to the wanted ones as they come."""
    order = sorted(wanted, key=lambda name: wanted[name])
    top, bottom = TOP + 4.0, HEIGHT - BOTTOM - 4.0
    placed: list[float] = []
    for name in order:
        placed.append(max(wanted[name], placed[-1] + LABEL_HEIGHT if placed else top))
    # What was pushed below the plot comes back up, and pushes others.
    limit = bottom
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - LABEL_HEIGHT
    return dict(zip(order, placed, strict=True))


def _dash(index: int) -> str:
    dash = DASHES[index // COLOURS % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _text(text: str) -> str:
    return html.escape(printable(text))
