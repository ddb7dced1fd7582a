"""What pairs of point clouds share: which points of a cloud are looked at, and what does not come back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.errors import InputError

SOURCE_POINTS = 4096
"""Points of a cloud that are looked at; encoders choose among them, and distances are measured to them."""


def sampled(cloud: PointCloud) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """At most `SOURCE_POINTS` places and sRGB colours in 0..1, the same for the same cloud.

    Raises InputError for a cloud without points, or with places that are not finite.
    """
    places, colours = cloud.positions, cloud.colours
    if not len(places):
        raise InputError("the cloud has no points")
    if len(places) > SOURCE_POINTS:
        # One of each stretch: many scanners and samplers write neighbours one after the other.
        random = np.random.Generator(np.random.PCG64(0))
        stretches = np.arange(SOURCE_POINTS) + random.random(SOURCE_POINTS)
        rows = (stretches * (len(places) / SOURCE_POINTS)).astype(np.int64)
        places = places[rows]
        colours = None if colours is None else colours[rows]
    if not np.isfinite(places).all():
        raise InputError("the cloud has places that are not finite")
    shown = None if colours is None else (colours[:, :3] / np.float32(255)).astype(np.float32)
    return places.astype(np.float32), shown


def cloud_losses(original: Asset, generated: Asset) -> tuple[tuple[str, str], ...]:
    """Features of a cloud that a generated one does not have, with details for the loss report.

    Empty for other kinds of assets.
    """
    if not (isinstance(original, PointCloud) and isinstance(generated, PointCloud)):
        return ()
    before, after = len(original.positions), len(generated.positions)
    found = [] if before == after else [("point-count", f"{before:,} points come back as {after:,} others")]
    beside = ((name, getattr(original, name), getattr(generated, name)) for name in ("colours", "normals"))
    found += [(name, f"{name} of points") for name, had, has in beside if had is not None and has is None]
    return tuple(found)
