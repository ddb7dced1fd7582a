"""The encoder: which layout and which settings show most of the original in a number of bytes.

```text
samples ─► kinds ─► finer and finer grids ─► fitted colours ─► a palette ─┐
                                                                          ▼
                    bytes in the budget, or None ◄─ all settings of the colour coder ◄─ the best layouts
```

Attempts are compared by the squared error of what is read at points that no fit has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from squeeze3d.assets.mesh import Mesh
from squeeze3d.codecs.surface_colours.fit import Fit, fit
from squeeze3d.codecs.surface_colours.layout import RESOLUTIONS, Kind, Layout
from squeeze3d.codecs.surface_colours.reading import read
from squeeze3d.codecs.surface_colours.samples import Sampler, Samples
from squeeze3d.codecs.surface_colours.stream import write_stream
from squeeze3d.errors import InputError
from squeeze3d.geometry.surface import Surface, flatten

FITTED, JUDGED = 40_000, 15_000
"""Samples that colours are fitted to, and others that judge them."""
SMALLEST = 9
"""Bytes below which nothing is tried: one colour for all takes as many."""
COARSEST = 6
"""Cells along the frame at the coarsest level that colours are coded at."""
CELLS_PER_BYTE = (0.5, 50.0)
"""Cells of the box's six sides, for each byte, between which a resolution is worth a look. Fine grids are coded at a
half or a quarter of their resolution."""
SERIES = ((Kind.VOLUME, 2), (Kind.VIEWS, 0), (Kind.VOLUME, 0))
"""Kinds and splits that are tried at each resolution."""
ROOM = 4
"""Bytes that colours need at least."""
MOST_CELLS = 1 << 18
"""Layouts with more cells are not tried: they take seconds for each setting."""
CLOSER = 2
"""Layouts that are looked at with all settings. The others are known from palettes of one size: all settings of all
layouts take three times as long for 0 to 0.2 dB."""
INVISIBLE = 0.01
"""Mean squared error that is as good as none."""
TRIED = 4
"""Settings of such a layout that are read at the samples; the search orders them by the error of cells."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """A stream and how far it is from the original."""

    data: bytes
    level: int
    """Its error, see `_level`."""

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """Least for the best."""
        return self.level, len(self.data), self.data


def encode_surface_colours(
    generated: Mesh,
    original: Surface,
    budget_bytes: int,
    *,
    half_extent: float = 0.5,
    kinds: Sequence[Kind] = tuple(Kind),
) -> bytes | None:
    """Colours of an original for a surface that was generated after it.

    Parameters
    ----------
    generated, original : in one frame, y up, whose sides go from `-half_extent` to `half_extent`. What lies beyond
        about 1.3 times that shares the colours at the border.
    budget_bytes : most bytes there may be.
    kinds : layouts to try.

    Returns
    -------
    At most `budget_bytes` bytes for `decode_surface_colours`, or None where the generated surface's own colours are as
    good as anything that fits. The same input gives the same bytes.
    """
    if budget_bytes < SMALLEST:
        return None
    try:
        own = flatten(generated)
    except InputError:
        return None
    sampler = Sampler(own, original, half_extent)
    fitted, judged = sampler.take(FITTED, 1), sampler.take(JUDGED, 2)
    best = best_attempt(fitted, judged, budget_bytes, half_extent, kinds)
    if best is None or best.level >= _level(judged.error(judged.own)):
        return None
    return best.data


def best_attempt(
    fitted: Samples, judged: Samples, budget: int, half_extent: float, kinds: Sequence[Kind]
) -> Attempt | None:
    """Colours fitted to some samples that are least wrong at others, or None where nothing fits into `budget` bytes."""
    search = _Search(fitted, judged, budget, half_extent)
    series = [(kind, split) for kind, split in SERIES if kind in kinds]
    # Where one colour is enough, the coarsest layout says it in the fewest bytes.
    search.look(*series[0], 0)
    grids = _grids(fitted, budget, half_extent)
    for kind, split in series:
        _climb(partial(search.look, kind, split), grids)
    volumes = [each for each in search.found if each.kind is Kind.VOLUME]
    if volumes:
        search.look(Kind.VOLUME, 1, min(volumes, key=search.level).grid)
    for layout in sorted(search.found, key=search.level)[:CLOSER]:
        search.look_closer(layout)
    return search.best


class _Search:
    """Layouts that have been looked at, for one budget."""

    def __init__(self, fitted: Samples, judged: Samples, budget: int, half_extent: float) -> None:
        self._fitted, self._judged, self._budget, self._half_extent = fitted, judged, budget, half_extent
        self._places = judged.points, judged.normals, half_extent
        self.found: dict[Layout, Fit] = {}
        """Those with an attempt within the budget."""
        self._levels: dict[Layout, float] = {}
        self.best: Attempt | None = None

    def level(self, layout: Layout) -> float:
        """Least error of a layout that was found, see `_level`."""
        return self._levels[layout]

    def look(self, kind: Kind, split: int, grid: int) -> float:
        """Error of the most promising settings of a layout; infinity where it does not fit."""
        one = fit(self._fitted, kind, grid, split, self._half_extent)
        if one.layout in self.found:
            return self._levels[one.layout]
        if one.full.count > MOST_CELLS or one.overhead + ROOM > self._budget:
            return math.inf
        level = self._try(one, quick=True)
        if level < math.inf:
            self.found[one.layout] = one
            self._levels[one.layout] = level
        return level

    def look_closer(self, layout: Layout) -> None:
        """Try all kinds of settings of a layout that was found."""
        self._try(self.found[layout], quick=False)

    def _try(self, one: Fit, *, quick: bool) -> float:
        """Least error of attempts within the budget."""
        least, tried = math.inf, 0
        for candidate in one.search.fill(self._budget - one.overhead, _skips(one), quick=quick):
            data, colours = write_stream(one.layout, one.blocks, one.full, one.rgb, one.weights, candidate.settings)
            # Sizes were estimates: what is too large makes room for the next.
            if len(data) > self._budget:
                continue
            shown = read(colours.layout, colours.cells.full, colours.rgb, *self._places)
            attempt = Attempt(data, _level(self._judged.error(shown)))
            self.best = attempt if self.best is None else min(self.best, attempt, key=lambda each: each.rank)
            least, tried = min(least, attempt.level), tried + 1
            if quick or tried == TRIED:
                break
        return least


def _level(error: float) -> int:
    """An error in hundredths of a decibel. Nobody sees less, and nothing below `INVISIBLE`: fewer bytes are better."""
    return round(1000 * math.log10(error + INVISIBLE))


def _climb(look: Callable[[int], float], grids: Sequence[int]) -> None:
    """Look at finer and finer grids until two in a row are no better than the best before."""
    least, worse = math.inf, 0
    for grid in grids:
        level = look(grid)
        worse = 0 if level < least else worse + 1
        least = min(least, level)
        if worse == 2:
            break


def _grids(samples: Samples, budget: int, half_extent: float) -> list[int]:
    """Resolutions that a budget may suit, coarse ones first."""
    extent = np.ptp(samples.points, axis=0) / (2 * half_extent)
    area = 2 * float(extent @ np.roll(extent, 1))
    least, most = CELLS_PER_BYTE
    counts = [area * side**2 / budget for side in RESOLUTIONS]
    wanted = [grid for grid, count in enumerate(counts) if least <= count <= most]
    return wanted or [len(counts) - 1 if counts[-1] < least else 0]


def _skips(one: Fit) -> list[int]:
    resolution, last = one.layout.resolution, len(one.full.levels) - 1
    return [skip for skip in range(3) if skip == 0 or (resolution >> skip >= COARSEST and skip <= last)]
