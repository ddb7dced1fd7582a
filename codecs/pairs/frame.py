"""The frame a pair works in: assets centred at the origin, longest side of the box `2 * half_extent`.

```text
original ─► to_frame ─► E ... G ─► place ─► original frame
                                     ▲
            pose chosen by the encoder, which has seen what was generated
```

The pose in the file belongs to what the generator makes, not to the input: generators do not keep centre and scale
exactly, and an encoder that has seen the result can correct both for nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.source import Asset
from squeeze3d.assets.transform import scale_and_shift
from squeeze3d.bitstream.pose import Pose
from squeeze3d.errors import InputError


def to_frame(asset: Asset, half_extent: float) -> tuple[Asset, Pose]:
    """Asset in the frame of a pair, and its pose.

    Raises InputError for an asset without any extent.
    """
    pose = Pose.from_bounds(_bounds(asset))
    factor = 2 * half_extent / pose.scale
    return scale_and_shift(asset, factor, -factor * pose.centre), pose


def place(generated: Asset, half_extent: float, pose: Pose) -> Asset:
    """Generated asset in the frame of the original: inverse of `to_frame` for the pose in the file."""
    return scale_and_shift(generated, pose.scale / (2 * half_extent), pose.centre)


def candidate_poses(generated: Asset, half_extent: float, original: Asset) -> tuple[Pose, ...]:
    """Poses for a generated asset, likeliest first.

    Its box laid onto the original's, by least squares over the sides or by the longest one, forgives a generator that
    gets size or place slightly wrong; the original's own pose forgives one whose box is off because of a stray part.

    Raises InputError if nothing was generated.
    """
    box = _bounds(generated) / (2 * half_extent)
    target = _bounds(original)
    extents, wanted = box[1] - box[0], target[1] - target[0]
    if not float(extents.max()) > 1e-6:
        raise InputError("the generator made an asset without extent")
    scales = extents @ wanted / (extents @ extents), wanted.max() / extents.max()
    poses = []
    for scale in (max(float(each), 1e-30) for each in scales):
        centre = target.mean(axis=0) - scale * box.mean(axis=0)
        poses.append(Pose.from_bounds(np.stack([centre - scale / 2, centre + scale / 2])))
    return (*poses, Pose.from_bounds(target))


def _bounds(asset: Asset) -> NDArray[np.float64]:
    try:
        bounds = asset.bounds()
    except ValueError as error:
        raise InputError(f"the asset has no extent: {error}") from None
    if not np.isfinite(bounds).all():
        raise InputError("the asset's box is not finite")
    return bounds
