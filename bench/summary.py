"""What the rows of a benchmark say together: means over common objects, rates at equal quality, wins at equal bytes.

Three rules keep the comparison fair:

- A mean is over *common* objects: those that every contender with a mean could do. Contenders that did at least half of
  the objects define them; the others are listed with how many they did, and have no means.
- A figure that finds no difference is infinite; it counts as `cap` of its key in means, and so does one above that.
- At a size, a contender that searches for sizes stands with what it made of that size. One that has settings of its own
  stands with its best result within the size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from squeeze3d.bench.bd_rate import bd_rate, shared_qualities
from squeeze3d.bench.records import Figure, Record
from squeeze3d.codecs.spec import Kind

CAP, CLOUD_CAP = 60.0, 100.0
"""Decibels that an infinite figure counts as: of pictures, and of distances between points, which reach further."""
SLACK = 1.01
"""How much larger than a size a result may be: few peers can search for one, and none may lose by a byte."""
LEAST_OVERLAP = 0.5
"""Decibels that two curves must share for a rate: over less, one point decides."""

_DECIBELS = (
    Figure("object_psnr", "object PSNR", 2),
    Figure("object_shaded_psnr", "shaded object PSNR", 2),
    Figure("d1_psnr", "D1 PSNR", 2),
    Figure("psnr", "PSNR", 2),
)
OBJECT, OBJECT_SHADED, D1, PSNR = _DECIBELS

RATED: Mapping[Kind, tuple[Figure, ...]] = {
    Kind.MESH: (OBJECT, OBJECT_SHADED),
    Kind.POINTS: (D1, OBJECT),
    Kind.FIELD: (PSNR, OBJECT),
    Kind.SPLATS: (PSNR, OBJECT),
}
"""Figures that curves, rates and wins are of, in dB. The first one says which of several results is best."""

_MS_SSIM, _IOU = Figure("ms_ssim", "MS-SSIM", 4), Figure("iou", "IoU", 4)
_FLIP, _LPIPS = Figure("flip", "FLIP", 4), Figure("lpips", "LPIPS", 4)
FIGURES: Mapping[Kind, tuple[Figure, ...]] = {
    Kind.MESH: (
        OBJECT,
        OBJECT_SHADED,
        PSNR,
        _MS_SSIM,
        _IOU,
        _FLIP,
        _LPIPS,
        Figure("chamfer_percent", "chamfer %", 3),
        Figure("normal_consistency", "normals", 4),
    ),
    Kind.POINTS: (
        D1,
        Figure("d2_psnr", "D2 PSNR", 2),
        Figure("colour_psnr_y", "Y PSNR", 2),
        Figure("pcqm", "PCQM", 5),
        Figure("pointssim_geometry", "PointSSIM", 4),
        OBJECT,
        _IOU,
    ),
    Kind.FIELD: (PSNR, OBJECT, _MS_SSIM, _IOU, _FLIP, _LPIPS),
    Kind.SPLATS: (PSNR, OBJECT, _MS_SSIM, _IOU, _FLIP, _LPIPS),
}
"""Figures that tables show."""
LOWER_IS_BETTER = frozenset({"flip", "lpips", "chamfer_percent", "pcqm"})


def cap(key: str) -> float:
    """Highest value of a figure that counts."""
    return CLOUD_CAP if key in ("d1_psnr", "d2_psnr") else CAP


def value(row: Record, key: str) -> float | None:
    """A figure of a row as it counts in means; None where it could not be computed."""
    found = raw(row, key)
    return None if found is None else min(found, cap(key))


def raw(row: Record, key: str) -> float | None:
    """A figure of a row as it was measured."""
    if key in row.get("infinite", ()):
        return math.inf
    found = row.get("metrics", {}).get(key)
    return None if found is None else float(found)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and quartiles of a figure over objects."""

    mean: float
    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None without values."""
        if not values:
            return None
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(float(np.mean(values)), float(low), float(median), float(high), len(values))

    @classmethod
    def of_ratios(cls, ratios: Sequence[float]) -> Spread | None:
        """The mean is that of the logarithms: twice as much and half as much are none."""
        found = cls.of(np.log(ratios).tolist())
        if found is None:
            return None
        mean, low, median, high = map(math.exp, (found.mean, found.low, found.median, found.high))
        return cls(mean, low, median, high, found.count)

    def as_percent(self) -> Spread:
        """Ratios as differences from one in percent."""
        mean, low, median, high = (100 * (x - 1) for x in (self.mean, self.low, self.median, self.high))
        return Spread(mean, low, median, high, self.count)


@dataclass(frozen=True)
class Entry:
    """What one contender made of the objects, at one setting or within one size."""

    contender: str
    setting: str
    rows: Mapping[str, Record]
    """By object, only those with bytes."""


@dataclass(frozen=True)
class Line:
    """One line of a table: an entry and its means over the common objects."""

    entry: Entry
    bytes: Spread
    ratio: Spread
    """Size of the file over the bytes."""
    compress_s: Spread | None
    decompress_s: Spread | None
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class Table:
    """Contenders side by side."""

    kind: Kind
    size: int | None
    """Bytes within which the contenders are compared; None for settings of their own."""
    objects: tuple[str, ...]
    common: tuple[str, ...]
    """Objects that the means are over."""
    figures: tuple[Figure, ...]
    """Those that any line has."""
    lines: tuple[Line, ...]
    aside: tuple[Entry, ...]
    """Entries without means."""


@dataclass(frozen=True)
class Rate:
    """How many bytes one of ours takes for the quality of a peer."""

    kind: Kind
    figure: Figure
    ours: str
    peer: str
    objects: int
    """Objects that both had something of."""
    ratio: Spread | None
    """Bytes of ours over those of the peer, where the curves share a range of qualities."""
    shared: float
    """Mean width of that range in dB."""
    above: int
    """Objects without such a range where all of ours is better."""
    below: int
    """... where all of the peer's is."""


