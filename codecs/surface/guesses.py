"""Where searches for numbers of triangles, steps and qualities begin, and how they go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from squeeze3d.threads import side_by_side

T = TypeVar("T")

BYTES_PER_FACE, EXPONENT, PER_BIT = 1.6, 0.8, 1.12
"""First guesses: of the bytes of a triangle, of the power of the number of triangles that bytes grow with, and of what
one more bit of a coordinate makes of them."""


@dataclass
class Hints:
    """What searches end with, for the next to begin with. Each attempt has its own: what it finds depends on them."""

    sizes: dict[int, dict[int, float]]
    """Bytes of shapes by bits of a coordinate and number of triangles."""
    step: int = 24
    """Of details."""
    quality: int = 26
    """Of pictures."""

    def copy(self) -> Hints:
        """To be changed on its own."""
        return Hints({bits: dict(known) for bits, known in self.sizes.items()}, self.step, self.quality)

    def learn(self, other: Hints, before: Hints) -> None:
        """Take over what an attempt has found that began with `before`."""
        for bits, known in other.sizes.items():
            self.sizes.setdefault(bits, {}).update(known)
        if other.step != before.step:
            self.step = other.step
        if other.quality != before.quality:
            self.quality = other.quality

    def first_faces(self, budget: float, bits: int) -> int:
        """About how many triangles fit, judged by the shape closest in size, with any grid."""
        known = ((grid, faces, size) for grid, sizes in self.sizes.items() for faces, size in sizes.items())
        grid, faces, size = min(
            known,
            key=lambda one: (abs(np.log(one[2] / budget)), one),
            default=(bits, budget / BYTES_PER_FACE, budget),
        )
        return int(faces * (budget / (size * PER_BIT ** (bits - grid))) ** (1 / EXPONENT))

    def faces(self, budget: float, bits: int, below: int, above: int) -> int:
        """About how many triangles fit, judged by shapes with fewer and more of them; 0 and `above` if there are none.

        Bytes grow as a power of the number of triangles.
        """
        known = self.sizes[bits]
        ends = sorted(faces for faces in known if faces in (below, above)) or sorted(known)[:1]
        if not ends:
            return self.first_faces(budget, bits)
        if len(ends) == 1:
            ends = sorted(known, key=lambda faces: abs(faces - ends[0]))[:2]
        power = EXPONENT
        if len(ends) == 2:
            power = float(np.log(known[ends[1]] / known[ends[0]]) / np.log(ends[1] / ends[0]))
        return int(ends[0] * (budget / known[ends[0]]) ** (1 / np.clip(power, 0.5, 1.5)))


def finest(
    coded: Callable[[int], tuple[T, float]],
    guess: int,
    coarsest: int,
    room: float,
    per_octave: int,
    full: float,
    *,
    pairs: bool,
) -> tuple[int, T, float] | None:
    """The finest step from 0 to `coarsest` whose result takes no more than `room` bytes, with result and size.

    Parameters
    ----------
    coded : gives result and size for a step.
    per_octave : by how many steps sizes halve, about.
    full : part of the room from which nothing finer is looked for.
    pairs : whether a step and the next finer one are tried side by side. That pays where one takes long.
    """
    low, high = -1, coarsest + 1
    best: tuple[int, T, float] | None = None
    while high - low > 1:
        guess = min(max(guess, low + 1), high - 1)
        steps = [guess, guess - 1] if pairs and guess - 1 > low else [guess]
        size = 0.0
        for step, (result, size) in zip(steps, side_by_side(coded, steps), strict=True):
            if size > room:
                low = max(low, step)
            elif step < high:
                high, best = step, (step, result, size)
        if best is not None and best[2] > full * room:
            break
        # From the finest one that was tried.
        guess = steps[-1] + int(np.clip(np.rint(per_octave * np.log2(max(size, 1) / max(room, 1))), -12, 12))
        if guess == steps[-1]:
            guess += -1 if size <= room else 1
    return best
