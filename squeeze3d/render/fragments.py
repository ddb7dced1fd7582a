"""Boxes of pixels around projected things, as flat lists that NumPy can work on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAGMENTS = 1 << 17
"""Pairs of thing and pixel made at a time: few enough for the processor's cache (2 million take twice as long)."""


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """Pairs of a thing and a pixel, in the order of the things."""

    owners: NDArray[np.int64]
    """(N,) index of the thing."""
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def fragments(
    columns: NDArray[np.floating],
    rows: NDArray[np.floating],
    reach_x: NDArray[np.floating],
    reach_y: NDArray[np.floating],
    resolution: tuple[int, int],
) -> Iterator[Fragments]:
    """All pixels whose centre lies within a rectangle around each of N places, always with the pixel it is in.

    Parameters
    ----------
    columns, rows : (N,) places in pixels.
    reach_x, reach_y : (N,) half sizes of the rectangles in pixels.
    resolution : rows and columns of the image; what lies outside is left out.
    """
    height, width = resolution
    left, right = pixel_range(columns, reach_x, width)
    top, bottom = pixel_range(rows, reach_y, height)
    wide = np.maximum(right - left + 1, 0)
    sizes = wide * np.maximum(bottom - top + 1, 0)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    start, count = 0, len(sizes)
    while start < count:
        before = int(begins[start])
        # A single thing larger than the limit goes alone: no more than the image.
        stop = max(start + 1, int(np.searchsorted(ends, before + FRAGMENTS, side="right")))
        owners = np.repeat(np.arange(start, stop), sizes[start:stop])
        if len(owners):
            index = np.arange(before, before + len(owners)) - begins[owners]
            row, column = np.divmod(index, wide[owners])
            yield Fragments(owners, top[owners] + row, left[owners] + column)
        start = stop


def pixel_range(
    place: NDArray[np.floating], reach: NDArray[np.floating], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last pixel, clipped to the image; last < first where there is none."""
    own = np.floor(place)
    first = np.minimum(np.ceil(place - reach - 0.5), own)
    last = np.maximum(np.floor(place + reach - 0.5), own)
    return np.clip(first, 0, size).astype(np.int64), np.clip(last, -1, size - 1).astype(np.int64)