@dataclass(frozen=True)
class Wins:
    """One of ours against the best peer for each object, at one size."""

    kind: Kind
    figure: Figure
    size: int
    ours: str
    objects: int
    better: int
    worse: int
    equal: int
    alone: int
    """Objects where no peer has anything within the size."""
    failed: int
    """Objects where ours has nothing within it and a peer has."""
    margin: Spread | None
    """Decibels by which ours is better, where both have something."""
    bytes: float | None
    """Bytes of the peer over ours there, geometric mean: peers with few settings leave room."""


@dataclass(frozen=True)
class Failure:
    """One error and where it happened."""

    contender: str
    error: str
    places: tuple[tuple[str, str], ...]
    """Objects and settings."""


@dataclass(frozen=True)
class Results:
    """All rows of a run and what they say together.

    Parameters
    ----------
    head : what `squeeze3d.bench.runner.head` says of the run.
    rows : in the order of the plan.
    """

    head: Mapping[str, Any]
    rows: Sequence[Record]

    @property
    def ours(self) -> tuple[str, ...]:
        """Ids of the contenders of this program."""
        return tuple(self.head.get("ours", ()))

    def kinds(self) -> list[Kind]:
        """Kinds of which there are objects."""
        return [kind for kind in Kind if kind in self._by_kind]

    def of(self, kind: Kind) -> Sequence[Record]:
        """Rows of one kind, those that failed as well."""
        return self._by_kind.get(kind, ())

    def objects(self, kind: Kind) -> tuple[str, ...]:
        """Names of all objects of a kind."""
        return tuple(dict.fromkeys(row["asset"] for row in self.of(kind)))

    def sizes(self, kind: Kind) -> list[int]:
        """Sizes that were asked for."""
        return sorted({row["size"] for row in self.of(kind) if row["size"] is not None})

    def contenders(self, kind: Kind) -> tuple[str, ...]:
        """Ids of those that took part, in the order of the rows."""
        return tuple(dict.fromkeys(row["contender"] for row in self.of(kind)))

    def names(self) -> tuple[str, ...]:
        """Ids of all contenders, in the order of the rows."""
        return tuple(dict.fromkeys(row["contender"] for row in self.rows))

    def peers(self, kind: Kind) -> tuple[str, ...]:
        """Those that are not ours."""
        return tuple(name for name in self.contenders(kind) if name not in self.ours)

    def within(self, kind: Kind, size: int) -> list[Entry]:
        """What each contender has within a size."""
        rated = RATED[kind][0].key
        found = []
        for name in self.contenders(kind):
            rows: dict[str, Record] = {}
            for row in self._curve(kind, name):
                if row["size"] not in (None, size) or row["bytes"] > size * SLACK:
                    continue
                best = rows.get(row["asset"])
                if best is None or _score(row, rated) > _score(best, rated):
                    rows[row["asset"]] = row
            found.append(Entry(name, str(size), rows))
        return found

    def settings(self, kind: Kind, *, searched: bool) -> list[Entry]:
        """What each contender made with each of its settings: those that search for a size as well, or only others."""
        found: dict[tuple[str, str], dict[str, Record]] = {}
        for row in self.of(kind):
            if searched or row["size"] is None:
                rows = found.setdefault((row["contender"], row["setting"]), {})
                if row["bytes"]:
                    rows[row["asset"]] = row
        return [Entry(*names, rows) for names, rows in found.items()]

    def table(self, kind: Kind, size: int | None) -> Table:
        """Contenders within a size; with None, what they made with settings that search for none."""
        entries = self.settings(kind, searched=False) if size is None else self.within(kind, size)
        objects = self.objects(kind)
        chosen = [entry for entry in entries if 2 * len(entry.rows) >= len(objects)]
        return self._table(kind, size, entries, chosen)

    def curves(self, kind: Kind) -> Table:
        """All settings as points of curves over the same objects.

        What fewest objects have is left out until at least half of the objects have all the others: a size that is
        too small for most must not decide what the whole curve is over.
        """
        entries = self.settings(kind, searched=True)
        objects = self.objects(kind)
        chosen = [entry for entry in entries if entry.rows]
        while chosen and 2 * len(_common(chosen, objects)) < len(objects):
            chosen.remove(min(chosen, key=lambda entry: len(entry.rows)))
        return self._table(kind, None, entries, chosen)

    def rates(self, kind: Kind) -> Iterator[Rate]:
        """Every one of ours against every peer, for every rated figure."""
        for figure in RATED[kind]:
            for ours in self.contenders(kind):
                for peer in self.peers(kind) if ours in self.ours else ():
                    yield self._rate(kind, figure, ours, peer)

    def wins(self, kind: Kind) -> Iterator[Wins]:
        """Every one of ours against the best peer of each object, at every size."""
        if not self.peers(kind):
            return
        entries = {size: self.within(kind, size) for size in self.sizes(kind)}
        for figure in RATED[kind]:
            theirs = {size: self._best_peer(kind, size, figure) for size in entries}
            for ours in self.contenders(kind):
                for size in entries if ours in self.ours else ():
                    mine = next(entry.rows for entry in entries[size] if entry.contender == ours)
                    yield _wins(kind, figure, size, ours, self.objects(kind), mine, theirs[size])

    def best_peers(self, kind: Kind, size: int) -> dict[str, Record]:
        """By object, the row of the peer that looks best within a size."""
        return self._best_peer(kind, size, OBJECT)

    def failures(self) -> list[Failure]:
        """Errors, the most frequent first."""
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for row in self.rows:
            if row["error"] is not None:
                found.setdefault((row["contender"], row["error"]), []).append((row["asset"], row["setting"]))
        failures = [Failure(*key, tuple(places)) for key, places in found.items()]
        return sorted(failures, key=lambda each: -len(each.places))

    def unavailable(self) -> Counter[tuple[str, str]]:
        """On how many results which figure could not be computed, and why."""
        return Counter(item for row in self.rows for item in row.get("unavailable", {}).items())

    def versions(self) -> dict[str, str]:
        """Versions of all that ran; of one that changed between runs, all."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            for name, version in row.get("versions", {}).items():
                found.setdefault(name, set()).add(version)
        return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}

    def licences(self) -> Counter[str]:
        """How many objects have which licence."""
        return Counter(self.head.get("licences", {}).values())

    @cached_property
    def _by_kind(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for row in self.rows:
            # An asset that could not be read has none.
            if "kind" in row:
                found.setdefault(row["kind"], []).append(row)
        return found

    def _curve(self, kind: Kind, contender: str) -> list[Record]:
        """Points of a contender's curves: what it made of sizes, or of its settings if it searches for none."""
        rows = [row for row in self.of(kind) if row["contender"] == contender]
        searches = any(row["size"] is not None for row in rows)
        return [row for row in rows if row["bytes"] and (row["size"] is not None) == searches]

    def _best_peer(self, kind: Kind, size: int, figure: Figure) -> dict[str, Record]:
        best: dict[str, Record] = {}
        for name in self.peers(kind):
            # All of its results: what it made of a smaller size may be better.
            for row in self.of(kind):
                if row["contender"] != name or not row["bytes"] or row["bytes"] > size * SLACK:
                    continue
                known = best.get(row["asset"])
                if known is None or _score(row, figure.key) > _score(known, figure.key):
                    best[row["asset"]] = row
        return best

    def _table(self, kind: Kind, size: int | None, entries: Sequence[Entry], chosen: Sequence[Entry]) -> Table:
        objects = self.objects(kind)
        common = _common(chosen, objects)
        figures = tuple(
            figure
            for figure in FIGURES[kind]
            if any(value(row, figure.key) is not None for entry in chosen for row in entry.rows.values())
        )
        comparable = {figure.key: _comparable(chosen, common, figure.key) for figure in figures}
        lines = [_line(entry, common, comparable) for entry in chosen] if common else []
        aside = [entry for entry in entries if not common or entry not in chosen]
        return Table(kind, size, objects, common, figures, tuple(lines), tuple(aside))

    def _rate(self, kind: Kind, figure: Figure, ours: str, peer: str) -> Rate:
        mine, theirs = (_points(self._curve(kind, name), figure.key) for name in (ours, peer))
        both = [name for name in self.objects(kind) if name in mine and name in theirs]
        ratios, shared, above, below = [], [], 0, 0
        for name in both:
            low, high = shared_qualities(theirs[name], mine[name])
            if high - low >= LEAST_OVERLAP:
                ratios.append(1 + bd_rate(theirs[name], mine[name]) / 100)
                shared.append(high - low)
            elif min(q for _, q in mine[name]) > max(q for _, q in theirs[name]):
                above += 1
            elif min(q for _, q in theirs[name]) > max(q for _, q in mine[name]):
                below += 1
        width = float(np.mean(shared)) if shared else 0.0
        return Rate(kind, figure, ours, peer, len(both), Spread.of_ratios(ratios), width, above, below)


