"""Palettes: a few colours that stand for all, and a label for each cell.

k-means in sRGB with weights, started from the colours farthest from those already chosen (no randomness); then labels
are smoothed: a label that differs from its neighbours must pay for the bits it costs (iterated conditional modes,
Besag 1986).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.cells import OFFSETS, PASSES, Level

PALETTE_BITS = 6
"""Bits per channel of a palette entry."""
_ROUNDS = 10
_SMOOTHING_ROUNDS = 3
_NEAR = np.array([{0: 0.0, 1: 1.0, 2: 0.5, 3: 0.5}[int(np.abs(offset).sum())] for offset in OFFSETS])
_LARGEST_SAMPLE = 4096


def quantise_channels(rgb: NDArray[np.number], bits: int) -> NDArray[np.int64]:
    """Turn sRGB in [0, 255] into integers of `bits` bits; 0 and 255 are kept."""
    largest = (1 << bits) - 1
    return np.clip(np.rint(np.asarray(rgb, dtype=np.float64) * largest / 255), 0, largest).astype(np.int64)


def dequantise_channels(codes: NDArray[np.integer], bits: int) -> NDArray[np.int64]:
    """Inverse of `quantise_channels` up to rounding; integers in [0, 255]."""
    largest = (1 << bits) - 1
    values: NDArray[np.int64] = (np.asarray(codes, dtype=np.int64) * 510 + largest) // (2 * largest)
    return values


def fit_palette(
    level: Level, colours: NDArray[np.float64], weights: NDArray[np.float64], entries: int, smoothness: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Palette codes (K, 3), K <= entries, most used first, and (N,) labels.

    Parameters
    ----------
    colours, weights : (N, 3) sRGB in [0, 255] and (N,) importance of the cells of `level`.
    smoothness : squared error (all channels, at mean weight) that a differing face neighbour is worth.
    """
    codes = np.unique(quantise_channels(_means(colours, weights, entries), PALETTE_BITS), axis=0)
    labels, palette = _labelled(level, colours, weights, codes, smoothness)
    # Smoothing moves cells to other entries: let the entries follow, once.
    codes = np.unique(quantise_channels(_centres(colours, weights, labels, palette), PALETTE_BITS), axis=0)
    labels, _ = _labelled(level, colours, weights, codes, smoothness)
    importance = np.bincount(labels, weights, len(codes))
    order = np.array(sorted(set(labels.tolist()), key=lambda label: (-importance[label], label)), dtype=np.int64)
    rank = np.zeros(len(codes), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return codes[order], rank[labels]


def _labelled(
    level: Level,
    colours: NDArray[np.float64],
    weights: NDArray[np.float64],
    codes: NDArray[np.int64],
    smoothness: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(N,) labels, and the (K, 3) colours they stand for."""
    palette = dequantise_channels(codes, PALETTE_BITS).astype(np.float64)
    return _smoothed(level, _errors(colours, palette) * _relative(weights)[:, None], smoothness), palette


def _relative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    counted = weights > 0
    return weights / max(float(weights[counted].mean()) if counted.any() else 1.0, 1e-300)


def _errors(colours: NDArray[np.float64], palette: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) squared distances, summed over channels."""
    dots = colours @ palette.T
    errors: NDArray[np.float64] = (colours**2).sum(axis=1)[:, None] - 2 * dots + (palette**2).sum(axis=1)
    return np.maximum(errors, 0.0)


def _centres(
    colours: NDArray[np.float64],
    weights: NDArray[np.float64],
    labels: NDArray[np.int64],
    fallback: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(K, 3) weighted mean of the colours with each label."""
    total = np.bincount(labels, weights, len(fallback))
    sums = np.stack([np.bincount(labels, weights * column, len(fallback)) for column in colours.T], axis=1)
    return np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1.0)[:, None], fallback)


def _means(colours: NDArray[np.float64], weights: NDArray[np.float64], entries: int) -> NDArray[np.float64]:
    """(K, 3) k-means centres."""
    stride = -(-len(colours) // _LARGEST_SAMPLE)
    colours, weights = colours[::stride], weights[::stride]
    if not weights.any():
        weights = np.ones_like(weights)
    mean = (colours * weights[:, None]).sum(axis=0) / weights.sum()
    centres = colours[[int(_errors(colours, mean[None])[:, 0].argmin())]]
    nearest = _errors(colours, centres)[:, 0]
    while len(centres) < entries:
        farthest = int((nearest * weights).argmax())
        if not nearest[farthest] > 0:
            break
        centres = np.concatenate([centres, colours[[farthest]]])
        nearest = np.minimum(nearest, _errors(colours, centres[-1:])[:, 0])
    for _ in range(_ROUNDS):
        centres = _centres(colours, weights, _errors(colours, centres).argmin(axis=1), centres)
    return centres


def _smoothed(level: Level, errors: NDArray[np.float64], smoothness: float) -> NDArray[np.int64]:
    """(N,) labels that minimise error plus `smoothness` for each differing neighbour, one pass after the other."""
    labels = errors.argmin(axis=1)
    count, entries = errors.shape
    if smoothness <= 0 or entries == 1:
        return labels
    for _ in range(_SMOOTHING_ROUNDS):
        for parity in range(PASSES):
            cells = level.passes[parity]
            if len(cells) == 0:
                continue
            around = level.neighbours[cells]
            weights = np.where(around < count, _NEAR, 0.0)
            slots = np.arange(len(cells))[:, None] * entries + np.append(labels, 0)[around]
            agreement = np.bincount(slots.reshape(-1), weights.reshape(-1), len(cells) * entries)
            labels[cells] = (errors[cells] - smoothness * agreement.reshape(-1, entries)).argmin(axis=1)
    return labels
