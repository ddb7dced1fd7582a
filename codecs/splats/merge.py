"""Fewer splats: pairs that look much like one are replaced by one.

```text
neighbours of each splat ─► what pictures lose if the two become one ─► cheapest pairs, each splat once ─► again …
```

The one has the mean, the covariance and the colour of the two, weighted by what they cover; its opacity keeps that. The
loss is the squared difference between the two and the one, seen along each of the three axes without anything in front,
times how much of them is seen at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.splats.gaussians import Gaussians

NEIGHBOURS = 6
"""Pairs of a splat that are looked at in a round."""
ROUND = 0.7
"""A round leaves at least this part of the splats: later pairs know the new ones."""
BLUR = 0.4 / 512
"""Deviation that a pixel adds, of the longest side of the scene: what is smaller is as good as merged."""
_VIEWS = ((1, 2), (0, 2), (0, 1))
_MOST = 0.99


class Merger:
    """Scenes of ever fewer splats; what was made on the way is kept.

    Parameters
    ----------
    scene : canonical splats.
    shares : (N,) pixels that each fills over some views.
    """

    def __init__(self, scene: Gaussians, shares: NDArray[np.float64]) -> None:
        covariances = _covariances(scene)
        self._mixture = _Mixture(scene.centres, covariances, scene.alpha, scene.colours, shares)

    @property
    def count(self) -> int:
        """Splats that are left."""
        return self._mixture.count

    def reduce(self, count: int) -> Gaussians:
        """At most `count` splats, or as they are. Counts must not grow from call to call."""
        while self._mixture.count > count:
            size = max(count, int(ROUND * self._mixture.count))
            self._mixture = _merged(self._mixture, self._mixture.count - size)
        return self._mixture.gaussians()


def masses(scene: Gaussians) -> NDArray[np.float64]:
    """(N,) what each splat covers, up to a factor."""
    return _Mixture(scene.centres, _covariances(scene), scene.alpha, scene.colours, np.zeros(scene.count)).masses


class _Mixture:
    """Splats with covariances in place of axes."""

    def __init__(
        self,
        centres: NDArray[np.float64],
        covariances: NDArray[np.float64],
        alpha: NDArray[np.float64],
        colours: NDArray[np.float64],
        shares: NDArray[np.float64],
    ) -> None:
        self.centres, self.covariances, self.alpha, self.colours = centres, covariances, alpha, colours
        self.shares = shares
        blurred = covariances + BLUR**2 * np.eye(3)
        self.flat = np.stack([blurred[:, view][:, :, view] for view in map(list, _VIEWS)], axis=1)
        self.spans = np.sqrt(np.linalg.det(self.flat))
        """(N, 3) what a splat covers, seen along each axis, up to a factor."""
        self.masses = alpha * self.spans.mean(axis=1)

    @property
    def count(self) -> int:
        return len(self.alpha)

    def gaussians(self) -> Gaussians:
        """With axes."""
        variances, axes = np.linalg.eigh(self.covariances)
        variances, axes = variances[:, ::-1], axes[:, :, ::-1].copy()
        axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
        logs = np.log(np.maximum(variances, 1e-30)) / 2
        return Gaussians(self.centres, self.alpha, logs, axes, self.colours)


def _covariances(scene: Gaussians) -> NDArray[np.float64]:
    factors = scene.axes * np.exp(scene.logs)[:, None, :]
    return np.matmul(factors, factors.transpose(0, 2, 1))


def _merged(mixture: _Mixture, fewer: int) -> _Mixture:
    """The mixture with up to `fewer` pairs merged, at least one."""
    pairs = _pairs(mixture.centres)
    joined = _joined(mixture, pairs)
    cost = _cost(mixture, pairs, joined)
    order = np.argsort(cost, kind="stable")
    chosen = _disjoint(pairs[order], fewer, mixture.count)
    chosen = order[chosen]
    left = np.ones(mixture.count, dtype=bool)
    left[pairs[chosen].reshape(-1)] = False
    parts = [
        np.concatenate([getattr(mixture, name)[left], getattr(joined, name)[chosen]])
        for name in ("centres", "covariances", "alpha", "colours", "shares")
    ]
    return _Mixture(*parts)


def _pairs(centres: NDArray[np.float64]) -> NDArray[np.intp]:
    """(P, 2) pairs of neighbours, each once."""
    from scipy.spatial import cKDTree

    near = cKDTree(centres).query(centres, k=min(NEIGHBOURS + 1, len(centres)))[1]
    first = np.repeat(np.arange(len(centres)), near.shape[1])
    second = near.reshape(-1)
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    keys = np.unique(pairs[:, 0] * len(centres) + pairs[:, 1])
    return np.stack(np.divmod(keys, len(centres)), axis=1)


def _joined(mixture: _Mixture, pairs: NDArray[np.intp]) -> _Mixture:
    """One splat for each pair."""
    first, second = pairs.T
    total = mixture.masses[first] + mixture.masses[second]
    part = (mixture.masses[second] / np.maximum(total, 1e-300))[:, None]
    step = mixture.centres[second] - mixture.centres[first]
    between = (part * (1 - part))[:, :, None] * step[:, :, None] * step[:, None, :]
    covariances = _mixed(mixture.covariances, first, second, part[:, :, None]) + between
    colours = _mixed(mixture.colours, first, second, part[:, :, None])
    centres = mixture.centres[first] + part * step
    shares = mixture.shares[first] + mixture.shares[second]
    joined = _Mixture(centres, covariances, np.ones(len(pairs)), colours, shares)
    joined.alpha = np.minimum(total / joined.spans.mean(axis=1), _MOST)
    joined.masses = joined.alpha * joined.spans.mean(axis=1)
    return joined


def _mixed(
    values: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp], part: NDArray[np.float64]
) -> NDArray[np.float64]:
    return values[first] + part * (values[second] - values[first])


def _cost(mixture: _Mixture, pairs: NDArray[np.intp], joined: _Mixture) -> NDArray[np.float64]:
    """(P,) squared error of pictures that merging a pair makes."""
    first, second = pairs.T
    every = np.arange(len(pairs))
    overlap = (
        _overlap(mixture, first, mixture, first)
        + _overlap(mixture, second, mixture, second)
        + _overlap(joined, every, joined, every)
        + 2 * _overlap(mixture, first, mixture, second)
        - 2 * _overlap(mixture, first, joined, every)
        - 2 * _overlap(mixture, second, joined, every)
    )
    seen = (mixture.shares[first] + mixture.shares[second]) / np.maximum(
        mixture.masses[first] + mixture.masses[second], 1e-300
    )
    return np.maximum(overlap, 0) * np.minimum(seen, 1e300)


def _overlap(a: _Mixture, i: NDArray[np.intp], b: _Mixture, j: NDArray[np.intp]) -> NDArray[np.float64]:
    """(P,) products of two splats, integrated over three views: of light that they add or take away."""
    step = a.centres[i] - b.centres[j]
    # Against white: a splat's colour less one, and its opacity once more, for what is behind.
    light = ((a.colours[i, :, 0] - 1) * (b.colours[j, :, 0] - 1)).sum(axis=1) + _BEHIND
    result = np.zeros(len(i))
    for view, (u, v) in enumerate(_VIEWS):
        total = a.flat[i, view] + b.flat[j, view]
        xx, xy, yy = total[:, 0, 0], total[:, 0, 1], total[:, 1, 1]
        determinant = xx * yy - xy * xy
        du, dv = step[:, u], step[:, v]
        distance = (yy * du * du - 2 * xy * du * dv + xx * dv * dv) / determinant
        spans = a.spans[i, view] * b.spans[j, view]
        result += spans / np.sqrt(determinant) * np.exp(-distance / 2)
    return result * light * a.alpha[i] * b.alpha[j]


_BEHIND = 0.3
"""Squared difference of a splat's colour to what is behind it, summed over channels, on top of that to white."""


def _disjoint(pairs: NDArray[np.intp], most: int, count: int) -> NDArray[np.intp]:
    """Positions of the first pairs that share no splat, up to `most`, in order."""
    chosen: list[NDArray[np.intp]] = []
    free = np.ones(count, dtype=bool)
    open_ = np.arange(len(pairs))
    found = 0
    while found < most and len(open_):
        # The first pair that names each of its two splats among those left: such pairs are disjoint.
        flat = pairs[open_].reshape(-1)
        first = np.full(count, len(flat), dtype=np.intp)
        np.minimum.at(first, flat, np.arange(len(flat)) // 2)
        rank = np.arange(len(open_))
        best = (first[pairs[open_, 0]] == rank) & (first[pairs[open_, 1]] == rank)
        taken = open_[best]
        chosen.append(taken)
        found += len(taken)
        free[pairs[taken].reshape(-1)] = False
        open_ = open_[free[pairs[open_, 0]] & free[pairs[open_, 1]]]
    return np.sort(np.concatenate(chosen))[:most] if chosen else np.zeros(0, dtype=np.intp)
