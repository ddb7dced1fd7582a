"""From `Splats` to a stream of a given number of splats and fineness.

What depends on the original alone is computed once per `SplatsBuilder`; the search for a size or a quality then tries
many settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.codecs.splats.container import LARGEST_REFERENCE
from squeeze3d.codecs.splats.frame import pose_of, to_canonical, to_original
from squeeze3d.codecs.splats.gaussians import MIN_ALPHA, Gaussians, from_splats, to_splats
from squeeze3d.codecs.splats.merge import Merger, masses
from squeeze3d.codecs.splats.model import BANDS, MAX_LEVELS, Head, encode_scene, reference_class
from squeeze3d.codecs.splats.places import MAX_BITS, MIN_BITS
from squeeze3d.codecs.splats.steps import FINEST
from squeeze3d.render.camera import Camera, fitting_rig, preview_rig

if TYPE_CHECKING:
    from squeeze3d.codecs.splats.views import Views

SIZE_FINENESS = 3
"""How much finer than colours the roots of deviations are: twice as fine costs 0.4 bits a splat and gains 0.5 to 1 dB
(three files)."""
SHAPE_FINENESS = -3
TURN_FINENESS = -1
HARMONIC_FINENESS = -7
"""The same of ratios, of directions, and of harmonics, which views see through factors of about 0.28."""
LEVELS = 2.0
"""Levels of opacity, of what a colour has steps."""
RESOLUTION = 128
"""Rows of the pictures that an encoder goes by."""
FITTED_VIEWS = 48
"""Views that splats are fitted to. With nine, 1050 splats of a robot come within 35.3 dB of them and 30.2 dB of others;
with 48, within 33.9 dB and 31.3 dB."""
CELL = 2.0
"""Cells of the grid, of what a splat in the middle is wide, times the step of colours."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One way to say a scene."""

    head: Head
    symbols: bytes
    scene: Gaussians
    """As a decoder sees it, canonical."""


class SplatsBuilder:
    """Builds streams of one scene, whose values must all be finite.

    Parameters
    ----------
    degree : of the spherical harmonics that are kept, at most.
    """

    def __init__(self, splats: Splats, degree: int = 3) -> None:
        self.splats = splats
        whole = from_splats(splats)
        seen = whole.alpha >= MIN_ALPHA
        if not seen.any():
            # Nothing can be seen, but something has to come back.
            seen[int(whole.alpha.argmax())] = True
        self.faint = int(len(seen) - seen.sum())
        """Splats too faint to be drawn, which are dropped."""
        visible = whole[seen]
        self.pose = pose_of(visible)
        self._original = to_canonical(self.pose, visible)
        self.scene = replace(self._original, colours=self._original.colours[:, :, : 1 + BANDS[degree]])
        self._merger: tuple[bool, Merger] | None = None
        self._merged: dict[tuple[int, bool], Gaussians] = {}
        self._fitted: dict[tuple[int, int], Gaussians] = {}

    @property
    def count(self) -> int:
        """Splats that can be seen."""
        return self.scene.count

    def stream(self, scene: Gaussians, fineness: int, bits: int = 0) -> Stream:
        """Code a canonical scene with settings that suit it, see `head_of`."""
        return self.coded(scene, head_of(scene, fineness, bits))

    def coded(self, scene: Gaussians, head: Head) -> Stream:
        """Code a canonical scene."""
        encoder = SymbolEncoder()
        decoded = encode_scene(encoder, head, scene)
        return Stream(head, encoder.finish(), decoded)

    def splats_of(self, scene: Gaussians) -> Splats:
        """A canonical scene as a decoder returns it."""
        return to_splats(to_original(self.pose, scene))

    def merged(self, count: int, *, by_sight: bool) -> Gaussians:
        """At most `count` splats.

        Parameters
        ----------
        by_sight : whether what views show of each splat counts; if not, nothing is drawn.
        """
        if count >= self.count:
            return self.scene
        key = count, by_sight
        if key not in self._merged:
            if self._merger is None or self._merger[0] is not by_sight or self._merger[1].count < count:
                shares = self._views.shares() if by_sight else masses(self.scene)
                self._merger = by_sight, Merger(self.scene, shares)
            self._merged[key] = self._merger[1].reduce(count)
        return self._merged[key]

    def fitted(self, count: int, steps: int) -> Gaussians:
        """At most `count` splats, refitted in some steps if any were merged."""
        if count >= self.count:
            return self.scene
        key = count, steps
        if key not in self._fitted:
            from squeeze3d.codecs.splats.refit import refit

            self._fitted[key] = refit(self.merged(count, by_sight=True), self._views, steps)
        return self._fitted[key]

    def settled(self, scene: Gaussians, head: Head, steps: int) -> Gaussians:
        """A scene made ready for a head, see `settle`."""
        from squeeze3d.codecs.splats.settle import settled

        return settled(scene, self._views, head, steps, lambda part: self.coded(part, head).scene)

    @cached_property
    def preview(self) -> Views:
        """Views for decisions, none of which is fitted or measured."""
        return self._seen_from(preview_rig(self.splats.bounds(), resolution=RESOLUTION))

    @cached_property
    def _views(self) -> Views:
        return self._seen_from(fitting_rig(self.splats.bounds(), views=FITTED_VIEWS, resolution=RESOLUTION))

    def _seen_from(self, cameras: Iterable[Camera]) -> Views:
        from squeeze3d.codecs.splats.views import Views

        return Views(self._original, tuple(camera.moved(self.pose.centre, self.pose.scale) for camera in cameras))


def head_of(scene: Gaussians, fineness: int, bits: int = 0) -> Head:
    """Settings that suit a fineness: errors of all kinds weigh about the same at the same cost.

    Parameters
    ----------
    bits : of the grid; 0 for what suits the fineness.
    """
    step = 2.0 ** (-fineness / 4)
    root = float(np.sqrt(np.median(np.exp(scene.logs[:, 0]))))
    width = float(np.sqrt(np.median(scene.areas)))
    head = Head(
        count=scene.count,
        bits=bits or _clamped(np.log2(1 / max(CELL * step * width, 1e-12)), MIN_BITS, MAX_BITS),
        degree=BANDS.index(scene.colours.shape[2] - 1),
        levels=_clamped(LEVELS / step, 2, MAX_LEVELS),
        size=_clamped(fineness + SIZE_FINENESS - 4 * np.log2(2 * root), 0, FINEST),
        shape=_clamped(fineness + SHAPE_FINENESS, 0, FINEST),
        turn=_clamped(fineness + TURN_FINENESS, 0, FINEST),
        colour=_clamped(fineness, 0, FINEST),
        harmonic=_clamped(fineness + HARMONIC_FINENESS, 0, FINEST),
        reference=0,
    )
    return replace(head, reference=_clamped(reference_class(scene, head), -LARGEST_REFERENCE, LARGEST_REFERENCE))


def _clamped(value: float, low: int, high: int) -> int:
    return int(min(max(round(float(value)), low), high))
