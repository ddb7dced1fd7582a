"""Learn the initial counts of `priors.py` from coloured meshes.

Run `python -m squeeze3d.codecs.colour.fit_priors FOLDER [EVERY]`; it looks at every EVERY-th mesh of the folder from 14
sides, puts what is seen into grids of two sizes, codes the colours with settings from fine to coarse, and prints the
tables. New numbers are a new stream version: they are part of the format.

A row's counts are the Dirichlet distribution under which the symbols of all objects are most likely (Minka 2000): where
objects agree the counts are large and adapt slowly, where they differ small.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import Mesh, load
from squeeze3d.bitstream.entropy import INCREMENT
from squeeze3d.codecs.colour import priors
from squeeze3d.codecs.colour.aims import CellAims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.codecs.colour.lookup import cell_means
from squeeze3d.codecs.colour.model import encode_cells
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings
from squeeze3d.errors import Sq3Error
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import Surface, flatten

RESOLUTIONS = (29, 61)
"""Cells along the longest axis."""
RAYS = 96
"""Rays along the diameter of an object."""
STRENGTH = 64.0
"""How many symbols a row's prior is worth, at most."""
PALETTES = tuple(
    ColourSettings(ColourMode.PALETTE, entries=entries, smoothness=smoothness)
    for entries in (2, 4, 8, 16)
    for smoothness in (0.0, 400.0, 1500.0)
)
PYRAMIDS = (
    *(ColourSettings(step=step) for step in (10, 20, 40)),
    *(ColourSettings(ColourMode.SUM, entries=entries, smoothness=1500.0, step=28) for entries in (2, 6)),
)
FLAT = 12.0
"""Objects that eight entries show with a smaller squared error teach nothing about pyramids: none is used for them."""

Counts = dict[tuple[int, ...], NDArray[np.float64]]
"""Occurrences in each table, by the shape of the table: no two shapes are alike."""


def seen_points(surface: Surface) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points seen from 14 sides, (N, 3) in [0, extent], their (N, 3) sRGB in [0, 255], and (3,) extents <= 1."""
    low, high = surface.bounds
    longest = float((high - low).max())
    extents = (high - low) / longest
    query = SurfaceQuery((surface.positions - low) / longest, surface.triangles)
    radius = float(np.linalg.norm(extents)) / 2
    ticks = (np.arange(RAYS) + 0.5) / RAYS * 2 * radius - radius
    across, up = (axis.reshape(-1, 1) for axis in np.meshgrid(ticks, ticks))
    points, colours = [], []
    for direction in itertools.product((-1.0, 0.0, 1.0), repeat=3):
        if np.count_nonzero(direction) not in (1, 3):
            continue
        forward = np.array(direction) / np.linalg.norm(direction)
        right = np.cross(forward, np.roll(forward, 1) + np.array([0.1, 0.2, 0.3]))
        right /= np.linalg.norm(right)
        origins = extents / 2 - forward * (radius + 0.1) + across * right + up * np.cross(forward, right)
        hits, length = query.cast(np.concatenate([origins, np.broadcast_to(forward, origins.shape)], axis=1))
        hit = np.isfinite(length)
        footprint = np.full(np.count_nonzero(hit), longest * 2 * radius / RAYS)
        colours.append(surface.colours_at(hits.faces[hit], hits.weights[hit], footprint)[:, :3] * 255.0)
        points.append(hits.points[hit])
    return np.concatenate(points), np.concatenate(colours), extents


def grids(surface: Surface) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float64]]]:
    """Occupied cells, colours and weights of a surface at each resolution."""
    points, colours, extents = seen_points(surface)
    for resolution in RESOLUTIONS:
        cells = np.maximum(1, np.rint(extents * resolution).astype(np.int64))
        shape: tuple[int, int, int] = tuple((cells + 1).tolist())
        yield cell_means(points / np.maximum(extents, 1e-9) * cells, colours, shape)


def count_symbols(
    occupied: NDArray[np.bool_], colours: NDArray[np.uint8], weights: NDArray[np.float64]
) -> Iterator[Counts]:
    """Occurrences for each of the settings that suit the colours."""
    full = Hierarchy(occupied)
    aims = CellAims(full, colours, weights)
    flat = False
    for settings in (*PALETTES, *PYRAMIDS):
        if flat and settings.mode.has_pyramid:
            continue
        counter = CodeLength()
        shown = encode_cells(counter, full, aims, settings).rgb.astype(float)
        if settings == ColourSettings(ColourMode.PALETTE, entries=8):
            flat = float((weights @ (shown - colours) ** 2).mean() / weights.sum()) < FLAT
        yield {tables.counts.shape: counts.astype(float) for tables, counts in counter.occurrences.values()}


def prior(samples: NDArray[np.float64]) -> NDArray[np.int64]:
    """(R, K) integer counts from (S, R, K) occurrences in S streams."""
    from scipy.special import digamma

    total = samples.sum(axis=0)
    mean = total.sum(axis=0) / total.sum()
    # A weak witness for every row: those never seen follow the mean of all.
    witness = np.broadcast_to(4 * mean, total.shape)[None]
    samples = np.concatenate([samples, witness])
    sums = samples.sum(axis=2)
    start = samples.sum(axis=0)
    alpha = 4.0 * start / start.sum(axis=1, keepdims=True) + 1e-3
    for _ in range(200):
        whole = alpha.sum(axis=1)
        up = (digamma(samples + alpha) - digamma(alpha)).sum(axis=0)
        down = (digamma(sums + whole) - digamma(whole)).sum(axis=0)
        alpha = np.maximum(alpha * up / np.maximum(down, 1e-12)[:, None], 1e-3)
        alpha *= np.minimum(1.0, STRENGTH / alpha.sum(axis=1, keepdims=True))
    return np.maximum(1, np.rint(alpha * INCREMENT)).astype(np.int64)


def fit(counts: list[Counts]) -> dict[str, NDArray[np.int64]]:
    """All tables of `priors.py`."""
    result = {}
    for name in ("ZERO_PRIOR", "SIGN_PRIOR", "MAGNITUDE_PRIOR", "FIRST_PRIOR", "SECOND_PRIOR"):
        shape = np.asarray(getattr(priors, name)).shape
        result[name] = prior(np.stack([sample[shape] for sample in counts if shape in sample]))
    return result


def main() -> None:
    """Print the tables for a folder of meshes."""
    paths = sorted(Path(sys.argv[1]).glob("*.glb"))
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    counts: list[Counts] = []
    for path in paths[::every]:
        try:
            asset = load(path)
            assert isinstance(asset, Mesh)
            for occupied, colours, weights in grids(flatten(asset)):
                if (np.ptp(colours, axis=0) > 8).any():  # One colour for all teaches nothing.
                    counts.extend(count_symbols(occupied, colours, weights))
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)
    for name, table in fit(counts).items():
        print(f"{name} = [")
        rows = 12 // table.shape[1]
        for start in range(0, len(table), rows):
            print("    " + " ".join(f"{row}," for row in table[start : start + rows].tolist()))
        print("]")


if __name__ == "__main__":
    main()
