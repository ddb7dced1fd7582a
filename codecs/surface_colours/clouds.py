"""Colours for clouds that a generator makes: volumes alone, since points have no normals.

```text
original ─► colours of the points around each generated one ─► volume, fitted ─► bytes     (encoder)
bytes ─► colours of cells ─► read at generated points                                      (decoder)
```
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.codecs.surface_colours.encode import SMALLEST, best_attempt
from squeeze3d.codecs.surface_colours.layout import Kind
from squeeze3d.codecs.surface_colours.samples import Samples
from squeeze3d.codecs.surface_colours.stream import SurfaceColours

MOST_NEIGHBOURS = 16
"""Points of an original whose mean colour a generated one shows, where that many come to each."""


def encode_cloud_colours(
    generated: PointCloud, original: PointCloud, budget_bytes: int, *, half_extent: float = 0.5
) -> bytes | None:
    """Colours of an original, which has some, for a cloud that was generated after it.

    Parameters
    ----------
    generated, original : in one frame, whose sides go from `-half_extent` to `half_extent`; see
        `encode_surface_colours`.
    budget_bytes : most bytes there may be.

    Returns
    -------
    At most `budget_bytes` bytes for `decode_surface_colours`, or None where nothing fits. The same input gives the same
    bytes.
    """
    if budget_bytes < SMALLEST:
        return None
    points = generated.positions.astype(np.float64)
    nothing = np.zeros_like(points)
    weights = np.full(len(points), 1 / len(points))
    # What comes back are these points: colours that suit them need not suit others.
    samples = Samples(points, nothing, _colours_around(points, original), weights, nothing)
    best = best_attempt(samples, samples, budget_bytes, half_extent, (Kind.VOLUME,))
    return None if best is None else best.data


def apply_cloud_colours(generated: PointCloud, colours: SurfaceColours, *, half_extent: float = 0.5) -> PointCloud:
    """A generated cloud with decoded colours, opaque; `half_extent` is that of the encoder."""
    rgba = np.full((len(generated.positions), 4), 255, dtype=np.uint8)
    normals = np.zeros_like(generated.positions)
    rgba[:, :3] = np.rint(255 * colours.at(generated.positions, normals, half_extent))
    return replace(generated, colours=rgba)


def _colours_around(points: NDArray[np.float64], original: PointCloud) -> NDArray[np.float64]:
    """(N, 3) sRGB in [0, 255] of an original at (N, 3) points: means over as many of its points as come to each."""
    from scipy.spatial import cKDTree

    assert original.colours is not None
    count = int(np.clip(len(original.positions) // len(points), 1, MOST_NEIGHBOURS))
    # Points on top of each other make balanced trees slow.
    tree = cKDTree(original.positions.astype(np.float64), balanced_tree=False)
    _, index = tree.query(points, k=[*range(1, count + 1)])
    found: NDArray[np.float64] = original.colours[index, :3].mean(axis=1, dtype=np.float64)
    return found
