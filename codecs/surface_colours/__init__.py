"""Colours for surfaces that a generator makes: what is coded where depends on integers in the stream alone.

```text
original, generated ─► samples ─► layout ─► fit ─► shared colour coder ─► bytes          (encoder)
bytes ─► layout, cells ─► integer colours of cells ─► read at vertices of the generated  (decoder)
```

A generator computes in floating point: the last bits of its surface, and now and then its topology, differ between
machines. So its surface chooses no cell and no context. The stream names the cells itself: those of a small grid
(`Kind.VOLUME`), or the texels of six views (`Kind.VIEWS`), whose number needs no more than a size. A vertex that has
moved a little reads nearly the same colour.
"""

from __future__ import annotations

from squeeze3d.codecs.surface_colours.clouds import apply_cloud_colours, encode_cloud_colours
from squeeze3d.codecs.surface_colours.encode import encode_surface_colours
from squeeze3d.codecs.surface_colours.rebuild import apply_surface_colours
from squeeze3d.codecs.surface_colours.stream import SurfaceColours, decode_surface_colours

__all__ = [
    "SurfaceColours",
    "apply_cloud_colours",
    "apply_surface_colours",
    "decode_surface_colours",
    "encode_cloud_colours",
    "encode_surface_colours",
]
