"""`SurfaceModel`: the content of a `mesh.surface` file, and its way to bytes and back.

```text
SurfaceModel ─► SYMBOLS: look, precision │ connectivity, positions │ a colour, [cuts] and details, or a picture │ hash
```

One stream of the binary range coder holds everything, parameters included: they take 5 bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import AlphaMode
from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, code_raw
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.meshes import MAX_STEP, decode_mesh, encode_mesh
from squeeze3d.codecs.surface import smooth_colours
from squeeze3d.codecs.surface.atlas import TEXELS
from squeeze3d.codecs.surface.canvas import SPACINGS, Canvas
from squeeze3d.codecs.surface.cuts import code_cuts, inner_edges
from squeeze3d.codecs.surface.picture import Picture, code_picture, layout, pieces
from squeeze3d.errors import ChecksumError, FormatError

MIN_BITS, MAX_BITS = 4, 18
MAX_FACES = 1 << 22
FACES_PER_BYTE = 64
"""A decoder refuses more triangles than this per byte of SYMBOLS, plus `FREE_FACES`: no real mesh comes close, and a
tiny hostile file cannot keep it busy for minutes. Part of the format."""
FREE_FACES = 1024
BYTES_PER_FACE = 12_000
"""Peak memory of decoding, with as many colours as a triangle may have; what the memory limit is checked against."""
FREE_BYTES = 16_384 * 600

CREASES = (0, 25, 40, 60, 90, 180)
"""Angles by number, in degrees; see `squeeze3d.geometry.normals`. Part of the format."""
SHADES = 15
"""Metalness and roughness are multiples of 1 / 15."""
_ALPHA: tuple[AlphaMode, ...] = ("OPAQUE", "MASK", "BLEND")
HASH_BITS = 16


class ColourMode(IntEnum):
    """How colours are stored. Part of the format."""

    CONSTANT = 0
    SMOOTH = 1
    PICTURE = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What the whole surface shares."""

    double_sided: bool = False
    unlit: bool = False
    alpha_mode: AlphaMode = "OPAQUE"
    metallic: int = 0
    """0 to `SHADES`."""
    roughness: int = SHADES
    """0 to `SHADES`."""
    crease: int = 180
    """One of `CREASES`."""

    @property
    def components(self) -> int:
        """Numbers of a colour: Y, Co, Cg and perhaps alpha."""
        return 3 if self.alpha_mode == "OPAQUE" else 4


@dataclass(frozen=True, eq=False)
class Details:
    """Colours all over the surface."""

    canvas: Canvas
    step: int
    """Number of the quantiser step."""
    values: NDArray[np.int64]
    """(N, C) quantised details of the canvas's vertices."""


@dataclass(frozen=True, eq=False)
class SurfaceModel:
    """Everything a decoder gets to know. Vertices and triangles are in coding order."""

    pose: Pose
    bits: int
    step: int
    """Coarseness of the mesh coder's residuals along the surface."""
    triangles: NDArray[np.int64]
    """(F, 3)."""
    cells: NDArray[np.int64]
    """(V, 3) grid cells of the vertices."""
    look: Look
    constant: tuple[int, int, int, int] = (255, 255, 255, 255)
    """The one colour, sRGB bytes and alpha; only where there is nothing else."""
    details: Details | None = None
    picture: Picture | None = None
    """At most one of both."""

    @property
    def mode(self) -> ColourMode:
        """How colours are stored."""
        if self.picture is not None:
            return ColourMode.PICTURE
        return ColourMode.CONSTANT if self.details is None else ColourMode.SMOOTH


