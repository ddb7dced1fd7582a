"""PointSSIM: how alike the neighbourhoods of two point clouds are. 1 is identical.

Alexiou and Ebrahimi, "Towards a Point Cloud Structural Similarity Metric", ICMEW 2020. What is computed is what the
authors' scripts compute (`mmspg/pointssim`, commit `2358dd3`); the tests compare with scores from those scripts.

```text
cloud ─► k nearest points of each point ─► quantity ─► estimator ─► one number per point ─┐
                                                                                          ├─► similarity ─► pooling
other cloud ─► ...                       (matched to the nearest point of the first) ─────┘
```

| attribute | quantity | values |
|---|---|---|
| geometry | distance to each neighbour, the point itself left out | k - 1 |
| normals | `1 - 2 acos(abs(cos)) / pi` between the normals, the point itself left out | k - 1 |
| curvature | curvature of each neighbour, the point itself included | k |
| colour | luminance of each neighbour, the point itself included | k |

Luminance is `0.2126 R + 0.7152 G + 0.0722 B` of the display bytes, rounded to a whole number. For the features x and y
of two matched points, `similarity = 1 - abs(x - y) / (max(abs(x), abs(y)) + 2^-52)`. Each combination of attribute,
estimator and pooling is a score of its own; there is no overall score.

The scores do not change with position or scale. Colour scores react strongly to noise in smooth regions, because
variances there are small and are compared relatively.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.clouds import Floats, Integers, SortedCloud, fuse, nearest, sort_cloud

Attribute = Literal["geometry", "normals", "curvature", "colour"]
Estimator = Literal["std", "var", "mean_ad", "median_ad", "cov", "qcd", "mean"]
Pooling = Literal["mean", "mse", "rmse"]

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

_TINY = 2.0**-52


@dataclass(frozen=True, slots=True)
class PointSsimOptions:
    """Which of the scores. The defaults are those of the authors' scripts."""

    attribute: Attribute = "colour"
    """What is compared; see the table above."""
    estimator: Estimator = "var"
    """
    How the values of a neighbourhood become one number.

    "std", "var": standard deviation and variance, divisor n - 1. "mean_ad", "median_ad": mean absolute deviation from
    the mean, median absolute deviation from the median. "cov": std / mean. "qcd": (Q3 - Q1) / (Q3 + Q1), quartiles by
    the midpoint rule. "mean": the mean, which is no measure of spread.
    """
    pooling: Pooling = "mean"
    """Over the points: "mean" of the similarity, "mse" of its square, "rmse" the root of that. 1 is best in all."""
    neighbours: int = 12
    """k, points in a neighbourhood, the point itself included. Smaller clouds use all their points."""


SQUEEZE3D_PAPER = PointSsimOptions(attribute="geometry", estimator="mean_ad", pooling="mse")
"""The setting of the Squeeze3D paper's evaluation, without its random registration of the clouds."""


@dataclass(frozen=True, slots=True)
class PointSsim:
    """One PointSSIM score.

    From 0 to 1, except that "mean", "cov" and "qcd" of curvature, which has a sign, reach down to -1. NaN if no point
    has a feature ("cov" or "qcd" of a black cloud).
    """

    symmetric: float
    """The smaller of the two directions."""
    distorted: float
    """Mean over the points of the distorted cloud, each compared with the nearest reference point."""
    reference: float
    """Mean over the points of the reference, each compared with the nearest distorted point."""


def pointssim(
    reference: PointCloud,
    distorted: PointCloud,
    options: PointSsimOptions = PointSsimOptions(),
    *,
    curvature: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
) -> PointSsim:
    """One score; `PointSsimPair` gives several without searching neighbours again.

    Parameters
    ----------
    curvature : curvature of each point of the two clouds, for the attribute "curvature" only. Clouds carry none, and
        how it is estimated changes the score; the authors' estimate depends on the linear algebra library.

    Raises
    ------
    InputError : see `PointSsimPair`; and a cloud without the attribute.
    """
    pair = PointSsimPair(reference, distorted, neighbours=options.neighbours, curvature=curvature)
    return pair.score(options.attribute, options.estimator, options.pooling)


class PointSsimPair:
    """Two clouds with their neighbourhoods.

    Parameters
    ----------
    fuse_duplicates : merge coincident points first and average their colours, as the authors' example script does. The
        metric itself does not: without this, coincident points are neighbours at distance 0, and whichever comes first
        is left out as "the point itself". A cloud with coincident points of different normals is then not quite equal
        to itself.
    curvature : (N,) values for each of the two clouds, in the order of their points.

    Raises
    ------
    InputError : a cloud has fewer than three points (a spread needs two neighbours), positions that are NaN or
        infinite, or attributes of the wrong length.
    UsageError : fewer than three neighbours; curvature of clouds that are fused.
    """

    def __init__(
        self,
        reference: PointCloud,
        distorted: PointCloud,
        *,
        neighbours: int = 12,
        fuse_duplicates: bool = False,
        curvature: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    ) -> None:
        if neighbours < 3:
            raise UsageError(f"PointSSIM: a neighbourhood of {neighbours} points has no spread; 3 is the least")
        if fuse_duplicates and curvature is not None:
            raise UsageError("PointSSIM: curvature cannot be averaged over fused points", hint="fuse the clouds first")
        self._sides = tuple(
            _Side(cloud, name, neighbours, fuse_duplicates, None if curvature is None else curvature[index])
            for index, (cloud, name) in enumerate(((reference, "reference"), (distorted, "distorted")))
        )

    def score(self, attribute: Attribute, estimator: Estimator, pooling: Pooling) -> PointSsim:
        """One score of the pair. InputError if a cloud lacks the attribute."""
        if attribute not in ATTRIBUTES or estimator not in ESTIMATORS or pooling not in POOLINGS:
            raise UsageError(f"PointSSIM: no score `{attribute}`, `{estimator}`, `{pooling}`")
        x, y = (side.feature(attribute, estimator) for side in self._sides)
        to_reference, to_distorted = self._matches
        distorted = _pool(_similarity(x[to_reference], y), pooling)
        reference = _pool(_similarity(y[to_distorted], x), pooling)
        return PointSsim(float(np.fmin(distorted, reference)), distorted, reference)

    @cached_property
    def _matches(self) -> tuple[Integers, Integers]:
        """Nearest reference point of each distorted point, and the other way round."""
        first, second = (side.cloud for side in self._sides)
        return nearest(first, second.positions, 1)[0][:, 0], nearest(second, first.positions, 1)[0][:, 0]


