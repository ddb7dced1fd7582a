"""Which triangles an encoder starts from: a decoder takes any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def order_starts(triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """(F,) order of (F, 3) triangles, as 3 * index + first corner.

    Pieces come from left to right, as the first corner of a start is coded by its distance to the one before. Each is
    entered by its smallest triangle: the second and third corner of a start cost most.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(triangles):
        return np.zeros(0, dtype=np.int64)
    count = len(cells)
    a, b = triangles[:, [0, 1]].reshape(-1), triangles[:, [1, 2]].reshape(-1)
    _, labels = connected_components(
        coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count)), directed=False
    )
    # Vertices that no triangle uses are pieces of their own.
    piece = np.unique(labels[triangles[:, 0]], return_inverse=True)[1].reshape(-1)
    corners = cells[triangles]
    around = np.abs(corners - corners[:, [1, 2, 0]]).sum(axis=(1, 2))
    first = corners[:, :, 0].argmin(axis=1)
    left = corners[np.arange(len(triangles)), first, 0]
    by_size = np.lexsort((around, piece))
    heads = by_size[np.unique(piece[by_size], return_index=True)[1]]
    order = np.lexsort((np.arange(len(triangles)), around, piece, left[heads][piece]))
    result: NDArray[np.int64] = 3 * order + first[order]
    return result
