"""In which order attributes of splats are coded, and from which others each is predicted.

```text
Morton order   0   1   2   3   4   5   6   7   8      pass 1 ─► 0
                                                       pass 2 ─► 8      from 0
                                                       pass 3 ─► 4      from 0, 8
                                                       pass 4 ─► 2, 6   from 0, 4, 8
                                                       pass 5 ─► 1, 3, 5, 7
```

Neighbours in Morton order are neighbours in space, mostly. Of six that are known, the nearest three count, by the
inverse square of their distance. A pass is a few array operations, and all of it is integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACH = (1, 3, 5)
"""Steps to either side, in strides of a pass, at which known splats are looked at. Part of the format."""
NEAREST = 3
"""How many of them count. Part of the format."""
WEIGHT_BITS = 12
"""Weights of a splat's neighbours add up to about 2**WEIGHT_BITS. Part of the format."""


@dataclass(frozen=True, eq=False)
class Pass:
    """Splats that are coded at once."""

    targets: NDArray[np.intp]
    """(T,) numbers in Morton order."""
    sources: NDArray[np.intp]
    """(T, K) numbers of those that predict them, nearest first; K = 0 for the first splat."""
    weights: NDArray[np.int64]
    """(T, K) their weights."""

    def predict(self, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(T, C) weighted means and spreads (largest less smallest) of (N, C) values below 2**40 at the sources."""
        if not self.sources.shape[1]:
            nothing = np.zeros((len(self.targets), values.shape[1]), dtype=np.int64)
            return nothing, nothing
        near = values[self.sources]
        total = self.weights.sum(axis=1)[:, None]
        sums = (near * self.weights[:, :, None]).sum(axis=1)
        return (2 * sums + total) // (2 * total), near.max(axis=1) - near.min(axis=1)


def passes_of(cells: NDArray[np.int64]) -> tuple[Pass, ...]:
    """Passes over N >= 1 splats in (N, 3) cells, in Morton order."""
    count = len(cells)
    none = np.zeros((1, 0), dtype=np.int64)
    result = [Pass(np.zeros(1, dtype=np.intp), none, none)]
    for level in range((count - 1).bit_length() - 1, -1, -1):
        stride = 1 << level
        targets = np.arange(stride, count, 2 * stride)
        offsets = np.array([side * stride * step for step in REACH for side in (-1, 1)])
        candidates = targets[:, None] + offsets
        known = (candidates >= 0) & (candidates < count)
        candidates = np.where(known, candidates, 0)
        gaps = ((cells[candidates] - cells[targets][:, None]) ** 2).sum(axis=2)
        gaps[~known] = _FAR
        order = np.argsort(gaps, axis=1, kind="stable")[:, :NEAREST]
        gaps = np.take_along_axis(gaps, order, axis=1)
        weights = np.where(gaps < _FAR, _share(gaps), 0)
        sources = np.take_along_axis(candidates, order, axis=1)
        result.append(Pass(targets, np.where(weights > 0, sources, sources[:, :1]), weights))
    return tuple(result)


_FAR = np.int64(1) << 50


def _share(gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights by squared distances, at least 1: relative to the nearest, so that large grids lose no digits."""
    return np.maximum((gaps[:, :1] + 1 << WEIGHT_BITS) // (gaps + 1), 1)
