"""What PointNet++ sees of a cloud: at most 2,048 places around the origin, the farthest one at a distance of 1.

```text
cloud ─► every point, or 2,048 of more ─► less their mean ─► by the largest distance ─► (N, 3)
```

Of more points, those farthest from each other are taken, in the order of that choice. Up to 2,048 points come in the
order of the file. The order matters: of the neighbours of a centre, the network looks at those that come first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import InputError
from squeeze3d.geometry.farthest_points import farthest_points

POINTS = 2048
"""Most points that are looked at: as many as LION makes, whose clouds Squeeze3D's mapping networks know."""
LEAST_EXTENT = 1e-6
"""Distance from the mean below which a cloud in the frame of a pair, where its longest side is 2, has no extent."""


def prepare_points(places: NDArray[np.floating], count: int = POINTS) -> NDArray[np.float32]:
    """(M, 3) places for the network, M <= `count`, of (N, 3) finite places, N > 0.

    Raises InputError if all of them are in one spot.
    """
    if len(places) > count:
        places = places[farthest_points(places, count)]
    return unit_sphere(places)


def unit_sphere(places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Places (N, 3) with their mean at the origin and the largest distance from it 1.

    Raises InputError if all of them are in one spot.
    """
    centred = places.astype(np.float64) - places.mean(axis=0, dtype=np.float64)
    largest = float(np.sqrt((centred**2).sum(axis=1).max()))
    if not largest > LEAST_EXTENT:
        raise InputError("the cloud has no extent: all of its points are at one place")
    return (centred / largest).astype(np.float32)