class _Side:
    """One cloud, its neighbourhoods and its features."""

    def __init__(
        self, cloud: PointCloud, name: str, neighbours: int, fused: bool, curvature: NDArray[np.floating] | None
    ) -> None:
        self.name = name
        self.cloud: SortedCloud = sort_cloud(cloud, name)
        if fused:
            self.cloud = fuse(self.cloud)
        if len(self.cloud) < 3:
            raise InputError(f"PointSSIM needs three points, and the {name} cloud has {len(self.cloud)}")
        self._curvature: Floats | None = None
        if curvature is not None:
            values = np.asarray(curvature, dtype=np.float64)
            if values.shape != (len(self.cloud),) or not np.isfinite(values).all():
                raise InputError(f"PointSSIM: the curvature of the {name} cloud is not one finite number per point")
            self._curvature = values[self.cloud.order]
        self._rows, self._squared = nearest(self.cloud, self.cloud.positions, neighbours)
        self._quantities: dict[Attribute, Floats] = {}
        self._features: dict[tuple[Attribute, Estimator], Floats] = {}

    def feature(self, attribute: Attribute, estimator: Estimator) -> Floats:
        """(N,) feature map, in sort order."""
        key = attribute, estimator
        if key not in self._features:
            if attribute not in self._quantities:
                self._quantities[attribute] = self._quantity(attribute)
            self._features[key] = estimate(self._quantities[attribute], estimator)
        return self._features[key]

    def _quantity(self, attribute: Attribute) -> Floats:
        match attribute:
            case "geometry":
                return np.sqrt(self._squared[:, 1:])
            case "normals":
                if self.cloud.normals is None:
                    raise self._missing("normals", "estimate normals for both clouds by the same method")
                return self._normal_similarity(self.cloud.normals)
            case "curvature":
                if self._curvature is None:
                    raise self._missing("curvature", "pass `curvature`, estimated for both clouds by the same method")
                return self._curvature[self._rows]
            case "colour":
                if self.cloud.colours is None:
                    raise self._missing("colours", "use the attribute `geometry`")
                return luminance(self.cloud.colours)[self._rows]

    def _normal_similarity(self, normals: Floats) -> Floats:
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        bad = int((~(length > 0) | ~np.isfinite(length)).sum())
        if bad:
            raise InputError(f"PointSSIM: {bad} normals of the {self.name} cloud are NaN, infinite or zero")
        cosine = np.einsum("nd,nkd->nk", normals, normals[self._rows[:, 1:]])
        cosine /= length * length[self._rows[:, 1:], 0]
        result: Floats = 1 - 2 * np.arccos(np.minimum(np.abs(cosine), 1.0)) / np.pi
        return result

    def _missing(self, what: str, hint: str) -> InputError:
        return InputError(f"PointSSIM of {what}: the {self.name} cloud has none", hint=hint)


def luminance(colours: NDArray[np.uint8]) -> Floats:
    """(N,) BT.709 luminance of display bytes, rounded half up to a whole number.

    The order of the sum is part of the definition: it decides which way exact halves go.
    """
    red, green, blue = colours[:, 0].astype(np.float64), colours[:, 1], colours[:, 2]
    return np.floor(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.5)


def estimate(values: Floats, estimator: Estimator) -> Floats:
    """(N,) one number for each row of (N, n) values. NaN or infinite where a ratio has no denominator."""
    count = values.shape[1]
    match estimator:
        case "mean":
            return values.sum(axis=1) / count
        case "var":
            return ((values - values.sum(axis=1, keepdims=True) / count) ** 2).sum(axis=1) / (count - 1)
        case "std":
            return np.sqrt(estimate(values, "var"))
        case "mean_ad":
            return np.abs(values - values.sum(axis=1, keepdims=True) / count).sum(axis=1) / count
        case "median_ad":
            middle = np.median(values, axis=1, keepdims=True)
            return np.asarray(np.median(np.abs(values - middle), axis=1), dtype=np.float64)
        case "cov":
            return _ratio(estimate(values, "std"), estimate(values, "mean"))
        case "qcd":
            low, high = np.quantile(values, [0.25, 0.75], axis=1, method="hazen")
            return _ratio(high - low, high + low)


def _ratio(first: Floats, second: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = first / second
    return result


def _similarity(x: Floats, y: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # infinite features give NaN, which pooling leaves out
        result: Floats = 1 - np.abs(x - y) / (np.maximum(np.abs(x), np.abs(y)) + _TINY)
    return result


def _pool(similarity: Floats, pooling: Pooling) -> float:
    known = similarity[~np.isnan(similarity)]
    if len(known) == 0:
        return float("nan")
    if pooling == "mean":
        return float(known.mean())
    square = float((known**2).mean())
    return square if pooling == "mse" else float(np.sqrt(square))
