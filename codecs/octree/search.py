"""Which grid and how fine colours: for a size, for a quality, or as the options say.

```text
quality ─► grid whose points are near enough ─► coarsest colours that will do ─┐
              └─► finer grids, where merged colours are too coarse ────────────┴─► smallest ─► measured ─► again
size    ─► grid ─► colours as good as its points, by the line of the quality levels ─► bytes ─► next grid
```

Sizes of grids follow from a pass without the range coder. Distances are measured before anything is coded; colours
are estimated, point by point from those of its cell, and measured at last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.bitstream.limits import DEFAULT_MAX_MEMORY
from squeeze3d.codecs.octree.content import Content, Grid
from squeeze3d.codecs.octree.options import DEFAULT_DEPTH, DEFAULT_STEP, OctreeOptions
from squeeze3d.codecs.octree.stream import MAX_CELLS, Points
from squeeze3d.codecs.spec import Job
from squeeze3d.metrics.points import point_to_point

_YUV = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5000], [0.5000, -0.4542, -0.0458]])
_YUV_WEIGHTS = np.array([0.75, 0.125, 0.125])
"""Colours are measured like this, as clouds are in `squeeze3d.quality`."""
LINE = (60.0, 30.0, 2 / 3)
"""Colours that go with distances where a size is to be filled: so many dB (D1) with so many dB of colours, and decibels
of colours for each of distances. The line of the quality levels."""
STEPS = range(1, 64)
PER_STEP = 6.02 / 8
"""Decibels of a step, about."""
FARTHEST_STEP = 16
MERGING_SHARE = 0.5
"""Of the error of merging, what a step may add where merging alone misses a quality."""
LADDER = 2**0.25
"""Finer grids that are tried where merging makes more than EASY of the error of colours that is allowed."""
RUNGS = 8
EASY = 0.25
CLOSE = 0.1
"""Decibels above a goal that are good enough."""
ROUNDS = 6
FULL, LOOSE = 0.98, 0.8
"""Part of a size that is to be used: where it is a limit, and where it is not."""
TOO_LARGE = 4.0
"""What a grid that takes too much memory counts as, in sizes that are wanted."""
OVERHEAD = 14
"""Bytes of a stream beside cells and colours, about."""
ALONE = 0.9
"""Part of the points of a cloud that have a cell of their own on a grid from which files grow with its logarithm, and
not with the square of its side."""
FINEST = 1 << 16
"""Cells of the finest grid that fills a size."""
KEPT = 4
"""Grids that are remembered: each takes about 300 bytes for each node."""
FEWEST = 8
"""Cells along the longest side of the coarsest grid that comes with colours worth their bytes."""


@dataclass(frozen=True, eq=False)
class Found:
    """A finished stream."""

    grid: Grid
    step: int
    symbols: bytes
    points: Points


@dataclass(frozen=True)
class _Colours:
    step: int
    bytes: int
    error: float
    """Mean squared error in [0, 1], as weighed."""


class Search:
    """One search.

    Parameters
    ----------
    overhead : bytes of a file that are not in its stream.
    """

    def __init__(self, content: Content, options: OctreeOptions, job: Job, overhead: int) -> None:
        self.content, self.options, self.job = content, options, job
        self.overhead = overhead
        self._grids: dict[int, Grid] = job.memo.setdefault("grids", {})
        self._colours: dict[tuple[int, int], _Colours] = job.memo.setdefault("colours", {})
        self._original = content.cloud.colours
        self._last_step = options.colour_step or DEFAULT_STEP

    def best(self) -> Found | None:
        """The stream for the job's goal or size, or of the options alone; None if nothing fits."""
        if self.job.goal is not None:
            return self._for_goal(self.job.goal.d1_psnr or LINE[0], self.job.goal.colour_psnr)
        if self.job.target_size is not None:
            return self._for_size(self.job.target_size - self.overhead)
        grid = self._grid(self._cells(2**DEFAULT_DEPTH))
        return self._made(grid, self.options.colour_step or DEFAULT_STEP)

    # What there is

    def _cells(self, wanted: float) -> int:
        """Cells along the longest side: those of the options, or about as many as wanted."""
        if self.options.depth:
            wanted = 2**self.options.depth
        if not self.content.diagonal:
            return MAX_CELLS
        return min(max(round(wanted), 1), MAX_CELLS)

    def _grid(self, cells: int) -> Grid:
        if cells not in self._grids:
            self.job.progress(f"grid of {cells}", 0.3)
            self._grids[cells] = self.content.grid(cells)
            if len(self._grids) > KEPT:
                del self._grids[next(iter(self._grids))]
        return self._grids[cells]

    def _is_bearable(self, grid: Grid) -> bool:
        """Whether decoders take a grid without being told to: only options ask for others."""
        return self.options.depth > 0 or grid.memory <= DEFAULT_MAX_MEMORY

    def _made(self, grid: Grid, step: int) -> Found:
        self.job.progress("encode", 0.7)
        used = step if self._original is not None else 0
        return Found(grid, used, *grid.encode(used))

    def _coloured(self, grid: Grid, step: int) -> _Colours:
        key = (grid.head.cells, step)
        if key not in self._colours:
            assert self._original is not None
            size, decoded = grid.colours(step)
            self._colours[key] = _Colours(step, size, self._colour_error(grid, decoded.astype(np.float64)))
        return self._colours[key]

    def _colour_error(self, grid: Grid, rgb: NDArray[np.float64]) -> float:
        """Mean squared error of points' colours from those of their cells."""
        assert self._original is not None
        difference = (self._original[:, :3] - rgb[grid.numbers]) @ _YUV.T / 255
        return float((difference**2).mean(axis=0) @ _YUV_WEIGHTS)

    def _colours_for(self, grid: Grid, decibels: float) -> tuple[_Colours, bool]:
        """About the coarsest colours of a grid with a quality, and whether they have it."""
        wanted = 10 ** (-decibels / 10)
        if self.options.colour_step:
            found = self._coloured(grid, self.options.colour_step)
            return found, found.error <= wanted
        assert grid.rgb is not None
        merged = self._colour_error(grid, grid.rgb)
        goal = max(wanted, (1 + MERGING_SHARE) * merged)
        step, tried = self._last_step, dict[int, _Colours]()
        # Errors double every few steps, so that two or three guesses will do; grids that were tried before help.
        while step not in tried and len(tried) < ROUNDS:
            found = tried[step] = self._coloured(grid, step)
            excess = 10 * math.log10(max(goal - merged, 1e-12) / max(found.error - merged, 1e-12))
            away = min(max(math.floor(excess / PER_STEP), -FARTHEST_STEP), FARTHEST_STEP)
            step = min(max(step + away, STEPS[0]), STEPS[-1])
        good = [found for found in tried.values() if found.error <= goal]
        best = max(good, key=lambda found: found.step) if good else min(tried.values(), key=lambda found: found.error)
        self._last_step = best.step
        return best, best.error <= wanted

    def _merging(self, grid: Grid) -> float:
        """Error of the colours of a grid before they are coded."""
        return 0.0 if grid.rgb is None else self._colour_error(grid, grid.rgb)

    # Qualities

    def _for_goal(self, distance: float, colour: float | None) -> Found:
        """The smallest stream with a quality, by measured distances and estimated colours, which are then measured."""
        cells = self._near_enough(distance)
        if colour is None or self._original is None:
            return self._made(self._grid(cells), self.options.colour_step or DEFAULT_STEP)
        tint = colour
        best: tuple[Found, float] | None = None
        for _ in range(1 + self.job.effort // 3):
            grid, step = self._coloured_grid(cells, tint)
            found = self._made(grid, step)
            self.job.progress("measure", 0.8)
            margin = self._colour_margin(found, colour)
            if best is None or _serves_better((found, margin), best):
                best = found, margin
            if 0 <= margin <= PER_STEP or self.options.colour_step:
                break
            tint -= margin - CLOSE
        assert best is not None
        return best[0]

    def _coloured_grid(self, cells: int, decibels: float) -> tuple[Grid, int]:
        """The grid, from so many cells on, and the step that make the smallest stream with a quality of colours."""
        best: tuple[float, Grid, int] | None = None
        for _ in range(RUNGS):
            grid = self._grid(cells)
            found, enough = self._colours_for(grid, decibels)
            size = grid.bits / 8 + found.bytes if enough else math.inf
            if best is not None and math.isfinite(best[0]) and size >= best[0]:
                break
            best = size, grid, found.step
            easy = self._merging(grid) <= EASY * 10 ** (-decibels / 10)
            finer = self._cells(cells * LADDER)
            alone = len(grid.counts) == len(self.content.places)
            if alone or (enough and easy) or finer == cells or not self._is_bearable(self._grid(finer)):
                break
            cells = finer
        assert best is not None
        return best[1], best[2]

    def _near_enough(self, decibels: float) -> int:
        """Cells of the coarsest grid with a quality (D1), as measured; at most `CLOSE` above it."""
        cells = self._cells(math.sqrt(0.25 / 3) / max(self.content.diagonal, 1e-9) * 10 ** (decibels / 20))
        tried: dict[int, float] = {}
        while cells not in tried and len(tried) < ROUNDS:
            if tried and not self._is_bearable(self._grid(cells)):
                break
            above = tried[cells] = self._distance_margin(self._grid(cells), decibels)
            if 0 <= above <= CLOSE or not math.isfinite(above):
                break
            cells = self._cells(cells * 10 ** (min(max(CLOSE / 2 - above, -12), 12) / 20))
        good = [cells for cells, above in tried.items() if above >= 0]
        return min(good, default=max(tried))

    def _distance_margin(self, grid: Grid, decibels: float) -> float:
        """How far the distances of a grid's points are above a quality, in dB."""
        if not self.content.diagonal:
            return math.inf
        points = Points(grid.head, grid.cells, grid.moved, None).to_cloud(self.content.pose)
        mse = point_to_point(PointCloud(self.content.cloud.positions), points).d1
        peak = self.content.diagonal * self.content.pose.scale
        return math.inf if mse == 0 else 10 * math.log10(3 * peak**2 / mse) - decibels

    def _colour_margin(self, found: Found, decibels: float) -> float:
        """How far the colours of a stream are above a quality, in dB."""
        errors = point_to_point(self.content.cloud, found.points.to_cloud(self.content.pose)).colour
        assert errors is not None
        return -10 * math.log10(max(float(_YUV_WEIGHTS @ errors), 1e-12)) - decibels

    # Sizes

    def _for_size(self, size: float) -> Found | None:
        """The best stream of at most so many bytes; None if none fits."""
        aim = size
        for _ in range(ROUNDS if size >= OVERHEAD else 0):
            chosen = self._within(aim)
            if chosen is None:
                return self._least(size)
            found = self._made(*chosen)
            if len(found.symbols) <= size or not self.job.exact:
                return found
            # Estimates are off by a few bytes, as a rule.
            aim -= len(found.symbols) - size + 1
        return self._least(size)

    def _within(self, size: float) -> tuple[Grid, int] | None:
        """Grid and step that fill so many bytes well; None where no grid was found to fit."""
        least = FULL if self.job.exact else LOOSE
        low, high = 0, FINEST + 1
        cells = self._cells(4 * math.sqrt(max(size, 1)))
        best: tuple[float, Grid, int] | None = None
        for _ in range(2 * ROUNDS):
            grid = self._grid(cells)
            step, estimate = self._balanced(grid) if self._is_bearable(grid) else (0, TOO_LARGE * size)
            if estimate <= size:
                low = max(low, cells)
                if best is None or estimate > best[0]:
                    best = estimate, grid, step
                if estimate >= least * size:
                    break
            else:
                high = min(high, cells)
            if self.options.depth or high - low <= 1:
                break
            guess = self._following(grid, estimate, 0.5 * (1 + least) * size)
            if not low < round(guess) < high:
                guess = FINEST if high > FINEST else math.sqrt(max(low, 1) * high)
            cells = self._cells(guess)
            if cells in (low, high):
                break
        return None if best is None else (best[1], best[2])

    def _following(self, grid: Grid, estimate: float, size: float) -> float:
        """Cells of a grid that may take so many bytes, from one that takes as many as estimated."""
        alone = len(grid.counts)
        if alone > ALONE * len(self.content.places):
            # Each point takes three bits more for each doubling, less what planes tell.
            return grid.head.cells * 2.0 ** min(max(8 * (size - estimate) / (3 * alone), -4), 4)
        return grid.head.cells * (size / estimate) ** 0.6

    def _balanced(self, grid: Grid) -> tuple[int, float]:
        """Step whose colours go with a grid, and bytes of both."""
        size = grid.bits / 8 + OVERHEAD
        if self._original is None:
            return 0, size
        distance, colour, slope = LINE
        reached = 10 * math.log10(3 * max(self.content.diagonal, 1e-9) ** 2 / max(grid.error, 1e-30))
        found, _ = self._colours_for(grid, colour + slope * (reached - distance))
        return found.step, size + found.bytes

    def _least(self, size: float) -> Found | None:
        """The finest of the coarsest streams that fits."""
        step = self.options.colour_step or STEPS[-1]
        cells = self._cells(FEWEST)
        while True:
            found = self._made(self._grid(cells), step)
            if len(found.symbols) <= size:
                return found
            if cells == 1 or self._cells(1) == cells:
                return None
            cells //= 2


def _serves_better(one: tuple[Found, float], other: tuple[Found, float]) -> bool:
    """Whether one result, with its margin over a goal, is preferable."""
    if (one[1] >= 0) != (other[1] >= 0):
        return one[1] >= 0
    return len(one[0].symbols) < len(other[0].symbols) if one[1] >= 0 else one[1] > other[1]
