"""`SurfaceModel`: the content of a `mesh.surface` file, and its way to bytes and back.

```text
SurfaceModel ─► PARAMETERS (msgpack)  faces, bits, material ...
             ─► SYMBOLS (range coder) connectivity, positions, [colours | texture coordinates]
             ─► IMAGE (WebP)          [texture]
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import AlphaMode
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters, unpack_parameters
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.surface.connectivity import Conquest, decode_connectivity, encode_connectivity
from squeeze3d.codecs.surface.positions import MAX_BITS, MIN_BITS, decode_positions, encode_positions
from squeeze3d.codecs.surface.texture_coordinates import (
    MAX_UV_BITS,
    Wedges,
    decode_texture_coordinates,
    encode_texture_coordinates,
)
from squeeze3d.codecs.surface.vertex_colours import MAX_STEP, decode_colours, encode_colours
from squeeze3d.errors import FormatError

MAX_FACES = 1 << 22
FACES_PER_BYTE = 64
"""A decoder refuses more triangles than this per byte of SYMBOLS, plus `FREE_FACES`: no real mesh comes close, and a
tiny hostile file cannot keep it busy for minutes. Part of the format."""
FREE_FACES = 1024
BYTES_PER_FACE = 1100
"""Peak memory of decoding, measured; what the memory limit is checked against."""

_ALPHA: tuple[AlphaMode, ...] = ("OPAQUE", "MASK", "BLEND")


class ColourMode(IntEnum):
    """How colours are stored. Part of the format."""

    CONSTANT = 0
    VERTEX = 1
    TEXTURE = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What the whole surface shares."""

    double_sided: bool = False
    unlit: bool = False
    alpha_mode: AlphaMode = "OPAQUE"
    metallic: int = 0
    """0 to 255."""
    roughness: int = 255
    """0 to 255."""
    crease: int = 180
    """Degrees; see `squeeze3d.geometry.normals`."""


@dataclass(frozen=True, eq=False)
class SurfaceModel:
    """Everything a decoder gets to know. Vertices and triangles are in coding order."""

    pose: Pose
    bits: int
    conquest: Conquest
    cells: NDArray[np.int64]
    """(V, 3) grid cells of the vertices."""
    look: Look
    mode: ColourMode
    constant: tuple[int, int, int, int] = (255, 255, 255, 255)
    """CONSTANT: sRGB bytes and alpha."""
    step: int = 1
    """VERTEX: quantiser step."""
    colours: NDArray[np.int64] | None = None
    """VERTEX: (V, 3) quantised YCoCg."""
    uv_bits: int = 0
    """TEXTURE: bits per coordinate."""
    wedges: Wedges | None = None
    """TEXTURE: coordinates."""
    image: bytes = b""
    """TEXTURE: a WebP file."""


def encode_mesh(
    triangles: NDArray[np.integer], cells: NDArray[np.int64]
) -> tuple[SymbolEncoder, Conquest, NDArray[np.int64]]:
    """Start a stream with a mesh; its encoder, the mesh in coding order and the old number of each vertex."""
    encoder = SymbolEncoder()
    conquest, order = encode_connectivity(encoder, triangles)
    encode_positions(encoder, conquest.triangles, cells[order])
    return encoder, conquest, order


