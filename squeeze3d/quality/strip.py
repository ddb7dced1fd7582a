"""A strip of assets side by side, seen from one camera, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset
from squeeze3d.render import Channel, measuring_rig, render

RESOLUTION = 256
PER_ROW = 8


def draw_strip(assets: Sequence[Asset]) -> bytes:
    """Pictures of assets of one kind, up to eight in a row, each framed by its own box."""
    from PIL import Image

    channel: Channel = "shaded" if isinstance(assets[0], Mesh) else "albedo"
    rows = -(-len(assets) // PER_ROW)
    strip = np.ones((rows * RESOLUTION, min(PER_ROW, len(assets)) * RESOLUTION, 3))
    for index, asset in enumerate(assets):
        row, column = np.array(divmod(index, PER_ROW)) * RESOLUTION
        camera = measuring_rig(asset.bounds(), resolution=RESOLUTION)[1]
        picture = render(asset, [camera], original=assets[0], supersample=2, channels=(channel,)).channel(channel)[0]
        strip[row : row + RESOLUTION, column : column + RESOLUTION] = picture
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * strip.clip(0, 1)).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
