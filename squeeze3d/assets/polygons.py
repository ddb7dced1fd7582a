"""From polygons and corner attributes, as text formats have them, to indexed triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fan(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut polygons into triangles around their first corner.

    Concave polygons may overlap themselves this way; files that hold them are rare and an ear-clipping pass
    would cost more than the rest of the reader.

    Parameters
    ----------
    sizes : (P,) number of corners of each polygon, whose corners lie one after another.

    Returns
    -------
    (T, 3) positions in the corner list, and (T,) the polygon each triangle comes from. Polygons with fewer
    than three corners give no triangle.
    """
    starts = np.cumsum(sizes) - sizes
    pieces = np.maximum(sizes - 2, 0)
    polygon = np.repeat(np.arange(len(sizes)), pieces)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    first = starts[polygon]
    return np.stack([first, first + step + 1, first + step + 2], axis=1), polygon


def strips(values: NDArray[np.int64], list_sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles of triangle strips; negative values restart a strip.

    Parameters
    ----------
    values : all strips, one after another.
    list_sizes : how many values each list of the file holds; a strip never crosses lists.

    Returns
    -------
    (T, 3) vertex indices, every other triangle of a strip turned round, degenerate ones left out, and (T,)
    the list each comes from.
    """
    if len(values) < 3:
        return np.empty((0, 3), dtype=np.int64), np.empty(0, dtype=np.int64)
    which = np.repeat(np.arange(len(list_sizes)), list_sizes)
    starts = np.zeros(len(values), dtype=bool)
    starts[0] = True
    starts[1:] = (which[1:] != which[:-1]) | (values[:-1] < 0)
    position = np.arange(len(values))
    begin = np.maximum.accumulate(np.where(starts, position, 0))
    triples = np.stack([values[:-2], values[1:-1], values[2:]], axis=1)
    odd = ((position - begin)[:-2] & 1).astype(bool)
    triples[odd] = triples[odd][:, [1, 0, 2]]
    whole = (triples >= 0).all(axis=1) & (begin[:-2] == begin[2:])
    a, b, c = triples.T
    whole &= (a != b) & (b != c) & (c != a)
    return triples[whole], which[:-2][whole]


def weld(*columns: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number equal rows of several integer columns.

    Returns
    -------
    Index of the first row of each distinct kind, kinds in lexicographic order, and the kind of every row.
    """
    keys, span = _from_zero(columns[0])
    for column in columns[1:]:
        more, width = _from_zero(column)
        # One sort of joined keys is enough as long as they fit; else each side is first numbered without gaps.
        if span * width >= 1 << 63:
            keys, span = _from_zero(_unique(keys)[1])
            more, width = _from_zero(_unique(more)[1])
        keys, span = keys * width + more, span * width
    return _unique(keys)


def _from_zero(column: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """The column moved to start at 0, and how many values that spans."""
    if len(column) == 0:
        return np.empty(0, dtype=np.int64), 1
    low, high = int(column.min()), int(column.max())
    return column.astype(np.int64) - low, high - low + 1


def _unique(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
    return first, kind.reshape(-1)


def in_first_use_order(
    first: NDArray[np.int64], kind: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Renumber the result of `weld` so that kinds appear in the order of their first row."""
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[kind]


def float_keys(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int32], ...]:
    """Integer columns for `weld` that are equal exactly where the floats are; -0 counts as 0."""
    bits = np.ascontiguousarray(vectors + np.float32(0)).view(np.int32)
    return tuple(bits.T)


def unit_normals(vectors: NDArray[Any]) -> NDArray[np.float32] | None:
    """Normals of length 1, or None where all of them are zero or one is not finite.

    Vectors that are unit length within rounding stay bit for bit as they are.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    # Beyond float32 nothing is a normal, and the conversion would warn.
    if not (np.abs(wide) <= np.finfo(np.float32).max).all() or not wide.any():
        return None
    length = np.linalg.norm(wide, axis=1)
    off = (np.abs(length - 1) > 1e-3) & (length > 0)
    result: NDArray[np.float32] = wide.astype(np.float32)
    result[off] = (wide[off] / length[off, None]).astype(np.float32)
    return result


def single_precision(values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert to float32; what does not fit becomes infinite and is refused by the common validation."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)
