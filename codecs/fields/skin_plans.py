"""How to spend bytes on the colours of one skin: palettes, and how fine what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.aims import CellAims
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.codecs.colour.model import encode_cells
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.codecs.fields.build import Geometry, Skin
from squeeze3d.codecs.fields.model import fixed_colours
from squeeze3d.codecs.fields.transform import FINENESS, MAX_STEP, Transform

PALETTES = ((16, 800.0), (16, 6000.0), (8, 800.0), (16, 0.0), (4, 6000.0), (4, 800.0), (2, 6000.0))
"""Entries and smoothness."""
QUICK = 2
"""Palettes that are tried where time is short."""


@dataclass(frozen=True, slots=True)
class SkinPlan:
    """Settings of one skin and what they give."""

    bytes: float
    """Estimated size."""
    error: float
    """Weighted mean squared error of a channel, in levels of 255."""
    colours: ColourSettings
    step: int
    """Of the transform, from 1 on; 0 for none."""


class SkinPlans:
    """Plans for the skin of a geometry; sizes are estimated, errors are exact.

    Parameters
    ----------
    step : the step that must be taken; 0 for any.
    quick : fewer palettes.
    """

    def __init__(self, geometry: Geometry, skin: Skin, *, step: int = 0, quick: bool = False) -> None:
        self._geometry, self._skin = geometry, skin
        self._aims = CellAims(geometry.hierarchy, skin.rgb, skin.weights)
        self._transform = Transform(geometry.hierarchy, geometry.layers.gathered(geometry.light))
        self._bases: dict[ColourSettings, tuple[float, NDArray[np.int64]]] = {}
        self._plans: dict[tuple[ColourSettings, int], SkinPlan] = {}
        self._only = step
        self._quick = quick

    def plan(self, colours: ColourSettings, step: int) -> SkinPlan:
        """One plan."""
        key = (colours, step)
        if key not in self._plans:
            size, coded = self._base(colours)
            if step:
                counter = CodeLength()
                coded = coded + self._transform.encode(counter, self._skin.ycocg - coded / FINENESS, step - 1)
                size += counter.bits / 8
            self._plans[key] = SkinPlan(size, self._skin.error(coded), colours, step)
        return self._plans[key]

    def for_error(self, error: float) -> SkinPlan | None:
        """The smallest plan with at most this error; None if there is none."""
        best = None
        for colours in self._palettes():
            if best is not None and self._base(colours)[0] >= best.bytes:
                continue
            found = self._coarsest(colours, lambda plan: plan.error <= error)
            if found is not None and (best is None or found.bytes < best.bytes):
                best = found
        return best

    def for_bytes(self, size: float) -> SkinPlan | None:
        """The plan with the least error of at most this size; None if there is none."""
        best = None
        for colours in self._palettes():
            found = self._finest(colours, size)
            if found is not None and (best is None or (found.error, found.bytes) < (best.error, best.bytes)):
                best = found
        return best

    def _palettes(self) -> Iterator[ColourSettings]:
        uniform = ColourSettings(ColourMode.UNIFORM)
        yield uniform
        # Next to nothing is left to say.
        if self.plan(uniform, 0).error < 0.05:
            return
        for entries, smoothness in PALETTES[: QUICK if self._quick else None]:
            yield ColourSettings(ColourMode.PALETTE, entries=entries, smoothness=smoothness)

    def _base(self, colours: ColourSettings) -> tuple[float, NDArray[np.int64]]:
        if colours not in self._bases:
            counter = CodeLength()
            coded = encode_cells(counter, self._geometry.hierarchy, self._aims, colours)
            self._bases[colours] = counter.bits / 8, fixed_colours(coded)
        return self._bases[colours]

    def _coarsest(self, colours: ColourSettings, fits: Callable[[SkinPlan], bool]) -> SkinPlan | None:
        """No transform, or the one with the largest step that will do."""
        if self._only:
            only = self.plan(colours, self._only)
            return only if fits(only) else None
        plain = self.plan(colours, 0)
        if fits(plain):
            return plain
        low, high, best = 1, MAX_STEP + 1, None
        while low <= high:
            middle = (low + high) // 2
            plan = self.plan(colours, middle)
            if fits(plan):
                best, low = plan, middle + 1
            else:
                high = middle - 1
        return best

    def _finest(self, colours: ColourSettings, size: float) -> SkinPlan | None:
        """The transform with the smallest step that fits, or none."""
        if self._base(colours)[0] > size:
            return None
        if self._only:
            only = self.plan(colours, self._only)
            return only if only.bytes <= size else None
        best = self.plan(colours, 0)
        low, high = 1, MAX_STEP + 1
        while low <= high:
            middle = (low + high) // 2
            plan = self.plan(colours, middle)
            if plan.bytes <= size:
                best, high = min(best, plan, key=lambda p: p.error), middle - 1
            else:
                low = middle + 1
        return best
