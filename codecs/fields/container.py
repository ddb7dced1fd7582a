"""The file of a field: stream, and the box if the pose does not say it well enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.fields import BOX
from squeeze3d.codecs.fields.content import Content
from squeeze3d.codecs.fields.head import Head, Shape
from squeeze3d.codecs.fields.model import decode_field
from squeeze3d.codecs.fields.rebuild import to_field
from squeeze3d.codecs.lite.structure import encode_structure
from squeeze3d.errors import FormatError

_BOX_BYTES = 24
SHIFT = 1 / 64
"""Part of a cell of the field by which a box may be off; a file with more than that holds it exactly."""


def to_container(box: NDArray[np.float32], shape: Shape, symbols: bytes, wire: int, source: int) -> Container:
    """Wrap a finished stream."""
    pose = Pose.from_bounds(box)
    chunks = {Tag.SYMBOLS: symbols}
    cell = float((box[1] - box[0]).astype(np.float64).max()) / max(shape)
    if np.abs(posed_box(pose, shape).astype(np.float64) - box).max() <= SHIFT * cell:
        return Container(wire, source, pose, chunks=chunks)
    chunks[BOX] = box.astype("<f4").tobytes()
    return Container(wire, source, chunks=chunks)


def posed_box(pose: Pose, shape: Shape) -> NDArray[np.float32]:
    """(2, 3) box of a grid of cubes whose longest side is the pose's."""
    half = np.array(shape, dtype=np.float64) / max(shape) / 2
    return pose.to_original(np.stack([-half, half]))


def from_container(container: Container, limits: Limits) -> RadianceField:
    """Read a file.

    Raises FormatError or LimitError; any other content gives some field.
    """
    container.expect({Tag.SYMBOLS}, {BOX})
    if (container.pose is None) == (BOX not in container.chunks):
        raise FormatError("a field.blocks file has either a pose or a box")
    decoder = SymbolDecoder(container.chunks[Tag.SYMBOLS])
    cells = decode_field(decoder, limits)
    decoder.finish()
    if container.pose is not None:
        box = posed_box(container.pose, cells.head.shape)
    else:
        data = container.chunks[BOX]
        if len(data) != _BOX_BYTES:
            raise FormatError(f"the box of the field takes {len(data)} bytes, not {_BOX_BYTES}")
        box = np.frombuffer(data, dtype="<f4").reshape(2, 3).astype(np.float32)
        if not np.isfinite(box).all() or (box[0] > box[1]).any():
            raise FormatError("the box of the field is not a finite minimum and maximum")
    return to_field(cells, box, limits)


def empty_stream(content: Content) -> bytes:
    """Stream of a field in which nothing is to be seen."""
    encoder = SymbolEncoder()
    Head(content.shape, 1, content.is_log).write(encoder)
    encode_structure(encoder, np.zeros(Head(content.shape, 1).coded, dtype=bool))
    return encoder.finish()
