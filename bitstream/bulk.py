"""Bulk side data: zstandard with bounded decoding."""

from __future__ import annotations

import zstandard

from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.varint import read_varint, write_varint
from squeeze3d.errors import FormatError

MAX_WINDOW = 1 << 27
"""Largest zstandard window a frame may ask for. Part of the format."""

_SLICE = 256
"""Compressed bytes decoded at a time. 4 bytes may hold a block of 128 KiB, so a slice yields about 8 MiB."""


def pack_bulk(data: bytes, *, level: int = 19) -> bytes:
    """Content size as varint, then a zstandard frame without magic, checksum or size of its own."""
    # The container already carries a checksum and the size stands in front: the frame repeats neither.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(data),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    return write_varint(len(data)) + zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def unpack_bulk(data: bytes, limits: Limits, what: str = "bulk data") -> bytes:
    """Inverse of `pack_bulk`.

    Raises LimitError before allocating if the declared size exceeds the limit, FormatError if the frame is
    damaged, asks for a larger window than its content needs, or its content has another size than declared.
    """
    size, offset = read_varint(data, 0)
    limits.check(size, what)
    if data[offset : offset + 1] != b"\0":
        raise FormatError(f"{what} has a zstandard frame header that is not allowed")
    window = min(MAX_WINDOW, max(1 << 10, 1 << (size - 1).bit_length()))
    decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=window)
    stream = decompressor.decompressobj(write_size=1 << 16)
    out = bytearray()
    try:
        # Fed in slices: hostile input may expand hugely, so the size is checked before the next one.
        for start in range(offset, len(data), _SLICE):
            out += stream.decompress(data[start : start + _SLICE])
            if len(out) > size:
                raise FormatError(f"{what} is longer than the {size} bytes it declares")
            if stream.eof:
                if stream.unused_data or start + _SLICE < len(data):
                    raise FormatError(f"{what} has trailing bytes")
                break
    except zstandard.ZstdError as error:
        raise FormatError(f"{what} is not a valid zstandard frame: {error}") from None
    if len(out) != size or not stream.eof:
        raise FormatError(f"{what} holds {len(out)} of the {size} bytes it declares")
    return bytes(out)
