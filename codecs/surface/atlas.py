"""`Atlas`: where the flat pieces of a coded mesh lie in a picture. Both sides build the same.

```text
charts ─► scaled to texels ─► outlines, a texel wider ─► packed from the highest to the lowest ─► texture coordinates
```

Pieces fall from above onto those that lie there already, each to where it comes to rest lowest. The width is that of
several that makes the smallest picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.charts import Charts
from squeeze3d.compiled import compiled

TEXELS = tuple(round(2 ** (4 + k / 4)) for k in range(64))
"""Sides of a texel by number, in 1/64 of a grid cell. Part of the format, as all that follow."""
LEAST_SIDE, MOST_SIDE = 8, 2048
FREE_TEXELS, TEXELS_PER_FACE = 1 << 20, 256
"""A picture has at most so many texels, and so many more for each triangle."""
WIDTHS = (13, 14, 15, 16, 17, 19, 21, 24)
"""Widths that are tried, in sixteenths of the side of a square that all boxes would fill."""
ALIGN = 8
"""Pictures are multiples of so many texels wide and high: what their coder works with."""
UNITS = 64
"""Texture coordinates are multiples of this part of a texel."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A layout of charts."""

    width: int
    height: int
    uvs: NDArray[np.int64]
    """(F, 3, 2) column and row of each corner in 1/UNITS of a texel; the middle of the first texel is UNITS / 2."""


def atlas(pieces: Charts, texel: int, most: int) -> Atlas | None:
    """Lay pieces out with texels of number `texel`; None if that takes more than `most` texels or is too wide."""
    scale = 64 / TEXELS[texel]
    uvs = np.floor(pieces.places * (scale * UNITS) + 0.5).astype(np.int64)
    sizes = np.floor(pieces.boxes * scale).astype(np.int64) + 4
    area = int((sizes[:, 0] * sizes[:, 1]).sum())
    if area > most or int(sizes.max(initial=0)) > MOST_SIDE:
        return None
    low, high = _outlines(uvs, pieces.owners, sizes)
    order = np.lexsort((np.arange(len(sizes)), -sizes[:, 0], -sizes[:, 1]))
    side = np.sqrt(float(area))
    best: tuple[int, int, int] | None = None
    spots: NDArray[np.int64] | None = None
    starts = np.concatenate([[0], np.cumsum(sizes[:, 0])])
    for part in WIDTHS:
        width = max(int(side * part / 16), int(sizes[:, 0].max()), LEAST_SIDE)
        width = -(-width // ALIGN) * ALIGN
        if width > MOST_SIDE or (best is not None and width == best[2]):
            continue
        found, top = _packed(order, sizes[:, 0], starts, low, high, width)
        height = max(-(-top // ALIGN) * ALIGN, LEAST_SIDE)
        key = (width * height, max(width, height), width)
        if max(width, height) <= MOST_SIDE and (best is None or key < best):
            best, spots = key, found
    if best is None or spots is None or best[0] > most:
        return None
    uvs = uvs + (spots[pieces.owners] * UNITS + UNITS)[:, None, :] + UNITS // 2
    return Atlas(best[2], best[0] // best[2], uvs)


@compiled
def _outlines(uvs, owners, sizes):  # type: ignore[no-untyped-def]
    """Lowest and highest texel of each column of each piece, all columns in a row.

    Columns and rows are those of a piece that begins at the middle of texel 1, 1. A texel belongs to it if a triangle
    reaches to within a texel of its middle.
    """
    starts = np.zeros(len(sizes) + 1, dtype=np.int64)
    for p in range(len(sizes)):
        starts[p + 1] = starts[p] + sizes[p, 0]
    low = np.full(starts[-1], 1 << 30, dtype=np.int64)
    high = np.full(starts[-1], -1, dtype=np.int64)
    for f in range(len(uvs)):
        p = owners[f]
        width, height = sizes[p]
        for k in range(3):
            ax, ay = uvs[f, k]
            bx, by = uvs[f, (k + 1) % 3]
            if ax > bx:
                ax, ay, bx, by = bx, by, ax, ay
            # The edge within each column that it is less than a texel away from.
            for column in range(max((ax >> 6) - 1, -1), min((bx >> 6) + 2, width - 2) + 1):
                left, right = max(ax, (column - 1) * 64), min(bx, (column + 1) * 64)
                if left > right:
                    continue
                if bx > ax:
                    one = ay + (by - ay) * (left - ax) // (bx - ax)
                    other = ay + (by - ay) * (right - ax) // (bx - ax)
                else:
                    one, other = ay, by
                bottom, top = min(one, other), max(one, other)
                at = starts[p] + column + 1
                low[at] = min(low[at], max((bottom >> 6) + 1 - 1, 0))
                high[at] = max(high[at], min((top >> 6) + 1 + 1, height - 1))
    return low, high


@compiled
def _packed(order, widths, starts, low, high, width):  # type: ignore[no-untyped-def]
    """(P, 2) column and row of the pieces, and the height of all, or of those that take more than `MOST_SIDE`."""
    spots = np.zeros((len(order), 2), dtype=np.int64)
    ground = np.zeros(width, dtype=np.int64)
    highest = 0
    for p in order:
        start, size = starts[p], widths[p]
        best, least = -1, np.int64(1) << 40
        for x in range(width - size + 1):
            y = np.int64(0)
            for c in range(size):
                if high[start + c] >= 0:
                    y = max(y, ground[x + c] - low[start + c])
                    if y >= least:
                        break
            if y < least:
                best, least = x, y
        spots[p, 0], spots[p, 1] = best, least
        for c in range(size):
            if high[start + c] >= 0:
                ground[best + c] = least + high[start + c] + 1
                highest = max(highest, ground[best + c])
        if highest > MOST_SIDE:
            break
    return spots, highest
