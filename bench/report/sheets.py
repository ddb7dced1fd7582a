"""What objects look like at equal bytes: the original, ours, and the best peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from squeeze3d.bench.contenders.codec import OWN_CHOICE
from squeeze3d.bench.pictures import strip_path
from squeeze3d.bench.records import Record
from squeeze3d.bench.runner import ORIGINAL, VIEWS
from squeeze3d.bench.summary import OBJECT, Results, value
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.standalone import data_url

MOST_BYTES = 24 << 20
"""Of all pictures: browsers open pages of this size at once."""
MIME = "image/webp"


@dataclass(frozen=True)
class Picture:
    """One result."""

    whose: str
    """`ours` or `best peer`."""
    row: Record | None
    """None if there is no result within the size."""
    url: str | None = field(repr=False)
    """None if there is no picture."""


@dataclass(frozen=True)
class Sheet:
    """One object."""

    name: str
    kind: Kind
    about: Record
    """Any row of it."""
    original: str | None = field(repr=False)
    pairs: Mapping[int, tuple[Picture, Picture]]
    """Ours and the best peer, by size."""


class Sheets:
    """Sheets of all objects, as far as their pictures fit `most` bytes; `left_out` counts the others.

    Ours is what the program itself chose, where it took part, or the codec that looks best. Who looks best has the
    highest object PSNR.

    Parameters
    ----------
    folder : output folder of the run.
    """

    def __init__(self, folder: Path, results: Results, most: int = MOST_BYTES) -> None:
        self._views = folder / VIEWS
        self._room = most
        self.shown: list[Sheet] = []
        self.left_out = 0
        for kind in results.kinds():
            for sheet in self._of(results, kind):
                if self._room < 0:
                    self.left_out += 1
                else:
                    self.shown.append(sheet)

    def _of(self, results: Results, kind: Kind) -> Iterator[Sheet]:
        sizes = results.sizes(kind)
        ours = {size: best_of_ours(results, kind, size) for size in sizes}
        peers = {size: results.best_peers(kind, size) for size in sizes}
        about = {row["asset"]: row for row in results.of(kind)}
        for name in results.objects(kind):
            pairs = {
                size: (self._picture("ours", ours[size].get(name)), self._picture("best peer", peers[size].get(name)))
                for size in sizes
            }
            yield Sheet(name, kind, about[name], self._url(name, ORIGINAL), pairs)

    def _picture(self, whose: str, row: Record | None) -> Picture:
        if row is None:
            return Picture(whose, None, None)
        return Picture(whose, row, self._url(row["asset"], f"{row['contender']}-{row['setting']}"))

    def _url(self, asset: str, name: str) -> str | None:
        path = strip_path(self._views, asset, name)
        if self._room < 0 or not path.is_file():
            return None
        url = data_url(path.read_bytes(), MIME)
        self._room -= len(url)
        return url


def best_of_ours(results: Results, kind: Kind, size: int) -> dict[str, Record]:
    """By object, the row of the program's own choice within a size, or of the codec that looks best."""
    entries = [entry for entry in results.within(kind, size) if entry.contender in results.ours]
    chosen = [entry for entry in entries if entry.contender == OWN_CHOICE] or entries
    best: dict[str, Record] = {}
    for entry in chosen:
        for name, row in entry.rows.items():
            if name not in best or (value(row, OBJECT.key) or 0) > (value(best[name], OBJECT.key) or 0):
                best[name] = row
    return best
