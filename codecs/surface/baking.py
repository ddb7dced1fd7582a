"""Colours of the original in the texels of an atlas, and something smooth where it shows no surface.

```text
atlas ─► samples of each texel ─► colours of the original ─► means ─► smooth between the pieces ─► pixels
```
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.atlas import UNITS, Atlas
from squeeze3d.compiled import compiled

Colours = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]
"""(N, 3) sRGB in byte levels at triangles and barycentric coordinates."""
EDGE = 1e-3
"""Weight of a triangle's middle in its texel: decides only where no sample lies in the triangle."""


def bake(layout: Atlas, colours: Colours, samples: int) -> NDArray[np.float64]:
    """(H, W, 3) colours of all texels, in byte levels.

    Parameters
    ----------
    samples : per texel and direction.
    """
    faces = _inside(layout.uvs, layout.width * samples, layout.height * samples, UNITS // samples)
    rows, columns = np.nonzero(faces >= 0)
    hit = faces[rows, columns]
    spots = np.stack([columns, rows], axis=1) * (UNITS // samples) + UNITS // (2 * samples)
    corners = layout.uvs[hit].astype(np.float64)
    weights = _barycentric(corners, spots.astype(np.float64))
    texels = rows // samples * layout.width + columns // samples
    # The middles of all triangles: some are smaller than a texel.
    every = np.arange(len(layout.uvs))
    middle = layout.uvs.mean(axis=1) // UNITS
    hit = np.concatenate([hit, every])
    weights = np.concatenate([weights, np.full((len(every), 3), 1 / 3)])
    texels = np.concatenate([texels, (middle[:, 1] * layout.width + middle[:, 0]).astype(np.int64)])
    amount = np.concatenate([np.ones(len(rows)), np.full(len(every), EDGE)])
    found = colours(hit, weights)
    count = layout.width * layout.height
    total = np.bincount(texels, amount, count)
    sums = np.stack([np.bincount(texels, amount * found[:, k], count) for k in range(3)], axis=1).astype(np.float64)
    means = sums / np.maximum(total, 1e-12)[:, None]
    shape = layout.height, layout.width
    return spread(means.reshape(*shape, 3), (total > 0).reshape(shape))


@compiled
def _inside(uvs, width, height, unit):  # type: ignore[no-untyped-def]
    """(height, width) a triangle around each sample, -1 where there is none. Samples are `unit` apart."""
    faces = np.full((height, width), -1, dtype=np.int64)
    for f in range(len(uvs)):
        ax, ay = uvs[f, 0]
        bx, by = uvs[f, 1]
        cx, cy = uvs[f, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        sign = 1 if area > 0 else -1
        left, right = max(min(ax, bx, cx) // unit, 0), min(max(ax, bx, cx) // unit, width - 1)
        top, bottom = max(min(ay, by, cy) // unit, 0), min(max(ay, by, cy) // unit, height - 1)
        for row in range(top, bottom + 1):
            y = row * unit + unit // 2
            for column in range(left, right + 1):
                x = column * unit + unit // 2
                if (
                    sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) >= 0
                    and sign * ((cx - bx) * (y - by) - (cy - by) * (x - bx)) >= 0
                    and sign * ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) >= 0
                ):
                    faces[row, column] = f
    return faces


def _barycentric(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) coordinates of (N, 2) points in (N, 3, 2) triangles."""
    u, v, w = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    second = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / area
    third = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / area
    return np.stack([1 - second - third, second, third], axis=1)


def spread(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W, C) values with those that are not known made up from what is around: smooth, so that they cost little.

    Means of ever larger squares, then back from the largest (a pull-push pyramid, Gortler et al. 1996).
    """
    weight = known.astype(np.float64)[..., None]
    levels = [(values * weight, weight)]
    while max(levels[-1][0].shape[:2]) > 1:
        sums, parts = levels[-1]
        rows, columns = (-len(sums)) % 2, (-sums.shape[1]) % 2
        pad = ((0, rows), (0, columns), (0, 0))
        total = [
            np.pad(a, pad).reshape((len(a) + rows) // 2, 2, (a.shape[1] + columns) // 2, 2, -1).sum(axis=(1, 3))
            for a in (sums, parts)
        ]
        # Full weight as soon as anything is known.
        scale = np.minimum(1.0, 1.0 / np.maximum(total[1], 1e-12))
        levels.append((total[0] * scale, total[1] * scale))
    result = levels[-1][0] / np.maximum(levels[-1][1], 1e-12)
    for sums, parts in reversed(levels[:-1]):
        height, width = sums.shape[:2]
        finer = _doubled(_doubled(result, 0)[:height], 1)[:, :width]
        result = sums + (1 - parts) * finer
    return np.where(known[..., None], values, result)


def _doubled(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Twice as many along an axis, linear in between."""
    moved = np.moveaxis(values, axis, 0)
    before = np.concatenate([moved[:1], moved[:-1]])
    after = np.concatenate([moved[1:], moved[-1:]])
    both = np.stack([0.75 * moved + 0.25 * before, 0.75 * moved + 0.25 * after], axis=1)
    return np.moveaxis(both.reshape(-1, *moved.shape[1:]), 0, axis)
