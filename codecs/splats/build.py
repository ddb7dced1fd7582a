"""From `Splats` to a stream of a given number of splats and fineness.

What depends on the original alone is computed once per `SplatsBuilder`; the search for a size or a quality then tries
many settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.codecs.splats.container import LARGEST_REFERENCE
from squeeze3d.codecs.splats.frame import pose_of, to_canonical, to_original
from squeeze3d.codecs.splats.gaussians import MIN_ALPHA, Gaussians, from_splats, to_splats
from squeeze3d.codecs.splats.model import BANDS, MAX_LEVELS, Head, encode_scene, reference_class
from squeeze3d.codecs.splats.places import MAX_BITS, MIN_BITS
from squeeze3d.codecs.splats.steps import FINEST

SIZE_FINENESS = 3
"""How much finer than colours the roots of deviations are: twice as fine costs 0.4 bits a splat and gains 0.5 to 1 dB
(five files)."""
SHAPE_FINENESS = -3
TURN_FINENESS = -2
HARMONIC_FINENESS = -7
"""The same of ratios, of directions, and of harmonics, which views see through factors of about 0.28."""
LEVELS = 1.5
"""Levels of opacity, of what a colour has steps."""
CELL = 2.0
"""Cells of the grid, of what a splat in the middle is wide, times the step of colours."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One way to say a scene."""

    head: Head
    symbols: bytes
    decoded: Splats


class SplatsBuilder:
    """Builds streams of one scene, whose values must all be finite."""

    def __init__(self, splats: Splats) -> None:
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
        self.scene = to_canonical(self.pose, visible)

    @property
    def count(self) -> int:
        """Splats that can be seen."""
        return self.scene.count

    def stream(self, scene: Gaussians, fineness: int, bits: int = 0, degree: int = 3) -> Stream:
        """Code a canonical scene."""
        scene = _with_degree(scene, degree)
        head = head_of(scene, fineness, bits)
        encoder = SymbolEncoder()
        decoded = encode_scene(encoder, head, scene)
        return Stream(head, encoder.finish(), to_splats(to_original(self.pose, decoded)))


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


def _with_degree(scene: Gaussians, degree: int) -> Gaussians:
    kept = 1 + BANDS[degree]
    if scene.colours.shape[2] <= kept:
        return scene
    return replace(scene, colours=scene.colours[:, :, :kept])
