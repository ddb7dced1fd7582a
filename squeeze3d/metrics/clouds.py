"""What the point-cloud metrics share: checked and sorted clouds, nearest neighbours with a fixed rule for ties.

Voxelised and quantised clouds are full of points at equal distances. Which of them a k-d tree names first depends on
how it was built, and scores would depend on that. Here the order is fixed: clouds are sorted by x, then y, then z, and
of two points at equal distance the one that sorts first comes first. A score therefore never depends on the order of
the points in a file, unless points coincide.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.errors import InputError

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Extra neighbours asked for at first. They show whether the last wanted place is tied, and settle most ties.
_SPARE = 4
# Distances or pairs held at a time. Bounds the memory, changes no result.
_CHUNK = 1 << 20


def threads() -> int:
    """Threads for neighbour searches. Results do not depend on it."""
    return min(8, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class SortedCloud:
    """A checked cloud, its points sorted by x, then y, then z; coincident points keep the order of the file."""

    positions: Floats
    """(N, 3)."""
    colours: NDArray[np.uint8] | None
    """(N, 3) display RGB."""
    normals: Floats | None
    """(N, 3) as given: neither normalised nor checked."""
    order: Integers
    """(N,) row of the original cloud."""
    starts: Integers
    """(U,) first row of each distinct position."""

    @cached_property
    def counts(self) -> Integers:
        """(U,) points at each distinct position."""
        return np.diff(self.starts, append=len(self.positions))

    @cached_property
    def tree(self) -> cKDTree:
        """Tree over the distinct positions."""
        from scipy.spatial import cKDTree

        return cKDTree(self.positions[self.starts])

    def __len__(self) -> int:
        return len(self.positions)


def sort_cloud(cloud: PointCloud, name: str, *, by_colour: bool = False) -> SortedCloud:
    """Check a cloud and sort it.

    Parameters
    ----------
    name : what messages call the cloud.
    by_colour : sort coincident points by colour, so that the order of the file has no influence at all.

    Raises
    ------
    InputError : no points, positions that are NaN or infinite, attributes of the wrong length, colours that are not
        bytes (floats in [0, 1] would all read as black).
    """
    positions = np.asarray(cloud.positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"the {name} cloud: positions have shape {positions.shape}, not (N, 3)")
    if len(positions) == 0:
        raise InputError(f"the {name} cloud has no points")
    bad = int((~np.isfinite(positions).all(axis=1)).sum())
    if bad:
        raise InputError(
            f"the {name} cloud: {bad} of {len(positions)} points have positions that are NaN or infinite",
            hint="remove these points before measuring",
        )
    colours, normals = cloud.colours, cloud.normals
    if colours is not None:
        if colours.ndim != 2 or len(colours) != len(positions) or colours.shape[1] not in (3, 4):
            raise InputError(f"the {name} cloud: colours have shape {colours.shape} for {len(positions)} points")
        if colours.dtype != np.uint8:
            raise InputError(f"the {name} cloud: colours are {colours.dtype}, not bytes from 0 to 255")
    if normals is not None and normals.shape != positions.shape:
        raise InputError(f"the {name} cloud: normals have shape {normals.shape} for {len(positions)} points")

    keys: list[NDArray[Any]] = [positions[:, 2], positions[:, 1], positions[:, 0]]
    if by_colour and colours is not None:
        keys = [colours[:, 2], colours[:, 1], colours[:, 0], *keys]
    order = np.lexsort(keys)
    ordered = positions[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return SortedCloud(
        positions=ordered,
        colours=None if colours is None else np.ascontiguousarray(colours[order, :3]),
        normals=None if normals is None else np.asarray(normals, dtype=np.float64)[order],
        order=order,
        starts=np.flatnonzero(new),
    )


def fuse(cloud: SortedCloud, *, round_down: bool = False) -> SortedCloud:
    """One point for each distinct position.

    Colours are averaged and rounded half up, or down to the next byte. The normal is that of the first point.
    """
    starts, counts = cloud.starts, cloud.counts
    if len(starts) == len(cloud):
        return cloud
    colours = cloud.colours
    if colours is not None:
        sums = np.add.reduceat(colours.astype(np.int64), starts, axis=0)
        half = 0 if round_down else counts[:, None]
        colours = ((2 * sums + half) // (2 * counts[:, None])).astype(np.uint8)
    return SortedCloud(
        positions=cloud.positions[starts],
        colours=colours,
        normals=None if cloud.normals is None else cloud.normals[starts],
        order=cloud.order[starts],
        starts=np.arange(len(starts)),
    )


def nearest(cloud: SortedCloud, points: Floats, count: int) -> tuple[Integers, Floats]:
    """The `count` nearest points of the cloud to each point: by distance, then by row.

    Returns
    -------
    rows : (P, K) rows of the sorted cloud, K = min(count, points in the cloud).
    squared : (P, K) squared distances.
    """
    count = min(count, len(cloud))
    return _nearest(cloud, points, count, min(count + _SPARE, len(cloud.starts)))


def _nearest(cloud: SortedCloud, points: Floats, count: int, asked: int) -> tuple[Integers, Floats]:
    """`nearest` from the `asked` nearest distinct positions; asks for more where a tie may go on beyond them."""
    distinct = len(cloud.starts)
    last = min(count, distinct) - 1
    rows = np.empty((len(points), count), dtype=np.int64)
    squared = np.empty((len(points), count))
    for part in _parts(len(points), asked):
        found, distance = _query(cloud, points[part], asked)
        rows[part], squared[part] = _expand(cloud, found, distance, count)
        if asked < distinct:
            tied = np.flatnonzero(distance[:, last] * (1 + 1e-12) >= distance[:, -1])
            if len(tied):
                again = part.start + tied
                rows[again], squared[again] = _nearest(cloud, points[again], count, min(2 * asked, distinct))
    return rows, squared


def _parts(total: int, width: int) -> Iterator[slice]:
    step = max(1, _CHUNK // width)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def _query(cloud: SortedCloud, points: Floats, asked: int) -> tuple[Integers, Floats]:
    """(P, asked) distinct positions, by squared distance and then by rank, and the squared distances."""
    _, found = cloud.tree.query(points, k=asked, workers=threads())
    found = np.asarray(found, dtype=np.int64).reshape(len(points), asked)
    # The tree returns roots. Squares from the coordinates keep ties between lattice points exact.
    squared = squared_distances(points[:, None, :], cloud.positions[cloud.starts[found]])
    by_rank = np.argsort(found, axis=1)
    squared = np.take_along_axis(squared, by_rank, axis=1)
    by_distance = np.argsort(squared, axis=1, kind="stable")
    found = np.take_along_axis(np.take_along_axis(found, by_rank, axis=1), by_distance, axis=1)
    return found, np.take_along_axis(squared, by_distance, axis=1)


def _expand(cloud: SortedCloud, found: Integers, squared: Floats, count: int) -> tuple[Integers, Floats]:
    """From distinct positions to points: a position that holds several points takes several places."""
    if len(cloud.starts) == len(cloud):
        return found[:, :count], squared[:, :count]
    ends = np.cumsum(cloud.counts[found], axis=1)
    places = np.arange(count)
    # Place s belongs to the first position whose points reach beyond s.
    which = np.zeros((len(found), count), dtype=np.int64)
    for column in range(found.shape[1]):
        which += ends[:, column, None] <= places
    position = np.take_along_axis(found, which, axis=1)
    before = np.take_along_axis(ends, which, axis=1) - cloud.counts[position]
    return cloud.starts[position] + places - before, np.take_along_axis(squared, which, axis=1)


def squared_distances(first: Floats, second: Floats) -> Floats:
    """Squared lengths of `first - second` along the last axis, added in the order x, y, z."""
    x = first[..., 0] - second[..., 0]
    y = first[..., 1] - second[..., 1]
    z = first[..., 2] - second[..., 2]
    result: Floats = x * x + y * y + z * z
    return result


@dataclass(frozen=True, eq=False)
class Pairs:
    """Neighbours within a radius of a run of query points."""

    first: int
    """Row of the first query point of the run."""
    total: int
    """Query points in the run."""
    queries: Integers
    """(M,) query point of each pair, counted from `first`, ascending."""
    rows: Integers
    """(M,) row of the cloud, ascending for each query point."""
    squared: Floats
    """(M,) squared distances."""


def within(cloud: SortedCloud, points: Floats, radius: float) -> Iterator[Pairs]:
    """All points of the cloud strictly closer than `radius` to each point, in runs of bounded size."""
    from scipy.spatial import cKDTree

    reach = radius * (1 + 1e-9)  # The tree rounds differently; the exact comparison follows.
    positions = cloud.positions[cloud.starts]
    every = cloud.tree if len(cloud.starts) == len(cloud) else cKDTree(cloud.positions)
    counts = every.query_ball_point(points, reach, return_length=True, workers=threads())
    total = np.concatenate([[0], np.cumsum(counts)])
    start = 0
    while start < len(points):
        stop = max(start + 1, int(np.searchsorted(total, total[start] + _CHUNK, side="right")) - 1)
        found = cKDTree(points[start:stop]).sparse_distance_matrix(cloud.tree, reach, output_type="ndarray")
        queries, rows = found["i"].astype(np.int64), found["j"].astype(np.int64)
        squared = squared_distances(points[start + queries], positions[rows])
        kept = squared < radius * radius
        queries, rows, squared = queries[kept], rows[kept], squared[kept]
        order = np.argsort(queries * len(positions) + rows)
        queries, rows, squared = queries[order], rows[order], squared[order]
        if len(cloud.starts) < len(cloud):
            repeats = cloud.counts[rows]
            within_group = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            rows = np.repeat(cloud.starts[rows], repeats) + within_group
            queries, squared = np.repeat(queries, repeats), np.repeat(squared, repeats)
        else:
            rows = cloud.starts[rows]
        yield Pairs(start, stop - start, queries, rows, squared)
        start = stop