def to_container(model: SurfaceModel, wire: int, source: int) -> Container:
    """Serialise a model."""
    encoder, conquest, order = encode_mesh(model.conquest.triangles, model.cells)
    assert np.array_equal(order, np.arange(len(order))), "model is not in coding order"
    look = model.look
    flags = look.double_sided | look.unlit << 1 | _ALPHA.index(look.alpha_mode) << 2
    parameters = [
        len(conquest.triangles),
        model.bits,
        int(model.mode),
        flags,
        look.metallic,
        look.roughness,
        look.crease,
    ]
    chunks: dict[int, bytes] = {}
    if model.mode is ColourMode.CONSTANT:
        parameters += model.constant
    elif model.mode is ColourMode.VERTEX:
        assert model.colours is not None
        parameters.append(model.step)
        encode_colours(encoder, conquest.triangles, model.colours)
    else:
        assert model.wedges is not None
        parameters.append(model.uv_bits)
        encode_texture_coordinates(encoder, conquest, model.wedges.corners, model.wedges.uvs)
        chunks[Tag.IMAGE] = model.image
    chunks[Tag.PARAMETERS] = pack_parameters(parameters)
    # Perfectly regular grids take less than a byte per FACES_PER_BYTE triangles. Zeros behind the end mean nothing.
    least = -(-(len(conquest.triangles) - FREE_FACES) // FACES_PER_BYTE)
    chunks[Tag.SYMBOLS] = encoder.finish().ljust(least, b"\0")
    return Container(wire, source, model.pose, chunks=chunks)


def from_container(container: Container, limits: Limits) -> SurfaceModel:
    """Inverse of `to_container`.

    Raises FormatError or LimitError; any other container content gives some model, with all indices in range.
    """
    container.expect({Tag.PARAMETERS, Tag.SYMBOLS}, {Tag.IMAGE})
    if container.pose is None:
        raise FormatError("a mesh.surface file needs a pose")
    parameters = unpack_parameters(container.chunks[Tag.PARAMETERS])
    if not isinstance(parameters, list) or any(type(p) is not int for p in parameters) or len(parameters) < 7:
        raise FormatError("parameters must be a list of integers")
    faces, bits, mode_number, flags, metallic, roughness, crease, *rest = parameters
    symbols = container.chunks[Tag.SYMBOLS]
    if not 1 <= faces <= min(MAX_FACES, FREE_FACES + FACES_PER_BYTE * len(symbols)):
        raise FormatError(f"{faces} triangles cannot be coded in {len(symbols)} bytes")
    if not (MIN_BITS <= bits <= MAX_BITS and 0 <= flags < 12 and 0 <= crease <= 180):
        raise FormatError("parameters are out of range")
    if not (0 <= metallic <= 255 and 0 <= roughness <= 255 and mode_number in tuple(ColourMode)):
        raise FormatError("parameters are out of range")
    limits.check(faces * BYTES_PER_FACE, f"a mesh of {faces} triangles")
    mode = ColourMode(mode_number)
    if (mode is ColourMode.TEXTURE) != (Tag.IMAGE in container.chunks):
        raise FormatError("texture and colour mode contradict each other")
    if len(rest) != (4 if mode is ColourMode.CONSTANT else 1):
        raise FormatError("parameters have the wrong number of entries")

    decoder = SymbolDecoder(symbols)
    conquest = decode_connectivity(decoder, faces)
    count = int(conquest.triangles.max()) + 1
    cells = decode_positions(decoder, conquest.triangles, count, bits)
    look = Look(bool(flags & 1), bool(flags & 2), _ALPHA[flags >> 2], metallic, roughness, crease)
    constant, step, colours, uv_bits, wedges, image = (255, 255, 255, 255), 1, None, 0, None, b""
    if mode is ColourMode.CONSTANT:
        if any(not 0 <= c <= 255 for c in rest):
            raise FormatError("constant colour is out of range")
        constant = (rest[0], rest[1], rest[2], rest[3])
    elif mode is ColourMode.VERTEX:
        step = rest[0]
        if not 1 <= step <= MAX_STEP:
            raise FormatError(f"colour step {step} is out of range")
        colours = decode_colours(decoder, conquest.triangles, count)
    else:
        uv_bits = rest[0]
        if not 1 <= uv_bits <= MAX_UV_BITS:
            raise FormatError(f"{uv_bits} bits of texture coordinates are out of range")
        wedges = decode_texture_coordinates(decoder, conquest, uv_bits)
        image = container.chunks[Tag.IMAGE]
    decoder.finish()
    return SurfaceModel(
        container.pose, bits, conquest, cells, look, mode, constant, step, colours, uv_bits, wedges, image
    )
