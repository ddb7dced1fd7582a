"""The original's colours on what a mesh pair generates: a chunk of its own beside the code.

```text
original ─► inverse of the pose in the file ─► frame of the pair ─┐
                                               generated mesh ────┴─► surface colours ─► chunk        (encoder)
generated mesh ─► colours of the chunk at its vertices ─► pose                                        (decoder)
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


def encode_colours(pair: PairSpec, generated: Asset, pose: Pose, original: Surface, budget: int) -> bytes | None:
    """At most `budget` bytes of colours for a mesh in the pair's frame; None where its own are as good.

    `pose` is that of the file, `original` in its own frame.
    """
    from squeeze3d.codecs.surface_colours import encode_surface_colours

    assert isinstance(generated, Mesh)
    framed = replace(original, positions=2 * pair.half_extent * pose.to_canonical(original.positions))
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
    from squeeze3d.codecs.surface_colours import apply_surface_colours

    if colours is None:
        return generated
    assert isinstance(generated, Mesh)
    return apply_surface_colours(generated, colours, half_extent=pair.half_extent)


def between(pair: PairSpec, generated: Asset, ends: Sequence[SurfaceColours | None], t: float) -> Asset:
    """Asset in the pair's frame in colours `t` of the way from those of one file to those of another.

    An end without colours shows those of the generator.
    """
    if all(end is None for end in ends):
        return generated
    first, last = (coloured(pair, generated, end) for end in ends)
    assert isinstance(first, Mesh)
    assert isinstance(last, Mesh)
    primitives = []
    for a, b in zip(first.primitives, last.primitives, strict=True):
        white = np.ones((len(a.positions), 4), dtype=np.float32)
        one, other = (white if each.colours is None else each.colours for each in (a, b))
        primitives.append(replace(a, colours=((1 - t) * one + t * other).astype(np.float32)))
    return replace(first, primitives=tuple(primitives))
