"""`Grid`: a table before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from squeeze3d.bench.records import Figure
from squeeze3d.bench.summary import Spread

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table."""

    text: str
    value: float | None = None
    """What the field is sorted by, where it is a number."""
    best: bool = False
    """Whether no other line has a better one."""

    @classmethod
    def number(cls, value: float | None, digits: int = 0, *, signed: bool = False, unit: str = "") -> Cell:
        """A number with its decimals; a dash if there is none."""
        if value is None:
            return cls(NOTHING)
        return cls(f"{value:{'+' if signed else ''},.{digits}f}{unit}", value)

    @classmethod
    def mean(cls, spread: Spread | None, digits: int, *, signed: bool = False, unit: str = "") -> Cell:
        """The mean."""
        return cls.number(None if spread is None else spread.mean, digits, signed=signed, unit=unit)

    @classmethod
    def spread(cls, spread: Spread | None, digits: int, *, signed: bool = False, unit: str = "") -> Cell:
        """The two quartiles."""
        if spread is None:
            return cls(NOTHING)
        low, high = (cls.number(value, digits, signed=signed).text for value in (spread.low, spread.high))
        return cls(f"{low} to {high}{unit}", spread.median)

    @classmethod
    def figure(cls, figure: Figure, value: float | None, *, best: bool = False) -> Cell:
        """A figure with the decimals that it has in tables."""
        return cls(NOTHING) if value is None else cls(figure.text(value), value, best)


@dataclass(frozen=True, slots=True)
class Heading:
    """What a column is called."""

    text: str
    number: bool = True
    """Whether the column holds numbers."""


@dataclass(frozen=True)
class Grid:
    """A table with what must be said of it."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    """Sentences below the table."""
    long: bool = False
    """Whether it is for looking things up, not for reading."""


def headings(names: Iterable[str], numbers: Iterable[str]) -> list[Heading]:
    """Columns of words, then columns of numbers."""
    return [*(Heading(name, number=False) for name in names), *map(Heading, numbers)]
