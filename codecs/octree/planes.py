"""Planes through occupied cells, in integers: where a surface that is known at one level goes at the next.

```text
cells around ─► count, sum, products of places ─► covariance ─► its direction of least variance ─► plane
```

The direction of least variance of a symmetric matrix is that of most variance of its adjugate. Squaring the adjugate
twice leaves little else, without eigenvalues or floating-point numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.octree.tree import BITS, OFFSETS, POPCOUNT, Nodes

UNIT = 4
"""Steps of a plane's coordinates to a cell of the level. Part of the format, like all constants here."""
LENGTH = 1 << 12
"""Length of a normal."""
DEEPEST = 6
"""Levels from a window's anchors to the nodes, at most; keeps squares of coordinates small."""
_NARROW = 28

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_Six = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]
]


@dataclass(frozen=True, eq=False)
class Planes:
    """N planes."""

    normals: NDArray[np.int32]
    """(3, N) of length `LENGTH`, or 0 where there is no plane."""
    offsets: NDArray[np.int32]
    """(N,) products of the normals and the mean of what each plane goes through."""
    spread: NDArray[np.int64]
    """(N,) variances along the normals, in 1/1024 of squared steps."""
    counts: NDArray[np.int64]
    """(N,) how much each plane goes through."""


def fit(counts: NDArray[np.int64], sums: NDArray[np.int64], products: NDArray[np.int64]) -> Planes:
    """Planes through (N,) numbers of points with (3, N) sums of coordinates and (6, N) sums of their products."""
    matrix = [counts * products[row] - sums[i] * sums[j] for row, (i, j) in enumerate(_PAIRS)]
    shift = np.maximum(_bit_length(np.maximum(np.maximum(matrix[0], matrix[3]), matrix[5])) - _NARROW, 0)
    xx, xy, xz, yy, yz, zz = (each >> shift for each in matrix)
    best: _Six = (
        yy * zz - yz * yz,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz * xz,
        xy * xz - xx * yz,
        xx * yy - xy * xy,
    )
    for _ in range(2):
        best = _squared(_narrowed(best))
    best = _narrowed(best)
    # The longest column of what is nearly a product of a vector with itself.
    x_first = (best[0] >= best[3]) & (best[0] >= best[5])
    y_first = ~x_first & (best[3] >= best[5])
    columns = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    long = [np.where(x_first, best[i], np.where(y_first, best[j], best[k])) for i, j, k in columns]
    norm = np.maximum(_square_root(long[0] * long[0] + long[1] * long[1] + long[2] * long[2]), 1)
    x, y, z = (each * LENGTH // norm for each in long)
    across = x * x * xx + y * y * yy + z * z * zz + 2 * (x * y * xy + x * z * xz + y * z * yz)
    some = np.maximum(counts, 1)
    spread = np.maximum((across >> 14) // np.maximum(some * some >> shift, 1), 0)
    offsets = (x * sums[0] + y * sums[1] + z * sums[2]) // some
    return Planes(np.stack([x, y, z]).astype(np.int32), offsets.astype(np.int32), spread, counts)


def _squared(m: _Six) -> _Six:
    return (
        m[0] * m[0] + m[1] * m[1] + m[2] * m[2],
        m[0] * m[1] + m[1] * m[3] + m[2] * m[4],
        m[0] * m[2] + m[1] * m[4] + m[2] * m[5],
        m[1] * m[1] + m[3] * m[3] + m[4] * m[4],
        m[1] * m[2] + m[3] * m[4] + m[4] * m[5],
        m[2] * m[2] + m[4] * m[4] + m[5] * m[5],
    )


def _narrowed(m: _Six) -> _Six:
    """A positive matrix with entries of 28 bits at most."""
    shift = np.maximum(_bit_length(np.maximum(np.maximum(m[0], m[3]), m[5])) - _NARROW, 0)
    return m[0] >> shift, m[1] >> shift, m[2] >> shift, m[3] >> shift, m[4] >> shift, m[5] >> shift


def _bit_length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of numbers; 0 of those that are not positive."""
    values = np.maximum(values, 0)
    result = np.zeros_like(values)
    for bits in (32, 16, 8, 4, 2, 1):
        large = values >= np.int64(1) << bits
        result += bits * large
        values = values >> bits * large
    return result + values


def _square_root(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Floor of the square root of numbers below 2**60."""
    root = np.int64(1) << (_bit_length(values) + 1 >> 1)
    # Newton's method from above; six steps are enough from less than twice the root.
    for _ in range(6):
        root = root + values // root >> 1
        root = np.maximum(root, 1)
    return root - (root * root > values)


_PLACES = UNIT * np.array(OFFSETS, dtype=np.int64)
_MOMENTS = np.stack([np.ones(27, dtype=np.int64), *_PLACES.T, *(_PLACES[:, i] * _PLACES[:, j] for i, j in _PAIRS)])


def near_planes(nodes: Nodes) -> Planes:
    """Planes through the nodes around each node, in coordinates about its middle."""
    # Whole numbers below 2**24: exact in single precision, whatever the order of the sums.
    moments = (_MOMENTS.astype(np.float32) @ (nodes.around < nodes.count).astype(np.float32)).astype(np.int64)
    return fit(moments[0], moments[1:4], moments[4:])


_CHILDREN = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.int64)
_SIDES = 2 * BITS.astype(np.int64) - 1
_SUMS = (_CHILDREN @ _SIDES).T
_PRODUCTS = np.stack([_CHILDREN @ (_SIDES[:, i] * _SIDES[:, j]) for i, j in _PAIRS])


class Window:
    """Planes through the nodes below each *anchor*, a node some levels above, and below the anchors around it.

    Parameters
    ----------
    owners : (N,) the anchor of each node.
    levels : from anchors to nodes.

    Planes have coordinates about the middle of the anchor.
    """

    def __init__(self, nodes: Nodes, anchors: Nodes, owners: NDArray[np.int32], levels: int) -> None:
        self.owners = owners
        self._anchors = anchors
        self._width = UNIT << levels
        cells = nodes.cells - (anchors.cells[:, owners] << levels)
        self.places: NDArray[np.int64] = (UNIT * cells + (UNIT - self._width) // 2).astype(np.int64)
        """(3, N) middle of each node about that of its anchor."""

    def planes(self, masks: NDArray[np.uint16] | None = None) -> Planes:
        """One plane for each anchor, through the middles of nodes; of those whose (N,) masks are known, below 256,
        through the middles of their children.
        """
        at = self.places
        if masks is None:
            own = [np.ones(at.shape[1], dtype=np.int64), *at, *(at[i] * at[j] for i, j in _PAIRS)]
        else:
            known = masks < 256
            masks = np.where(known, masks, 0)
            number = np.where(known, POPCOUNT[masks], 1).astype(np.int64)
            moved = _SUMS[:, masks]
            own = [number, *(number * at + moved)]
            own += [
                number * at[i] * at[j] + at[i] * moved[j] + at[j] * moved[i] + _PRODUCTS[row][masks]
                for row, (i, j) in enumerate(_PAIRS)
            ]
        return self._gathered(own)

    def _gathered(self, own: list[NDArray[np.int64]]) -> Planes:
        """Planes from what each node counts, sums and multiplies."""
        count, width = self._anchors.count, self._width
        sums = np.zeros((count + 1, len(own)))
        for column, values in enumerate(own):
            sums[:count, column] = np.bincount(self.owners, values, count)
        total = np.zeros((count, len(own)))
        # What lies around an anchor has its place about another one: by how much of it lies to each side.
        shifted = np.zeros((3, count, 4))
        twice = np.zeros((6, count))
        for offset, around in zip(OFFSETS, self._anchors.around, strict=True):
            found = sums[around]
            total += found
            for axis, step in enumerate(offset):
                if step:
                    shifted[axis] += step * found[:, :4]
            for row, (i, j) in enumerate(_PAIRS):
                if offset[i] * offset[j]:
                    twice[row] += offset[i] * offset[j] * found[:, 0]
        exact = total.T.astype(np.int64)
        moved, double = shifted.transpose(0, 2, 1).astype(np.int64), twice.astype(np.int64)
        first = exact[1:4] + width * moved[:, 0]
        second = np.stack(
            [
                exact[4 + row] + width * (moved[i, 1 + j] + moved[j, 1 + i]) + width * width * double[row]
                for row, (i, j) in enumerate(_PAIRS)
            ]
        )
        return fit(exact[0], first, second)
