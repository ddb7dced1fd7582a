"""Variable-length integers: unsigned LEB128, 7 bits a byte, least significant group first."""

from __future__ import annotations

from squeeze3d.errors import FormatError, TruncatedError

MAX_BYTES = 10


def write_varint(value: int) -> bytes:
    """Shortest encoding of 0 <= value < 2**64."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} does not fit an unsigned 64-bit varint")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Value at `offset` and the offset behind it.

    Raises TruncatedError when the data ends inside it, FormatError when it is longer than needed (each value
    has one spelling, so that equal content means equal bytes) or exceeds 64 bits.
    """
    value = 0
    for index in range(MAX_BYTES):
        if offset + index >= len(data):
            raise TruncatedError(f"file ends inside a number at offset {offset}")
        byte = data[offset + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise FormatError(f"number at offset {offset} has a padded spelling")
            if value >= 1 << 64:
                break
            return value, offset + index + 1
    raise FormatError(f"number at offset {offset} exceeds 64 bits")


def zigzag(value: int) -> int:
    """Map 0, -1, 1, -2, 2 ... to 0, 1, 2, 3, 4 ..."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Inverse of `zigzag`."""
    return (value >> 1) ^ -(value & 1)