def _score(row: Record, key: str) -> float:
    found = value(row, key)
    return -math.inf if found is None else found


def _common(entries: Sequence[Entry], objects: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in objects if entries and all(name in entry.rows for entry in entries))


def _comparable(entries: Sequence[Entry], common: Sequence[str], key: str) -> tuple[str, ...]:
    """Common objects for which every entry has a figure, but for entries that never have it."""
    having = [e for e in entries if any(value(e.rows[name], key) is not None for name in common)]
    return tuple(name for name in common if all(value(e.rows[name], key) is not None for e in having))


def _line(entry: Entry, common: Sequence[str], comparable: Mapping[str, Sequence[str]]) -> Line:
    rows = [entry.rows[name] for name in common]
    sizes = Spread.of_ratios([row["bytes"] for row in rows])
    ratios = Spread.of_ratios([row["source_bytes"] / row["bytes"] for row in rows])
    assert sizes is not None
    assert ratios is not None

    def seconds(key: str) -> Spread | None:
        return Spread.of([row[key] for row in rows if row.get(key) is not None])

    figures = {}
    for key, names in comparable.items():
        found = [value(entry.rows[name], key) for name in names]
        spread = Spread.of([x for x in found if x is not None])
        if spread is not None:
            figures[key] = spread
    return Line(entry, sizes, ratios, seconds("compress_s"), seconds("decompress_s"), figures)


