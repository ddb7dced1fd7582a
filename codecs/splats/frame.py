"""Splats in the unit frame of a pose and back."""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.splats.gaussians import LARGEST_LOG, Gaussians

_MARGIN = 1 / 500
"""Room on each side of the box, of its longest side: a pose rounds its centre to half of that."""


def pose_of(gaussians: Gaussians) -> Pose:
    """Pose whose unit box holds all centres."""
    bounds = np.stack([gaussians.centres.min(axis=0), gaussians.centres.max(axis=0)])
    longest = float((bounds[1] - bounds[0]).max())
    # Splats in one place have a size, if their box has none.
    room = _MARGIN * max(longest, float(np.exp(np.median(gaussians.logs[:, 0]))))
    return Pose.from_bounds(bounds + np.array([[-room], [room]]))


def to_canonical(pose: Pose, gaussians: Gaussians) -> Gaussians:
    """Centres and sizes in the pose's frame."""
    return Gaussians(
        pose.to_canonical(gaussians.centres),
        gaussians.alpha,
        gaussians.logs - np.log(pose.scale),
        gaussians.axes,
        gaussians.colours,
    )


def to_original(pose: Pose, gaussians: Gaussians) -> Gaussians:
    """Inverse of `to_canonical`, within the range of float32."""
    return Gaussians(
        pose.to_original(gaussians.centres).astype(np.float64),
        gaussians.alpha,
        np.clip(gaussians.logs + np.log(pose.scale), -2 * LARGEST_LOG, 2 * LARGEST_LOG),
        gaussians.axes,
        gaussians.colours,
    )
