"""The original's colours on what a pair generates, meshes or clouds: a chunk of its own beside the code.

```text
original ─► inverse of the pose in the file ─► frame of the pair ─┐
                                               generated asset ───┴─► surface colours ─► chunk        (encoder)
generated asset ─► colours of the chunk at its vertices or points ─► pose                             (decoder)
```

The lattice of colours is fixed to the frame of the pair, where the generator works. What a decoder reads where depends
on the chunk and on the place in that frame, not on the pose, nor on the box of what was generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.pairs.spec import PairSpec

if TYPE_CHECKING:
    from squeeze3d.codecs.surface_colours import SurfaceColours
    from squeeze3d.geometry.surface import Surface

COLOURS = 17
"""Tag of the chunk with colours, for pairs that may have one. Part of the format."""
USUAL_BYTES = 600
"""Where no size is asked for: about as many as the codes of the published pairs take."""
MOST_BYTES = 8000
"""More shows hardly more: lattices end at 96 cells along the frame."""


def has_colours(asset: Asset) -> bool:
    """Whether an original has colours that a pair may carry: clouds may have none."""
    return isinstance(asset, Mesh) or (isinstance(asset, PointCloud) and asset.colours is not None)


def shown_surface(asset: Asset) -> Surface | PointCloud:
    """What `encode_colours` looks at of an original that has colours."""
    from squeeze3d.geometry.surface import flatten

    if isinstance(asset, PointCloud):
        return asset
    assert isinstance(asset, Mesh)
    return flatten(asset)


def encode_colours(
    pair: PairSpec, generated: Asset, pose: Pose, original: Surface | PointCloud, budget: int
) -> bytes | None:
    """At most `budget` bytes of colours for an asset in the pair's frame; None where nothing better than its own fits.

    `pose` is that of the file, `original` in its own frame.
    """
    from squeeze3d.codecs.surface_colours import encode_cloud_colours, encode_surface_colours

    places = 2 * pair.half_extent * pose.to_canonical(original.positions)
    if isinstance(original, PointCloud):
        assert isinstance(generated, PointCloud)
        cloud = replace(original, positions=places.astype(np.float32))
        return encode_cloud_colours(generated, cloud, budget, half_extent=pair.half_extent)
    assert isinstance(generated, Mesh)
    framed = replace(original, positions=places)
    return encode_surface_colours(generated, framed, budget, half_extent=pair.half_extent)


def read_colours(container: Container, limits: Limits) -> SurfaceColours | None:
    """Colours of a file, None where it has none. Needs no network.

    Raises FormatError, LimitError.
    """
    from squeeze3d.codecs.surface_colours import decode_surface_colours

    data = container.chunks.get(COLOURS)
    return None if data is None else decode_surface_colours(data, limits)


def coloured(pair: PairSpec, generated: Asset, colours: SurfaceColours | None) -> Asset:
    """Asset in the pair's frame in the colours of its file, or in its own."""
    from squeeze3d.codecs.surface_colours import apply_cloud_colours, apply_surface_colours

    if colours is None:
        return generated
    if isinstance(generated, PointCloud):
        return apply_cloud_colours(generated, colours, half_extent=pair.half_extent)
    assert isinstance(generated, Mesh)
    return apply_surface_colours(generated, colours, half_extent=pair.half_extent)


def between(pair: PairSpec, generated: Asset, ends: Sequence[SurfaceColours | None], t: float) -> Asset:
    """Asset in the pair's frame in colours `t` of the way from those of one file to those of another.

    An end without colours shows those of the generator. Where only one cloud has any, the nearer end decides.
    """
    if all(end is None for end in ends):
        return generated
    first, last = (coloured(pair, generated, end) for end in ends)
    if isinstance(first, PointCloud) and isinstance(last, PointCloud):
        if first.colours is None or last.colours is None:
            return (first, last)[round(t)]
        mixed = (1 - t) * first.colours + t * last.colours.astype(np.float64)
        return replace(first, colours=np.rint(mixed).astype(np.uint8))
    assert isinstance(first, Mesh)
    assert isinstance(last, Mesh)
    primitives = []
    for a, b in zip(first.primitives, last.primitives, strict=True):
        white = np.ones((len(a.positions), 4), dtype=np.float32)
        one, other = (white if each.colours is None else each.colours for each in (a, b))
        primitives.append(replace(a, colours=((1 - t) * one + t * other).astype(np.float32)))
    return replace(first, primitives=tuple(primitives))
