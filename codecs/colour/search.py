"""Which settings suit the colours at hand: sizes are estimated, errors measured, dominated settings dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.codecs.colour.model import CellColours, encode_cells
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings

STEPS = (60, 40, 27, 18, 12, 8)
ENTRIES = (2, 4, 8, 16)
SMOOTHNESS = (0.0, 400.0, 1500.0)
SUM_ENTRIES = (2, 4, 8)
SUM_STEPS = (56, 32, 18)
SUM_SMOOTHNESS = 600.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting and what it gives."""

    bytes: float
    """Estimated size."""
    error: float
    """Mean squared error of a channel in sRGB of [0, 255]."""
    settings: ColourSettings


def families(skips: Sequence[int] = (0, 1)) -> list[list[ColourSettings]]:
    """The settings that `choose` tries; within a family each takes more bytes than the one before, as a rule."""
    result = [[ColourSettings(ColourMode.UNIFORM)]]
    for skip in skips:
        result.append([ColourSettings(ColourMode.PYRAMID, step=step, skip=skip) for step in STEPS])
        for smoothness in SMOOTHNESS:
            palette = ColourSettings(ColourMode.PALETTE, skip=skip, smoothness=smoothness)
            result.append([replace(palette, entries=entries) for entries in ENTRIES])
        for entries in SUM_ENTRIES:
            total = ColourSettings(ColourMode.SUM, skip=skip, entries=entries, smoothness=SUM_SMOOTHNESS)
            result.append([replace(total, step=step) for step in SUM_STEPS])
    return result


def choose(
    occupied: NDArray[np.bool_],
    rgb: NDArray[np.number],
    weights: NDArray[np.floating],
    budget: float = float("inf"),
    *,
    skips: Sequence[int] = (0, 1),
    smooth: NDArray[np.number] | None = None,
    error: Callable[[CellColours], float] | None = None,
) -> list[Candidate]:
    """Settings none of which is both larger and worse than another, smallest first.

    Parameters
    ----------
    occupied, rgb, weights : as for `encode_colours`.
    budget : largest size in bytes; the smallest setting is kept even beyond it.
    skips : how many levels to leave out, alternatives.
    smooth : (K, 3) colours for mode PYRAMID, from `sharpened`; None means `rgb`. Palettes and sums gain nothing from
        sharpened colours. Use it with an `error` that looks up points: cells alone look worse.
    error : what to judge decoded colours by; None means the weighted squared error of the cells against `rgb`.

    Where settings of mode PYRAMID are chosen, `smooth` is what to encode.
    """
    full = Hierarchy(occupied)
    colours, importance = np.asarray(rgb, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    share = importance / importance.sum() if importance.any() else np.full(full.count, 1 / full.count)

    def cell_error(decoded: CellColours) -> float:
        return float((share @ (decoded.rgb - colours) ** 2).mean())

    judge = cell_error if error is None else error
    found = []
    for family in families([skip for skip in skips if skip < len(full.levels)] or [0]):
        for settings in family:
            counter = CodeLength()
            source = smooth if smooth is not None and settings.mode is ColourMode.PYRAMID else colours
            decoded = encode_cells(counter, full, source, importance, settings)
            found.append(Candidate(counter.bits / 8, judge(decoded), settings))
            if found[-1].bytes > budget:
                break
    front = pareto(found)
    return [candidate for candidate in front if candidate.bytes <= budget] or front[:1]


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that are better than all smaller ones, smallest first."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.bytes, c.error)):
        if not front or candidate.error < front[-1].error:
            front.append(candidate)
    return front
