"""The .sq3 container: header, chunks, checksum.

```text
"SQ3" version │ length │ codec │ flags+source │ [pose] │ [fingerprint] │ chunk ... chunk │ crc-32
 4 bytes        varint   varint   1 byte         ~10       4             tag length bytes    4
```

Reading checks everything here before a codec sees a byte: sizes against the file, reserved bits, chunk order,
and the checksum. What remains for codecs is to refuse critical chunks they do not know.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from squeeze3d.bitstream.pose import Pose
from squeeze3d.bitstream.varint import read_varint, write_varint
from squeeze3d.errors import ChecksumError, FormatError, TruncatedError, UnsupportedVersionError

MAGIC = b"SQ3"
FORMAT_VERSION = 1
FINGERPRINT_BYTES = 4
CHECKSUM_BYTES = 4

SOURCES = ("", "glb", "gltf", "obj", "ply", "stl", "off", "npz")
"""Name of the source format by its number in the file; 0 is unknown. Part of the format: only append."""

ANCILLARY = 0x80
"""Tag bit: a decoder that does not know the chunk may skip it."""


class Tag:
    """Chunk tags. 1 to 15 mean the same in every codec; 16 to 127 belong to the codec.

    Literal, never reused.
    """

    PARAMETERS = 1
    """msgpack, see `parameters`."""
    SYMBOLS = 2
    """Range-coded symbols, see `entropy`."""
    IMAGE = 3
    """A complete WebP, AVIF, PNG or JPEG file."""
    BULK = 4
    """zstandard, see `bulk`."""
    METADATA = ANCILLARY | 1
    """msgpack map for people and tools; never needed to decode."""


_FLAG_POSE = 0x01
_FLAG_FINGERPRINT = 0x02
_RESERVED_FLAGS = 0x0C
_SOURCE_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Container:
    """The content of one .sq3 file."""

    codec: int
    """Wire number; names the codec and its stream version."""
    source: int = 0
    """Format the asset came from, 0 to 15; 0 when unknown. See `SOURCES`."""
    pose: Pose | None = None
    fingerprint: bytes | None = None
    """First 4 bytes of the SHA-256 of the weights a neural codec needs."""
    chunks: Mapping[int, bytes] = field(default_factory=dict)
    """Payload by tag."""

    def to_bytes(self) -> bytes:
        """Serialise. The same content gives the same bytes."""
        if not 0 <= self.source <= 15:
            raise ValueError(f"source format {self.source} must lie in [0, 15]")
        flags = self.source << _SOURCE_SHIFT
        body = bytearray()
        if self.pose is not None:
            flags |= _FLAG_POSE
            body += self.pose.to_bytes()
        if self.fingerprint is not None:
            if len(self.fingerprint) != FINGERPRINT_BYTES:
                raise ValueError(f"fingerprint must have {FINGERPRINT_BYTES} bytes")
            flags |= _FLAG_FINGERPRINT
            body += self.fingerprint
        for tag in sorted(self.chunks):
            if not 1 <= tag <= 0xFF or tag == ANCILLARY:
                raise ValueError(f"chunk tag {tag} is out of range")
            body += bytes([tag]) + write_varint(len(self.chunks[tag])) + self.chunks[tag]
        head = write_varint(self.codec) + bytes([flags])
        length = write_varint(len(head) + len(body) + CHECKSUM_BYTES)
        data = MAGIC + bytes([FORMAT_VERSION]) + length + head + bytes(body)
        return data + zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Container:
        """Parse and check a whole file.

        Raises
        ------
        FormatError : not a .sq3 file, or it breaks a rule of the format.
        TruncatedError : the file is shorter than it declares.
        ChecksumError : the checksum does not match.
        UnsupportedVersionError : written by a newer program.
        """
        data = bytes(data)
        offset = _check_start(data)
        length, offset = read_varint(data, offset)
        present = len(data) - offset
        if present < length:
            raise TruncatedError(
                f"file is cut short: {len(data)} of {offset + length} bytes present",
                hint="copy or download it again; no part of a .sq3 file can be decoded alone",
            )
        if present > length:
            raise FormatError(f"{present - length} unexpected bytes behind the end of the file")
        end = len(data) - CHECKSUM_BYTES
        if end < offset:
            raise FormatError(f"declared length {length} leaves no room for the checksum")
        if zlib.crc32(data[:end]) != int.from_bytes(data[end:], "little"):
            raise ChecksumError("checksum does not match: the file is damaged", hint="copy or download it again")

        body = data[:end]
        codec, offset = read_varint(body, offset)
        flags, offset = _take(body, offset, 1, "flags")
        if flags[0] & _RESERVED_FLAGS:
            raise FormatError(f"reserved flags are set: {flags[0] & _RESERVED_FLAGS:#04x}")
        pose = fingerprint = None
        if flags[0] & _FLAG_POSE:
            pose, offset = Pose.from_bytes(body, offset)
        if flags[0] & _FLAG_FINGERPRINT:
            fingerprint, offset = _take(body, offset, FINGERPRINT_BYTES, "fingerprint")
        chunks: dict[int, bytes] = {}
        last = 0
        while offset < end:
            tag, start = body[offset], offset
            if not tag & 0x7F:
                raise FormatError(f"chunk at offset {start} has the reserved tag {tag:#04x}")
            if tag <= last:
                raise FormatError(f"chunk {tag:#04x} at offset {start} is out of order or repeated")
            size, offset = read_varint(body, offset + 1)
            chunks[tag], offset = _take(body, offset, size, f"chunk {tag:#04x}")
            last = tag
        return cls(codec, flags[0] >> _SOURCE_SHIFT, pose, fingerprint, chunks)

    def expect(self, required: Collection[int], optional: Collection[int] = ()) -> None:
        """Check that all required chunks are there and every critical chunk is known.

        Raises FormatError otherwise.
        """
        for tag in sorted(required):
            if tag not in self.chunks:
                raise FormatError(f"required chunk {tag:#04x} is missing")
        for tag in self.chunks:
            if not tag & ANCILLARY and tag not in required and tag not in optional:
                raise FormatError(f"critical chunk {tag:#04x} is unknown to this codec")


def is_sq3(data: bytes) -> bool:
    """Whether the data starts like a .sq3 file of any version."""
    return data[: len(MAGIC)] == MAGIC


def _check_start(data: bytes) -> int:
    if not data:
        raise TruncatedError("file is empty")
    if not is_sq3(data):
        if MAGIC.startswith(data):
            raise TruncatedError(f"file is cut short: only {len(data)} bytes present")
        raise FormatError("not a .sq3 file", hint="`sq3d compress` makes one; `sq3d decompress` reads only those")
    if len(data) == len(MAGIC):
        raise TruncatedError(f"file is cut short: only {len(data)} bytes present")
    version = data[len(MAGIC)]
    if version > FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"file has format version {version}, this program reads up to {FORMAT_VERSION}",
            hint="update with `pip install -U squeeze3d`",
        )
    if version == 0:
        raise FormatError("file has format version 0, which does not exist")
    return len(MAGIC) + 1


def _take(data: bytes, offset: int, count: int, what: str) -> tuple[bytes, int]:
    if count > len(data) - offset:
        raise TruncatedError(
            f"{what} at offset {offset} is cut short: {len(data) - offset} of {count} bytes present",
        )
    return data[offset : offset + count], offset + count
