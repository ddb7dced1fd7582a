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
    levels = [(values * known[..., None], known.astype(np.float64))]
    while max(levels[-1][1].shape) > 1:
        levels.append(_halved(*levels[-1]))
    sums, parts = levels[-1]
    result = sums / np.maximum(parts, 1e-12)[..., None]
    for sums, parts in reversed(levels[:-1]):
        result = _filled(sums, parts, result)
    return np.where(known[..., None], values, result)


@compiled
def _halved(sums, parts):  # type: ignore[no-untyped-def]
    """Sums and weights of squares of four, with full weight as soon as anything is known."""
    height, width, channels = sums.shape
    totals = np.zeros(((height + 1) // 2, (width + 1) // 2, channels))
    weights = np.zeros(totals.shape[:2])
    for row in range(height):
        for column in range(width):
            weights[row // 2, column // 2] += parts[row, column]
            for k in range(channels):
                totals[row // 2, column // 2, k] += sums[row, column, k]
    for row in range(len(weights)):
        for column in range(weights.shape[1]):
            scale = 1.0 / max(weights[row, column], 1.0)
            weights[row, column] *= scale
            for k in range(channels):
                totals[row, column, k] *= scale
    return totals, weights


@compiled
def _filled(sums, parts, coarse):  # type: ignore[no-untyped-def]
    """Twice as many values as `coarse` along both axes, linear in between, where weights leave room for them."""
    height, width, channels = sums.shape
    result = np.zeros(sums.shape)
    for row in range(height):
        up = row // 2
        # A quarter of what lies across the nearer border.
        beside = min(max(up + (1 if row % 2 else -1), 0), len(coarse) - 1)
        for column in range(width):
            left = column // 2
            next_ = min(max(left + (1 if column % 2 else -1), 0), coarse.shape[1] - 1)
            for k in range(channels):
                near = 0.75 * coarse[up, left, k] + 0.25 * coarse[beside, left, k]
                far = 0.75 * coarse[up, next_, k] + 0.25 * coarse[beside, next_, k]
                made = 0.75 * near + 0.25 * far
                result[row, column, k] = sums[row, column, k] + (1.0 - parts[row, column]) * made
    return result
