"""`Picture`: colours of a coded mesh as a picture on its atlas, and the atlas from the mesh alone.

```text
coded mesh ─► charts ─► atlas ─► width, height, texture coordinates
                                       │
                AV1 key frame ─────────┴─► texels
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, code_raw
from squeeze3d.codecs.surface.atlas import FREE_TEXELS, TEXELS_PER_FACE, Atlas, atlas
from squeeze3d.codecs.surface.charts import MOST_FACES, Charts, charts
from squeeze3d.codecs.surface.cuts import inner_edges
from squeeze3d.compiled import compiled
from squeeze3d.errors import FormatError
from squeeze3d.texture.av1 import decode_still
from squeeze3d.threads import unlocked_property

_KINDS = (0x0A, 0x32)
"""First bytes of units that carry their size: a sequence header, a frame."""
_SIZE_BYTES = 4


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

    @unlocked_property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB. Raises FormatError."""
        self._check_header()
        return decode_still(self.data, self.layout.width, self.layout.height, subsampled=self.subsampled)

    def _check_header(self) -> None:
        """Refuse sizes other than the atlas's before an AV1 decoder makes room for them."""
        bits = int.from_bytes(self.data[2:18].ljust(16, b"\0"), "big")
        at = 128

        def take(count: int) -> int:
            nonlocal at
            at -= count
            return bits >> at & (1 << count) - 1

        profile, still = take(3), take(2)
        take(5)
        columns, rows = take(4) + 1, take(4) + 1
        size = take(columns) + 1, take(rows) + 1
        take(6)
        deep, grey = take(1), 0 if profile == 1 else take(1)
        place = self.layout
        if (profile, still, *size, deep, grey) != (int(not self.subsampled), 3, place.width, place.height, 0, 0):
            raise FormatError(f"the picture of the surface is not one of {place.width} x {place.height} texels")


def pieces(triangles: NDArray[np.int64], cells: NDArray[np.int64]) -> Charts:
    """Charts of a coded mesh.

    Raises FormatError where there are too many triangles.
    """
    if len(triangles) > MOST_FACES:
        raise FormatError(f"a mesh of {len(triangles)} triangles has no picture")
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

    Raises FormatError where types or sizes make no sense.
    """
    if data is not None:
        _code_bytes(coder.state, coder.data, np.frombuffer(data, dtype=np.uint8).copy())
        return data
    result = b""
    for kind in _KINDS:
        head = bytearray([code_raw(coder.state, coder.data, 8, 0)])
        size, byte = 0, 128
        while byte > 127 and len(head) <= _SIZE_BYTES:
            byte = code_raw(coder.state, coder.data, 8, 0)
            size |= (byte & 127) << 7 * (len(head) - 1)
            head.append(byte)
        if head[0] != kind:
            raise FormatError("the picture of the surface is no key frame")
        if size > most or byte > 127:
            raise FormatError("the picture of the surface is larger than its file")
        body = np.zeros(size, dtype=np.uint8)
        _code_bytes(coder.state, coder.data, body)
        result += bytes(head) + body.tobytes()
    return result


@compiled
def _code_bytes(state, data, values):  # type: ignore[no-untyped-def]
    for place in range(len(values)):
        values[place] = code_raw(state, data, 8, values[place])
