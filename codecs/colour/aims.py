"""What coded colours should come close to: the colours of cells, or those of points that are read between cells.

```text
points ─► weights of the cells around each (as `lookup` reads them) ─► means of cells ─► a few steps of least squares
```

Reading between cells blurs. Colours that are fitted to what is read, and not to what lies in each cell, make up for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.lookup import corners, inside, numbers
from squeeze3d.codecs.colour.ycocg import display

if TYPE_CHECKING:
    from squeeze3d.codecs.colour.model import CellColours

FIT_STEPS = 3
"""Steps towards the least squares. Many steps sharpen what nobody sees, and that costs bytes."""
LEAST = 1e-3
"""Cells with less than this part of the mean weight may take any colour."""


class Aims(Protocol):
    """Colours wanted for the occupied cells of a hierarchy."""

    def at(self, skip: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(M, 3) sRGB in [0, 255] and (M,) importance >= 0, not all 0, where the `skip` finest levels are left out."""

    def error(self, colours: CellColours) -> float:
        """Mean squared error of a channel in sRGB of [0, 255]."""


class CellAims:
    """The colours of the cells themselves.

    Parameters
    ----------
    full : hierarchy of the occupied cells.
    rgb : (K, 3) sRGB in [0, 255] of the occupied cells in raster order.
    weights : (K,) importance >= 0, for instance the area seen. Cells of weight 0 take the colour that costs least;
        weights that are all 0 count as 1 each.

    Raises ValueError for arrays that do not fit, or are not finite.
    """

    def __init__(self, full: Hierarchy, rgb: NDArray[np.number], weights: NDArray[np.floating]) -> None:
        colours, importance = np.asarray(rgb, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if colours.shape != (full.count, 3) or importance.shape != (full.count,):
            raise ValueError(
                f"{full.count} cells need as many colours and weights, not {colours.shape}, {importance.shape}"
            )
        if not (np.isfinite(colours).all() and np.isfinite(importance).all() and (importance >= 0).all()):
            raise ValueError("colours and weights must be finite, weights not negative")
        self._rgb = np.clip(colours, 0.0, 255.0)
        self._weights = importance if importance.any() else np.ones(full.count)
        self._levels = full.pooled(self._rgb, self._weights)

    def at(self, skip: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted means of the cells below each cell."""
        return self._levels[-1 - skip]

    def error(self, colours: CellColours) -> float:
        """Error of the cells of the grid, weighted."""
        return float((self._weights @ (colours.rgb - self._rgb) ** 2).mean() / self._weights.sum())


class PointAims:
    """Colours of points as `lookup` reads them.

    Parameters
    ----------
    full : hierarchy of the occupied cells.
    points : (N, 3) in coordinates of the grid, N > 0. Those that are near no cell do not count.
    rgb : (N, 3) sRGB in [0, 255].
    importance : (N,) weights > 0.
    """

    def __init__(
        self,
        full: Hierarchy,
        points: NDArray[np.floating],
        rgb: NDArray[np.floating],
        importance: NDArray[np.floating],
    ) -> None:
        self._full = full
        self._points = np.asarray(points, dtype=np.float64)
        self._rgb = np.clip(np.asarray(rgb, dtype=np.float64), 0.0, 255.0)
        self._share = np.asarray(importance, dtype=np.float64) / np.sum(importance)
        self._reads: dict[int, Any] = {}
        self._fitted: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def at(self, skip: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Colours that are fitted to what is read at the points, and how much of it each cell decides."""
        if skip not in self._fitted:
            self._fitted[skip] = self._fit(self._read(skip))
        return self._fitted[skip]

    def error(self, colours: CellColours) -> float:
        """Error of what is read at the points, weighted."""
        read = self._read(colours.skip)
        shown = display(read @ colours.values)
        # Points that read nothing are the same for all settings.
        counted = np.where(read.sum(axis=1) > 0, self._share, 0.0)
        return float((counted @ (shown - self._rgb) ** 2).mean())

    def _read(self, skip: int) -> Any:
        """Sparse (N, M): the weights with which points read cells."""
        if skip not in self._reads:
            from scipy.sparse import csr_array

            level = self._full.pooled_times(skip).levels[-1]
            places = self._points
            for _ in range(skip):
                places = (places - 0.5) / 2
            around, weights = corners(numbers(level.cells, level.shape), inside(places, level.shape), level.shape)
            weights = np.where(around < level.count, weights, 0.0)
            total = weights.sum(axis=1, keepdims=True)
            weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
            ends = np.arange(0, weights.size + 1, weights.shape[1])
            columns = np.minimum(around, level.count - 1).reshape(-1)
            self._reads[skip] = csr_array((weights.reshape(-1), columns, ends), shape=(len(places), level.count))
        return self._reads[skip]

    def _fit(self, read: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        back = read.T.tocsr()
        total = back @ self._share
        if not total.any():
            mean = self._share @ self._rgb
            return np.broadcast_to(mean, (len(total), 3)).copy(), np.ones(len(total))
        scale = 1 / np.maximum(total, 1e-300)
        colours = np.zeros((len(total), 3))
        # The first step gives weighted means.
        for _ in range(1 + FIT_STEPS):
            missing = self._rgb - read @ colours
            colours = np.clip(colours + scale[:, None] * (back @ (self._share[:, None] * missing)), 0.0, 255.0)
        return colours, np.where(total < LEAST * total.mean(), 0.0, total)
