"""The inner loop of `render.field`, compiled: one ray after another through a grid of densities and colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled

DARK = np.float32(1e-4)
"""Rays end where less light than this would come through."""


@compiled
def march(
    origin: NDArray[np.float32],
    direction: NDArray[np.float32],
    span: NDArray[np.float32],
    step: NDArray[np.float32],
    optical: NDArray[np.float32],
    padded: NDArray[np.float32],
    distance: NDArray[np.int32],
    colour: NDArray[np.float32],
    light: NDArray[np.float32],
    depth: NDArray[np.float32],
) -> None:
    """Emission and absorption along N rays, added to `colour`, `light` and `depth`.

    Parameters
    ----------
    origin, direction : (N, 3) in cells; lengths along rays are depths.
    span : (N, 2) depths at which rays enter and leave the box.
    step : (N,) depth between samples, half a cell or less.
    optical : (N,) optical thickness of density 1 along depth 1.
    padded : (X + 2, Y + 2, Z + 2, 4) colour times density, and density, with a border of one cell.
    distance : (X, Y, Z) cells of nothing around each cell; 0 where something may be seen.
    colour, light, depth : (N, 3) light that is emitted, (N,) part that comes through and (N,) mean depth times opacity.
    """
    nx, ny, nz = distance.shape
    one = np.float32(1)
    half = np.float32(0.5)
    value = np.empty(4, dtype=np.float32)
    for ray in range(len(origin)):
        enter, leave = span[ray, 0], span[ray, 1]
        if not leave > enter:
            continue
        last = int(np.ceil((leave - enter) / step[ray])) - 1
        number = 0
        through = one
        while number <= last:
            near = np.float32(enter + np.float32(number) * step[ray])
            width = min(step[ray], leave - near)
            middle = np.float32(near + width * half)
            x = np.float32(origin[ray, 0] + direction[ray, 0] * middle)
            y = np.float32(origin[ray, 1] + direction[ray, 1] * middle)
            z = np.float32(origin[ray, 2] + direction[ray, 2] * middle)
            free = distance[
                min(max(int(x), 0), nx - 1),
                min(max(int(y), 0), ny - 1),
                min(max(int(z), 0), nz - 1),
            ]
            if free > 0:
                # Half a cell a sample: `free` cells of nothing around a sample are 2 * free - 1 samples to skip to.
                number += 2 * free - 1
                continue
            number += 1
            # Samples sit at the centres of cells, and the border shifts indices by one.
            x = min(max(x, np.float32(0)), np.float32(nx)) + half
            y = min(max(y, np.float32(0)), np.float32(ny)) + half
            z = min(max(z, np.float32(0)), np.float32(nz)) + half
            i, j, k = min(int(x), nx), min(int(y), ny), min(int(z), nz)
            fx, fy, fz = np.float32(x - i), np.float32(y - j), np.float32(z - k)
            value[:] = 0
            for dx in range(2):
                wx = fx if dx else one - fx
                for dy in range(2):
                    wxy = wx * (fy if dy else one - fy)
                    for dz in range(2):
                        weight = wxy * (fz if dz else one - fz)
                        for channel in range(4):
                            value[channel] += weight * padded[i + dx, j + dy, k + dz, channel]
            density = value[3]
            if not density > 0:
                continue
            opacity = np.float32(-np.expm1(-density * width * optical[ray]))
            share = through * opacity
            for channel in range(3):
                colour[ray, channel] += share * (value[channel] / density)
            depth[ray] += share * middle
            through *= one - opacity
            if not through > DARK:
                break
        light[ray] = through
