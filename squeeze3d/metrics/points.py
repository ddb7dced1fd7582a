"""D1, D2 and colour PSNR of point clouds, after the definitions of MPEG's `pc_error`.

Tian, Ochimizu, Feng, Cohen and Vetro, "Geometric Distortion Metrics for Point Cloud Compression", ICIP 2017, and the
program `mpeg-pcc-dmetric`, version 0.14.1, at its default options. For a point a of cloud A and its nearest point b of
cloud B, with the unit normal n of b:

```text
D1 (point to point)    e(a) = |a - b|^2
D2 (point to plane)    e(a) = ((a - b) . n)^2
MSE(A, B)     = mean of e over A
symmetric MSE = max(MSE(A, B), MSE(B, A))
PSNR          = 10 log10(3 peak^2 / MSE)          colour: 10 log10(1 / MSE), one value for each of Y, U, V
```

Rules of the program that matter for the numbers:

- **Coincident points** of a cloud are fused first. Their colours are averaged and rounded down, the normal is that of
  the first.
- **Ties.** If several points of B are equally near, D2 is averaged over them and so are their colours, which are
  rounded to bytes. At most 30 are looked at, in sort order.
- **Normals** are those of the reference. A point of the distorted cloud gets the mean of the normals of the reference
  points that have it as nearest point, or else of the nearest reference points. The mean is not made a unit vector
  again. Normals of the distorted cloud are ignored.
- **Peak.** The program has an option for it: 2^b - 1 for a cloud voxelised to b bits. Without the option it takes the
  largest distance of a reference point to its nearest neighbour. PSNRs with different peaks differ by tens of dB; state
  the peak with the number.

Two rules are ours, because assets come in any unit and mostly without normals. Points are tied if their squared
distances agree to 1e-8 of their size; the program asks for 1e-8 in squared units of the file, which is the same on
voxel grids but makes everything a tie in a cloud that is a millimetre wide and stored in metres. And missing normals
are estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.clouds import Floats, Integers, SortedCloud, fuse, nearest, sort_cloud

NORMAL_NEIGHBOURS = 12
"""Points, the point itself included, that a missing normal is estimated from."""

_FIRST_LOOK, _MOST_TIED = 2, 30  # `pc_error` looks at 10 first, then at 30
_SAME = 1e-8

_YUV = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5000], [0.5000, -0.4542, -0.0458]])


@dataclass(frozen=True, slots=True)
class GeometryError:
    """How far points are from the other cloud."""

    mse: float
    """Mean squared distance, in squared units of the file."""
    worst: float
    """Largest squared distance (`h.` in the output of `pc_error`), in squared units of the file."""
    psnr: float
    """`10 log10(3 peak^2 / mse)` in dB, infinite if the error is 0."""
    worst_psnr: float
    """The same of `worst`."""


@dataclass(frozen=True, slots=True)
class ColourError:
    """How far display colours are from those of the nearest points, in full-range BT.709 Y, U, V."""

    mse: tuple[float, float, float]
    """Mean squared difference; Y, U and V have a range of 1."""
    psnr: tuple[float, float, float]
    """`10 log10(1 / mse)` in dB, infinite if the error is 0."""


@dataclass(frozen=True, slots=True)
class PointErrors:
    """Errors of one direction, or the worse of two."""

    d1: GeometryError
    """Point to point."""
    d2: GeometryError
    """Point to plane. Where no plane exists (fewer than three points, points on a line) the point distance counts."""
    colour: ColourError | None
    """None if one of the clouds has no colours."""


@dataclass(frozen=True, slots=True)
class PointToPoint:
    """What `point_to_point` finds: mean squared errors, the worse of both directions."""

    d1: float
    """In squared units of the file."""
    colour: tuple[float, float, float] | None
    """Y, U and V, which have a range of 1; None if one of the clouds has no colours."""


@dataclass(frozen=True, slots=True)
class PointsComparison:
    """What `compare_points` finds."""

    symmetric: PointErrors
    """The worse of both directions, value by value. This is what papers quote."""
    forward: PointErrors
    """Over the points of the reference: what is missing from the distorted cloud."""
    backward: PointErrors
    """Over the points of the distorted cloud: what it has too much of."""
    peak: float
    """Peak of the geometry PSNR, in units of the file."""
    points: tuple[int, int]
    """Points of the reference and of the distorted cloud after fusing coincident ones."""
    normals_estimated: int
    """Reference points whose normal was estimated."""


def compare_points(
    reference: PointCloud, distorted: PointCloud, *, peak: float | Literal["box", "spacing"] = "box"
) -> PointsComparison:
    """D1, D2 and colour errors of a distorted cloud. The clouds may differ in size.

    Parameters
    ----------
    peak : "box": the longest side of the reference's bounding box, which is what 2^b - 1 stands for on a voxel grid.
        "spacing": the largest distance of a reference point to its nearest neighbour, what `pc_error` does without
        `--resolution`. A number: `--resolution`, in units of the file.

    Reference normals that are missing, zero, NaN or infinite are estimated: the direction of least variance of the
    nearest 12 points, the point itself included. Others are scaled to unit length.

    Raises
    ------
    InputError : a cloud has no points, positions that are NaN or infinite, or attributes of the wrong length; the
        reference has no extent to take a peak from, and there is an error to relate to it.
    UsageError : a peak that is not positive.
    """
    if isinstance(peak, str):
        if peak not in ("box", "spacing"):
            raise UsageError(f"no peak `{peak}`", hint='use "box", "spacing" or a number')
    elif not 0 < peak < np.inf:
        raise UsageError(f"a peak must be positive, and {peak} is not")
    ours = fuse(sort_cloud(reference, "reference"), round_down=True)
    theirs = fuse(sort_cloud(distorted, "distorted"), round_down=True)
    unit, estimated = _unit_normals(ours)
    to_theirs, to_ours = _match(theirs, ours.positions), _match(ours, theirs.positions)
    spread = _spread_normals(unit, estimated, to_theirs, to_ours)

    value = _peak(ours, peak)
    forward = _one_way(ours, theirs, to_theirs, spread, value)
    backward = _one_way(theirs, ours, to_ours, unit, value)
    return PointsComparison(
        symmetric=_worse(forward, backward),
        forward=forward,
        backward=backward,
        peak=value,
        points=(len(ours), len(theirs)),
        normals_estimated=int(estimated.sum()),
    )


def point_to_point(reference: PointCloud, distorted: PointCloud) -> PointToPoint:
    """D1 and colour errors alone, the same as `compare_points` finds, in a fraction of the time: no normals are needed.

    Raises InputError like `compare_points`, but bears clouds without extent.
    """
    ours = fuse(sort_cloud(reference, "reference"), round_down=True)
    theirs = fuse(sort_cloud(distorted, "distorted"), round_down=True)
    to_theirs, to_ours = _match(theirs, ours.positions), _match(ours, theirs.positions)
    forward, backward = _colour(ours, theirs, to_theirs), _colour(theirs, ours, to_ours)
    colour = None
    if forward is not None and backward is not None:
        y, u, v = (max(pair) for pair in zip(forward.mse, backward.mse, strict=True))
        colour = (y, u, v)
    return PointToPoint(max(float(to_theirs.squared.mean()), float(to_ours.squared.mean())), colour)


def _peak(cloud: SortedCloud, peak: float | str) -> float:
    if peak == "box":
        return float(np.ptp(cloud.positions, axis=0).max())
    if peak == "spacing":
        return float(np.sqrt(nearest(cloud, cloud.positions, 2)[1][:, -1].max()))
    return float(peak)


def psnr(mse: float, peak: float, factor: float = 1.0) -> float:
    """`10 log10(factor peak^2 / mse)` in dB, infinite if `mse` is 0."""
    if mse == 0:
        return float("inf")
    if peak == 0:
        raise InputError("the reference cloud has no extent, so that its errors have no PSNR", hint="give `peak`")
    return float(10 * np.log10(factor * peak * peak / mse))


@dataclass(frozen=True, eq=False)
class _Match:
    """Nearest points of one cloud to each point of another, ties included."""

    queries: Integers
    """(M,) point of the other cloud, ascending; more than once if it has ties."""
    rows: Integers
    """(M,) nearest point of the cloud, in sort order for each query."""
    counts: Integers
    """(P,) nearest points of each point of the other cloud."""
    squared: Floats
    """(P,) squared distance to them."""

    def mean(self, values: Floats) -> Floats:
        """(P,) mean of (M,) values over the nearest points."""
        return np.bincount(self.queries, values, len(self.counts)) / self.counts

    def first(self) -> Integers:
        """(P,) the nearest point that sorts first."""
        return self.rows[np.cumsum(self.counts) - self.counts]


def _match(cloud: SortedCloud, points: Floats) -> _Match:
    rows, squared = nearest(cloud, points, _FIRST_LOOK)
    tied = _tied(squared)
    queries, place = np.nonzero(tied)
    matched = rows[queries, place]
    more = np.flatnonzero(tied[:, -1])
    if len(more) and len(cloud) > _FIRST_LOOK:
        long_rows, long_squared = nearest(cloud, points[more], _MOST_TIED)
        again, place = np.nonzero(_tied(long_squared))
        kept = ~tied[queries, -1]
        queries = np.concatenate([queries[kept], more[again]])
        matched = np.concatenate([matched[kept], long_rows[again, place]])
        order = np.argsort(queries, kind="stable")
        queries, matched = queries[order], matched[order]
    return _Match(queries, matched, np.bincount(queries, minlength=len(points)), squared[:, 0])


def _tied(squared: Floats) -> NDArray[np.bool_]:
    """Each point as near as the one before it, up to rounding, back to the first."""
    same = np.ones(squared.shape, dtype=bool)
    same[:, 1:] = squared[:, 1:] - squared[:, :-1] <= _SAME * squared[:, 1:]
    return np.logical_and.accumulate(same, axis=1)


def estimate_normals(positions: NDArray[np.floating], neighbours: int = NORMAL_NEIGHBOURS) -> Floats:
    """(N, 3) unit normals of (N, 3) points: the direction of least variance of the nearest points.

    The sign is arbitrary. NaN where the neighbours lie on a line or in a point, so that no plane exists.
    """
    cloud = sort_cloud(PointCloud(np.asarray(positions)), "given")
    result = np.empty((len(cloud), 3))
    result[cloud.order] = _estimate(cloud, np.arange(len(cloud)), neighbours)
    return result


def _estimate(cloud: SortedCloud, wanted: Integers, neighbours: int) -> Floats:
    rows, _ = nearest(cloud, cloud.positions[wanted], neighbours)
    relative = cloud.positions[rows] - cloud.positions[wanted, None, :]
    relative -= relative.mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", relative, relative))
    normals: Floats = axes[:, :, 0].copy()
    normals[variances[:, 1] <= 1e-12 * variances[:, 2]] = np.nan
    return normals


def _unit_normals(cloud: SortedCloud) -> tuple[Floats, NDArray[np.bool_]]:
    """(N, 3) unit normals, NaN where no plane exists, and which of them are estimated."""
    if cloud.normals is None:
        normals, missing = np.empty_like(cloud.positions), np.ones(len(cloud), dtype=bool)
    else:
        length = np.linalg.norm(cloud.normals, axis=1)
        missing = ~((length > 0) & np.isfinite(length))
        normals = cloud.normals / np.where(missing, 1.0, length)[:, None]
    wanted = np.flatnonzero(missing)
    if len(wanted):
        normals[wanted] = _estimate(cloud, wanted, NORMAL_NEIGHBOURS)
    return normals, missing


def _spread_normals(normals: Floats, estimated: NDArray[np.bool_], to_theirs: _Match, to_ours: _Match) -> Floats:
    """(M, 3) normals of the distorted cloud: means of those of the reference points that have the point as nearest.

    Estimated normals have no side. They are turned towards that of the nearest reference point before they are
    averaged, as otherwise opposite ones would cancel and hide the error.
    """
    total = len(to_ours.counts)
    # Points that nobody has as nearest take from the points nearest to them.
    lonely = np.ones(total, dtype=bool)
    lonely[to_theirs.rows] = False
    alone = lonely[to_ours.queries]
    giver = np.concatenate([to_theirs.queries, to_ours.rows[alone]])
    taker = np.concatenate([to_theirs.rows, to_ours.queries[alone]])
    known = np.isfinite(normals[giver, 0])
    giver, taker = giver[known], taker[known]

    given = normals[giver]
    front = normals[to_ours.first()[taker]]
    away = estimated[giver] & (np.einsum("ij,ij->i", given, front) < 0)
    given[away] *= -1
    counts = np.bincount(taker, minlength=total)
    sums = np.stack([np.bincount(taker, given[:, axis], total) for axis in range(3)], axis=1)
    result: Floats = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    return result


def _one_way(source: SortedCloud, target: SortedCloud, match: _Match, normals: Floats, peak: float) -> PointErrors:
    """Errors over the points of `source`; `normals` are those of `target`."""
    difference = source.positions[match.queries] - target.positions[match.rows]
    along = np.einsum("ij,ij->i", difference, normals[match.rows]) ** 2
    plane = match.mean(np.where(np.isfinite(along), along, match.squared[match.queries]))
    return PointErrors(_geometry(match.squared, peak), _geometry(plane, peak), _colour(source, target, match))


def _geometry(squared: Floats, peak: float) -> GeometryError:
    mse, worst = float(squared.mean()), float(squared.max())
    return GeometryError(mse, worst, psnr(mse, peak, 3.0), psnr(worst, peak, 3.0))


def _colour(source: SortedCloud, target: SortedCloud, match: _Match) -> ColourError | None:
    if source.colours is None or target.colours is None:
        return None
    colours = target.colours[match.rows].astype(np.float64)
    mean = np.stack([np.floor(match.mean(colours[:, channel]) + 0.5) for channel in range(3)], axis=1)
    difference = (source.colours - mean) @ _YUV.T / 255.0
    return _colour_error(*(float(value) for value in (difference**2).mean(axis=0)))


def _colour_error(y: float, u: float, v: float) -> ColourError:
    return ColourError((y, u, v), (psnr(y, 1.0), psnr(u, 1.0), psnr(v, 1.0)))


def _worse(first: PointErrors, second: PointErrors) -> PointErrors:
    colour = None
    if first.colour is not None and second.colour is not None:
        colour = _colour_error(*(max(pair) for pair in zip(first.colour.mse, second.colour.mse, strict=True)))
    return PointErrors(_worse_geometry(first.d1, second.d1), _worse_geometry(first.d2, second.d2), colour)


def _worse_geometry(first: GeometryError, second: GeometryError) -> GeometryError:
    return GeometryError(
        mse=max(first.mse, second.mse),
        worst=max(first.worst, second.worst),
        psnr=min(first.psnr, second.psnr),
        worst_psnr=min(first.worst_psnr, second.worst_psnr),
    )