def to_container(model: SurfaceModel, wire: int, source: int) -> Container:
    """Serialise a model."""
    capacity = 1024 + 64 * len(model.triangles)
    if model.details is not None:
        capacity += 32 * model.details.values.size
    if model.picture is not None:
        capacity += 2 * len(model.picture.data)
    coder = BinaryEncoder(capacity)
    write(coder, model)
    # Perfectly regular grids take less than a byte per FACES_PER_BYTE triangles. Zeros behind the end mean nothing.
    least = -(-(len(model.triangles) - FREE_FACES) // FACES_PER_BYTE)
    return Container(wire, source, model.pose, chunks={Tag.SYMBOLS: coder.finish().ljust(least, b"\0")})


def write(coder: BinaryEncoder | BinaryMeter, model: SurfaceModel) -> None:
    """Code a model."""
    faces, look = len(model.triangles), model.look
    length = faces.bit_length()
    for bits, value in (
        (5, length),
        (length - 1, faces - (1 << (length - 1))),
        (4, model.bits - MIN_BITS),
        (3, model.step),
        (2, int(model.mode)),
        (1, int(look.double_sided)),
        (1, int(look.unlit)),
        (2, _ALPHA.index(look.alpha_mode)),
        (4, look.metallic),
        (4, look.roughness),
        (3, CREASES.index(look.crease)),
    ):
        code_raw(coder.state, coder.data, bits, value)
    mesh = encode_mesh(coder, model.triangles, model.cells, model.bits, model.step, in_order=True)
    assert np.array_equal(mesh.triangles, model.triangles), "model is not in coding order"
    if model.picture is None:
        write_colours(coder, model.look, model.constant, model.details)
    else:
        code_raw(coder.state, coder.data, 6, model.picture.texel)
        code_raw(coder.state, coder.data, 1, int(model.picture.subsampled))
        code_picture(coder, model.picture.data)
    code_raw(coder.state, coder.data, HASH_BITS, _hash(model))


def write_colours(
    coder: BinaryEncoder | BinaryMeter, look: Look, constant: tuple[int, ...], details: Details | None
) -> None:
    """Code what a model has of colours."""
    if details is None:
        for value in constant[: look.components]:
            code_raw(coder.state, coder.data, 8, value)
        return
    canvas = details.canvas
    code_raw(coder.state, coder.data, 6, canvas.spacing)
    code_raw(coder.state, coder.data, 6, details.step)
    code_raw(coder.state, coder.data, 1, int(canvas.flags is not None))
    if canvas.flags is not None:
        edges = canvas.edges or inner_edges(canvas.triangles, canvas.cells)
        code_cuts(coder, edges, canvas.triangles, len(canvas.cells), canvas.flags)
    smooth_colours.code_details(coder, canvas.hierarchy, details.values)


def from_container(container: Container, limits: Limits) -> SurfaceModel:
    """Inverse of `to_container`.

    Raises FormatError or LimitError; any other container content gives some model, with all indices in range.
    """
    container.expect({Tag.SYMBOLS})
    if container.pose is None:
        raise FormatError("a mesh.surface file needs a pose")
    symbols = container.chunks[Tag.SYMBOLS]
    coder = BinaryDecoder(symbols)

    def raw(bits: int) -> int:
        return int(code_raw(coder.state, coder.data, bits, 0))

    length = raw(5)
    faces = (1 << (length - 1)) + raw(length - 1) if length else 0
    if not 1 <= faces <= min(MAX_FACES, FREE_FACES + FACES_PER_BYTE * len(symbols)):
        raise FormatError(f"{faces} triangles cannot be coded in {len(symbols)} bytes")
    bits, coarse = raw(4), raw(3)
    mode, double_sided, unlit, alpha, metallic, roughness, crease = (raw(n) for n in (2, 1, 1, 2, 4, 4, 3))
    if (
        mode > ColourMode.PICTURE
        or coarse > MAX_STEP
        or bits + MIN_BITS > MAX_BITS
        or alpha >= len(_ALPHA)
        or crease >= len(CREASES)
    ):
        raise FormatError("parameters are out of range")
    bits += MIN_BITS
    limits.check(faces * BYTES_PER_FACE + FREE_BYTES, f"a mesh of {faces} triangles")
    look = Look(bool(double_sided), bool(unlit), _ALPHA[alpha], metallic, roughness, CREASES[crease])
    mesh = decode_mesh(coder, faces, bits, coarse)
    constant, details, picture = (255, 255, 255, 255), None, None
    if mode == ColourMode.CONSTANT:
        found = [raw(8) for _ in range(look.components)]
        constant = (found[0], found[1], found[2], found[3] if len(found) > 3 else 255)
    elif mode == ColourMode.PICTURE:
        texel, subsampled = raw(6), bool(raw(1))
        if alpha or texel >= len(TEXELS):
            raise FormatError("the picture of the surface is out of range")
        place = layout(pieces(mesh.triangles, mesh.cells), texel)
        if place is None:
            raise FormatError("the atlas of the picture is out of range")
        picture = Picture(texel, subsampled, code_picture(coder, None, len(symbols)), place)
    else:
        spacing, step = raw(6), raw(6)
        if spacing >= len(SPACINGS):
            raise FormatError("spacing of colours is out of range")
        flags = edges = None
        if raw(1):
            edges = inner_edges(mesh.triangles, mesh.cells)
            flags = code_cuts(coder, edges, mesh.triangles, len(mesh.cells), None)
        canvas = Canvas(mesh.triangles, mesh.cells, flags, spacing, edges)
        blank = np.zeros((len(canvas.refinement.cells), look.components), dtype=np.int64)
        details = Details(canvas, step, smooth_colours.code_details(coder, canvas.hierarchy, blank))
    model = SurfaceModel(container.pose, bits, coarse, mesh.triangles, mesh.cells, look, constant, details, picture)
    if raw(HASH_BITS) != _hash(model):
        raise ChecksumError(
            "decoded symbols do not match their hash: the file is damaged, or this decoder differs from its encoder",
            hint="use the squeeze3d version the file was made with",
        )
    coder.finish()
    return model


def _hash(model: SurfaceModel) -> int:
    """Of all numbers that were coded."""
    value = zlib.crc32(model.triangles.astype("<i4").tobytes())
    value = zlib.crc32(model.cells.astype("<i4").tobytes(), value)
    if model.details is not None:
        value = zlib.crc32(model.details.values.astype("<i4").tobytes(), value)
    if model.picture is not None:
        value = zlib.crc32(model.picture.data, value)
    return value & 0xFFFF