def _points(rows: Sequence[Record], key: str) -> dict[str, list[tuple[float, float]]]:
    """Bytes and a figure, by object."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        # An infinite figure is no point of a curve: it would stand for whatever the cap is.
        quality = row["metrics"].get(key)
        if quality is not None:
            found.setdefault(row["asset"], []).append((row["bytes"], quality))
    return found


def _wins(
    kind: Kind,
    figure: Figure,
    size: int,
    ours: str,
    objects: Sequence[str],
    mine: Mapping[str, Record],
    theirs: Mapping[str, Record],
) -> Wins:
    margins, ratios, alone, failed = [], [], 0, 0
    for name in objects:
        own = value(mine[name], figure.key) if name in mine else None
        other = value(theirs[name], figure.key) if name in theirs else None
        if own is not None and other is not None:
            margins.append(own - other)
            ratios.append(theirs[name]["bytes"] / mine[name]["bytes"])
        else:
            alone += own is not None
            failed += other is not None
    better, worse = sum(x > 0 for x in margins), sum(x < 0 for x in margins)
    equal = len(margins) - better - worse
    share = Spread.of_ratios(ratios)
    return Wins(
        kind,
        figure,
        size,
        ours,
        len(objects),
        better,
        worse,
        equal,
        alone,
        failed,
        Spread.of(margins),
        None if share is None else share.mean,
    )
