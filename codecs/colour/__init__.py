"""Colours on the occupied cells of a grid, shared by every codec whose decoder knows such cells.

```text
points with colours ─► PointAims ─► ColourSearch ─► encode_cells ─► symbols ─► decode_colours ─► lookup
                                                ▲                            ▲
                                occupied cells ─┴────────────────────────────┘  (known to both sides)
```
"""

from __future__ import annotations

from squeeze3d.codecs.colour.aims import CellAims, PointAims
from squeeze3d.codecs.colour.lookup import cell_means, lookup
from squeeze3d.codecs.colour.model import CellColours, decode_colours, encode_colours
from squeeze3d.codecs.colour.search import Candidate, ColourSearch
from squeeze3d.codecs.colour.settings import ColourMode, ColourSettings

__all__ = [
    "Candidate",
    "CellAims",
    "CellColours",
    "ColourMode",
    "ColourSearch",
    "ColourSettings",
    "PointAims",
    "cell_means",
    "decode_colours",
    "encode_colours",
    "lookup",
]
