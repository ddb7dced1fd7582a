"""`Picture`: colours of a coded mesh as a picture on its atlas, and the atlas from the mesh alone.

```text
coded mesh ─► charts ─► atlas ─► width, height, texture coordinates
                                       │
                AV1 key frame ─────────┴─► texels
```
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, code_raw
from squeeze3d.codecs.surface.atlas import FREE_TEXELS, TEXELS_PER_FACE, Atlas, atlas
from squeeze3d.codecs.surface.charts import Charts, charts
from squeeze3d.codecs.surface.cuts import inner_edges
from squeeze3d.compiled import compiled
from squeeze3d.errors import FormatError
from squeeze3d.texture.av1 import UNITS, decode_still


@dataclass(frozen=True, eq=False)
class Picture:
    """Colours all over a surface."""

    texel: int
    """Number of the texel size."""
    subsampled: bool
    """Whether chroma has half the resolution."""
    data: bytes
    """AV1 units."""
    layout: Atlas

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB. Raises FormatError."""
        return decode_still(self.data, self.layout.width, self.layout.height, subsampled=self.subsampled)


def pieces(triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> Charts:
    """Charts of a coded mesh."""
    return charts(triangles, cells, inner_edges(triangles, cells))


def layout(flat: Charts, texel: int) -> Atlas | None:
    """The atlas for texels of a size; None where it would be too large."""
    return atlas(flat, texel, FREE_TEXELS + TEXELS_PER_FACE * len(flat.owners))


def code_picture(coder: BinaryEncoder | BinaryDecoder | BinaryMeter, data: bytes | None, most: int = 0) -> bytes:
    """Code the bytes of a picture, which say where they end: AV1 units carry their sizes.

    Parameters
    ----------
    data : None in a decoder.
    most : bytes that a decoder expects at most.

    Raises FormatError where sizes make no sense.
    """
    if data is not None:
        _code_bytes(coder.state, coder.data, np.frombuffer(data, dtype=np.uint8).copy())
        return data
    result = b""
    for _ in range(UNITS):
        head = bytearray([code_raw(coder.state, coder.data, 8, 0)])
        size = 0
        while True:
            byte = code_raw(coder.state, coder.data, 8, 0)
            size |= (byte & 127) << 7 * (len(head) - 1)
            head.append(byte)
            if byte < 128 or len(head) > 4:
                break
        if size > most:
            raise FormatError("the picture of the surface is larger than its file")
        body = np.zeros(size, dtype=np.uint8)
        _code_bytes(coder.state, coder.data, body)
        result += bytes(head) + body.tobytes()
    return result


@compiled
def _code_bytes(state, data, values):  # type: ignore[no-untyped-def]
    for place in range(len(values)):
        values[place] = code_raw(state, data, 8, values[place])
