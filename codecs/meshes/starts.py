"""Which triangles an encoder starts from: a decoder takes any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.compiled import compiled
from squeeze3d.geometry.disjoint import join, root


def order_starts(triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """(F,) order of (F, 3) triangles, as 3 * index + first corner.

    Pieces come from left to right, as the first corner of a start is coded by its distance to the one before. Each is
    entered by its smallest triangle: the second and third corner of a start cost most.
    """
    if not len(triangles):
        return np.zeros(0, dtype=np.int64)
    piece = np.unique(_pieces(triangles, len(cells)), return_inverse=True)[1].reshape(-1)
    corners = cells[triangles]
    around = np.abs(corners - corners[:, [1, 2, 0]]).sum(axis=(1, 2))
    first = corners[:, :, 0].argmin(axis=1)
    left = corners[np.arange(len(triangles)), first, 0]
    by_size = np.lexsort((around, piece))
    heads = by_size[np.unique(piece[by_size], return_index=True)[1]]
    order = np.lexsort((np.arange(len(triangles)), around, piece, left[heads][piece]))
    result: NDArray[np.int64] = 3 * order + first[order]
    return result


@compiled
def _pieces(triangles, count):  # type: ignore[no-untyped-def]
    """(F,) smallest vertex that each triangle is connected with."""
    parent = np.arange(count)
    for f in range(len(triangles)):
        for k in range(1, 3):
            join(parent, triangles[f, 0], triangles[f, k])
    result = np.empty(len(triangles), np.int64)
    for f in range(len(triangles)):
        result[f] = root(parent, triangles[f, 0])
    return result
