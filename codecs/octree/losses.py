"""What a cloud loses."""

from __future__ import annotations

import numpy as np

from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.points import PointCloud


def report_losses(cloud: PointCloud, points: int, losses: LossReport) -> None:
    """List what does not come back, for a cloud that comes back with so many points."""
    before = len(cloud.positions)
    if points < before:
        losses.add("point-count", f"{before:,} points come back as {points:,}: one for each cell", stage="encode")
    losses.add("point-order", "points come back in another order", stage="encode")
    if cloud.normals is not None:
        losses.add("normals", "normals of points", stage="encode")
    if cloud.colours is not None and bool((cloud.colours[:, 3] != np.uint8(255)).any()):
        losses.add("opacity", "opacities of points: all come back opaque", stage="encode")
