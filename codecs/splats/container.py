"""The file of a scene of splats."""

from __future__ import annotations

from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters, unpack_parameters
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.splats.frame import to_original
from squeeze3d.codecs.splats.gaussians import to_splats
from squeeze3d.codecs.splats.model import BANDS, MAX_LEVELS, Head, decode_scene
from squeeze3d.codecs.splats.places import MAX_BITS, MIN_BITS
from squeeze3d.codecs.splats.steps import FINEST
from squeeze3d.errors import FormatError

MAX_SPLATS = 1 << 24
SPLATS_PER_BYTE = 8
"""A decoder refuses more splats than this per byte of SYMBOLS, plus `FREE_SPLATS`: a hostile file of a few bytes cannot
keep it busy for minutes. Part of the format."""
FREE_SPLATS = 1024
BYTES_PER_SPLAT = 1500
BYTES_PER_HARMONIC = 200
"""Peak memory of decoding a splat, measured, and what each harmonic of three channels adds."""
LARGEST_REFERENCE = 1 << 12
"""Magnitude of the class that steps refer to, at most. Part of the format."""


def to_container(head: Head, pose: Pose, symbols: bytes, wire: int, source: int) -> Container:
    """Wrap a finished stream."""
    # Scenes of equal splats take less than a byte for so many of them. Zeros behind the end mean nothing.
    least = -(-(head.count - FREE_SPLATS) // SPLATS_PER_BYTE)
    chunks = {Tag.PARAMETERS: pack_parameters(head.parameters()), Tag.SYMBOLS: symbols.ljust(least, b"\0")}
    return Container(wire, source, pose, chunks=chunks)


def from_container(container: Container, limits: Limits) -> Splats:
    """Read a file.

    Raises FormatError or LimitError; any other content gives some splats, all of them finite.
    """
    container.expect({Tag.PARAMETERS, Tag.SYMBOLS})
    if container.pose is None:
        raise FormatError("a splats.quant file needs a pose")
    head = _head(unpack_parameters(container.chunks[Tag.PARAMETERS]))
    symbols = container.chunks[Tag.SYMBOLS]
    if head.count > FREE_SPLATS + SPLATS_PER_BYTE * len(symbols):
        raise FormatError(f"{head.count} splats cannot be coded in {len(symbols)} bytes")
    each = BYTES_PER_SPLAT + BYTES_PER_HARMONIC * BANDS[head.degree]
    limits.check(head.count * each, f"a scene of {head.count} splats")
    decoder = SymbolDecoder(symbols)
    scene = decode_scene(decoder, head)
    decoder.finish()
    return to_splats(to_original(container.pose, scene))


def _head(parameters: object) -> Head:
    names = Head.__dataclass_fields__
    if not isinstance(parameters, list) or len(parameters) != len(names) or any(type(p) is not int for p in parameters):
        raise FormatError(f"parameters must be {len(names)} integers")
    head = Head(*parameters)
    steps = (head.size, head.shape, head.turn, head.colour, head.harmonic)
    if not (
        1 <= head.count <= MAX_SPLATS
        and MIN_BITS <= head.bits <= MAX_BITS
        and 0 <= head.degree < len(BANDS)
        and 2 <= head.levels <= MAX_LEVELS
        and all(0 <= step <= FINEST for step in steps)
        and abs(head.reference) <= LARGEST_REFERENCE
    ):
        raise FormatError("parameters are out of range")
    return head
