"""Colours of a part: plain, gradient, stripes, rings, chequers or spots, in two colours of a palette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear

STYLES = ("plain", "gradient", "stripes", "halves", "chequers", "spots")


def palette(random: np.random.Generator) -> NDArray[np.float64]:
    """(4, 3) sRGB colours in [0, 1] that go together: near hues, or opposite ones, of different lightness."""
    hue = random.random() + np.array([0.0, random.normal(0, 0.06), 0.5 * random.integers(2), random.random()])
    saturation = random.uniform(0.05, 0.8, 4)
    value = random.uniform(0.2, 1.0, 4)
    steps = (hue[:, None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    full = np.clip(np.minimum(steps, 4 - steps), 0, 1)
    result: NDArray[np.float64] = value[:, None] * (1 - saturation[:, None] * full)
    return result


def painted(
    positions: NDArray[np.float64], colours: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float32]:
    """(V, 4) linear vertex colours of one part, in a style drawn at random, along a direction drawn at random."""
    first, second = colours[random.permutation(len(colours))[:2]]
    style = STYLES[random.choice(len(STYLES), p=(0.5, 0.15, 0.1, 0.1, 0.08, 0.07))]
    extent = np.maximum(np.ptp(positions, axis=0), 1e-9)
    place = (positions - positions.min(axis=0)) / extent
    along = place[:, random.integers(3)]
    count = random.integers(2, 7)
    if style == "plain":
        share = np.zeros(len(positions))
    elif style == "gradient":
        share = along
    elif style == "stripes":
        share = np.floor(along * count * 0.999) % 2
    elif style == "halves":
        share = (along > random.uniform(0.2, 0.8)).astype(np.float64)
    elif style == "chequers":
        share = np.floor(place * count * 0.999).sum(axis=1) % 2
    else:
        centres = random.random((count, 3))
        nearest = np.linalg.norm(place[:, None] - centres, axis=2).min(axis=1)
        share = (nearest < 0.2).astype(np.float64)
    srgb = first + share[:, None] * (second - first)
    linear = srgb_to_linear(np.clip(srgb, 0, 1).astype(np.float32))
    return np.concatenate([linear, np.ones((len(linear), 1))], axis=1).astype(np.float32)
