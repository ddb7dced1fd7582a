"""Colours of cells that make what is read closest to what should be seen: weighted least squares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.aims import CellAims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.search import ColourSearch
from squeeze3d.codecs.lite.structure import structure_bits
from squeeze3d.codecs.surface_colours.layout import RESOLUTIONS, Kind, Layout, box_of
from squeeze3d.codecs.surface_colours.reading import numbers, weights_at
from squeeze3d.codecs.surface_colours.samples import Samples
from squeeze3d.codecs.surface_colours.stream import cells_of

STEPS = 3
"""Steps towards the least squares. Means alone are up to 1.4 dB worse: reading blurs, and a fit makes up for it. Many
steps sharpen what nobody sees and costs bytes."""
LEAST = 1e-3
"""Cells with less than this part of the mean weight are free."""
UNSEEN = 0.05
"""Samples that count less than this part of the mean name no cell. Such cells read from their neighbours."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A layout with the colours that suit it."""

    layout: Layout
    blocks: NDArray[np.bool_] | None
    full: Hierarchy
    rgb: NDArray[np.float64]
    """(M, 3) sRGB in [0, 255]."""
    weights: NDArray[np.float64]
    """(M,)."""
    overhead: float
    """Bytes of everything but colours."""
    search: ColourSearch


def fit(samples: Samples, kind: Kind, grid: int, split: int, half_extent: float) -> Fit:
    """Lay out cells for samples and fit their colours."""
    layout = Layout(kind, grid, *box_of(samples.points, RESOLUTIONS[grid], half_extent), split)
    blocks = _blocks(layout, samples, half_extent) if kind is Kind.VOLUME else None
    full = Hierarchy(cells_of(layout, blocks), Limits())
    weights = weights_at(
        layout, numbers(full.levels[-1]), layout.coordinates(samples.points, half_extent), samples.normals
    )
    from scipy.sparse import csr_array

    count = len(samples.points)
    rows = np.repeat(np.arange(count), weights.cells.shape[1])
    reads = csr_array(
        (weights.shares.reshape(-1), (rows, weights.cells.reshape(-1))), shape=(count, full.count), dtype=np.float64
    )
    rgb, importance = _solve(reads, samples)
    head: float = 1 + 3 + 6 * RESOLUTIONS[grid].bit_length() + 16
    if blocks is not None:
        head += 2 + structure_bits(blocks)
    return Fit(layout, blocks, full, rgb, importance, head / 8, ColourSearch(full, CellAims(full, rgb, importance)))


def _blocks(layout: Layout, samples: Samples, half_extent: float) -> NDArray[np.bool_]:
    """Blocks to send. Single cells: those that hold a sample. Larger blocks: all that a sample reads; what else is in
    them is free for the coder.
    """
    from scipy.ndimage import binary_fill_holes

    seen = samples.weights > UNSEEN / len(samples.weights)
    places = layout.coordinates(samples.points[seen], half_extent)
    flags = np.zeros(layout.blocks, dtype=bool)
    last = np.array(layout.size) - 1
    for offset in itertools.product((0.0,) if layout.split == 0 else (-0.5, 0.5), repeat=3):
        near = np.floor(places + 0.5 + np.array(offset)).astype(np.int64)
        x, y, z = (np.clip(near, 0, last) >> layout.split).T
        flags[x, y, z] = True
    filled = binary_fill_holes(flags)
    # A solid is often cheaper to say than a shell, and its inside is free.
    return filled if structure_bits(filled) < structure_bits(flags) else flags


def _solve(reads: Any, samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    back = reads.T.tocsr()
    total = back @ samples.weights
    scale = 1 / np.maximum(total, 1e-300)
    colours = scale[:, None] * (back @ (samples.weights[:, None] * samples.rgb))
    for _ in range(STEPS):
        missing = samples.rgb - reads @ colours
        colours = np.clip(colours + scale[:, None] * (back @ (samples.weights[:, None] * missing)), 0, 255)
    mean = total.sum() / max(1, int(np.count_nonzero(total)))
    return colours, np.where(total < LEAST * mean, 0.0, total)
