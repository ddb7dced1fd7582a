"""A second decoder for `.sq3` files, written from `CODEC_SPEC.md` alone.

It shares no code with squeeze3d and uses no NumPy: every step is spelled out the way the specification describes it.
It is slow, and meant to be read next to the text. Section numbers are those of `CODEC_SPEC.md`.

`decode(data)` returns a dict of files for `any.raw`, a `Lite` for `mesh.lite`, which `reference_lite` decodes, and a
`Surface` for `mesh.surface`, which `reference_surface` decodes. Files that section 10 tells a decoder to refuse raise
`ValueError`.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from reference_lite import Lite
    from reference_surface import Surface

SPECIFICATION = Path(__file__).parents[2] / "CODEC_SPEC.md"
SUFFIXES = {1: "glb", 2: "gltf", 3: "obj", 4: "ply", 5: "stl", 6: "off", 7: "npz"}
PARAMETERS, SYMBOLS, BULK = 1, 2, 4
ANY_RAW, MESH_LITE, SPLATS_QUANT, MESH_SURFACE = 1, 3, 23, 25
CODECS = {
    ANY_RAW: ((BULK,), (PARAMETERS,)),
    MESH_LITE: ((SYMBOLS,), ()),
    SPLATS_QUANT: ((PARAMETERS, SYMBOLS), ()),
    MESH_SURFACE: ((SYMBOLS,), ()),
}
"""Required and optional chunks."""
MEMORY_LIMIT = 2**31
MASK64 = 2**64 - 1
LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127

Vector = tuple[int, ...]
Triangle = tuple[int, int, int]
Pose = tuple[float, tuple[float, ...]]


def require(condition: bool, message: str) -> None:
    """Refuse the file unless the condition holds."""
    if not condition:
        raise ValueError(message)


# Numbers and container: sections 1 to 4


class Bytes:
    """A cursor over bytes that refuses to read past their end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        require(size <= self.left(), "the data is cut")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, layout: str):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def varint(self) -> int:
        """Section 1: 7 bits per byte, least significant first, shortest spelling, below 2^64."""
        value = 0
        for i in range(10):
            byte = self.unpack("B")
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                require(byte != 0 or i == 0, "a varint is padded")
                require(value < 2**64, "a varint exceeds 64 bits")
                return value
        raise ValueError("a varint exceeds 64 bits")

    def zigzag(self) -> int:
        """Section 1: 0, -1, 1, -2, 2 are stored as 0, 1, 2, 3, 4."""
        stored = self.varint()
        return stored // 2 if stored % 2 == 0 else -(stored + 1) // 2


def clamp(value, low, high):
    return min(max(value, low), high)


@dataclass
class Container:
    """Sections 2 to 4: what surrounds the payloads of all codecs."""

    codec: int
    source: int
    pose: Pose | None
    """Scale and centre."""
    chunks: dict[int, bytes]


def read_container(data: bytes) -> Container:
    """Section 2: magic, version, length and checksum come first, in this order; then the header and the chunks."""
    file = Bytes(data)
    require(file.take(3) == b"SQ3", "this is no .sq3 file")
    require(file.unpack("B") == 1, "the version is unknown")
    require(file.varint() == file.left(), "the file has another size than it says")
    require(file.left() >= 4, "the file is too short")
    require(zlib.crc32(data[:-4]) == struct.unpack("<I", data[-4:])[0], "the checksum is wrong")
    body = Bytes(data[:-4])
    body.at = file.at
    codec = body.varint()
    flags = body.unpack("B")
    require(flags & 0x0C == 0, "reserved flags are set")
    pose = read_pose(body) if flags & 1 else None
    if flags & 2:
        body.take(4)  # a fingerprint; all three codecs ignore it
    chunks: dict[int, bytes] = {}
    last = 0
    while body.left():
        tag = body.unpack("B")
        require(tag not in (0x00, 0x80), "a chunk has a reserved tag")
        require(tag > last, "the tags do not rise")
        last = tag
        chunks[tag] = body.take(body.varint())
    required, optional = CODECS.get(codec, ((), ()))
    require(required != (), "the codec is unknown")
    require(all(tag in chunks for tag in required), "a required chunk is missing")
    require(all(tag in required + optional for tag in chunks if tag < 0x80), "the codec does not use a critical chunk")
    return Container(codec, flags >> 4, pose, chunks)


def read_pose(body: Bytes) -> Pose:
    """Section 3, pose: a float32 scale and the centre in steps of 1/1024 of it."""
    scale = body.unpack("<f")
    require(math.isfinite(scale) and scale > 0, "the scale of the pose is not finite and positive")
    centre = tuple(body.zigzag() * (scale / 1024) for _ in range(3))
    require(all(abs(x) < 2.0**128 for x in centre), "the centre of the pose is out of range")
    return scale, centre


def to_world(point: tuple[float, ...], pose: Pose) -> tuple[float, ...]:
    """Section 3, pose: float64 arithmetic, limited to the range of float32 and rounded to it."""
    scale, centre = pose
    moved = [clamp(x * scale + c, -LARGEST_FLOAT32, LARGEST_FLOAT32) for x, c in zip(point, centre, strict=True)]
    return struct.unpack("<3f", struct.pack("<3f", *moved))


# Parameters: section 5

CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
INTEGER_LAYOUTS = "BHIQbhiq"  # of the types 0xCC to 0xD3
INTEGER_BOUNDS = (2**7, 2**8, 2**16, 2**32, -(2**5), -(2**7), -(2**15), -(2**31))  # shorter spellings hold the rest
SIZES = {  # family, layout and least value of the length
    0xC4: ("bytes", ">B", 0),
    0xC5: ("bytes", ">H", 2**8),
    0xC6: ("bytes", ">I", 2**16),
    0xD9: ("text", ">B", 2**5),
    0xDA: ("text", ">H", 2**8),
    0xDB: ("text", ">I", 2**16),
    0xDC: ("list", ">H", 2**4),
    0xDD: ("list", ">I", 2**16),
    0xDE: ("map", ">H", 2**4),
    0xDF: ("map", ">I", 2**16),
}


def read_parameters(data: bytes):
    """Section 5: one value in a strict subset of msgpack."""
    require(len(data) <= 2**20, "the parameters are too long")
    source = Bytes(data)
    value = read_value(source, 0)
    require(source.left() == 0, "bytes follow the parameters")
    return value


def read_value(source: Bytes, level: int):
    """One value; `level` counts the lists and maps around it."""
    kind = source.unpack("B")
    if kind in CONSTANTS:
        return CONSTANTS[kind]
    if kind <= 0x7F or kind >= 0xE0:
        return kind if kind <= 0x7F else kind - 0x100
    if kind == 0xCB:
        return source.unpack(">d")
    if 0xCC <= kind <= 0xD3:
        value, bound = source.unpack(">" + INTEGER_LAYOUTS[kind - 0xCC]), INTEGER_BOUNDS[kind - 0xCC]
        require(value < bound if bound < 0 else value >= bound, "an integer is not spelled the shortest way")
        return value
    if kind in SIZES:
        family, layout, least = SIZES[kind]
        size = source.unpack(layout)
        require(size >= least, "a length is not spelled the shortest way")
    else:
        require(kind <= 0xBF, "a msgpack type is not allowed")
        family = "map" if kind <= 0x8F else "list" if kind <= 0x9F else "text"
        size = kind & (0x1F if family == "text" else 0x0F)
    if family in ("text", "bytes"):
        content = source.take(size)
        return content.decode() if family == "text" else content
    require(level < 16 and size <= 65536, "the parameters have too many items or levels")
    if family == "list":
        return [read_value(source, level + 1) for _ in range(size)]
    result = {}
    previous = None
    for _ in range(size):
        key = read_value(source, level + 1)
        require(type(key) in (int, str), "a key is neither text nor integer")
        require(previous is None or (type(key) is type(previous) and key > previous), "the keys of a map do not rise")
        previous = key
        result[key] = read_value(source, level + 1)
    return result


# Bulk data: section 6


def read_bulk(data: bytes) -> bytes:
    """Section 6: the size of the content and one zstandard frame without its magic."""
    source = Bytes(data)
    size = source.varint()
    require(size <= MEMORY_LIMIT, "the content is too large")
    start = source.at
    require(source.unpack("B") == 0, "the frame has another header than section 6 allows")
    window = source.unpack("B")
    window = 2 ** (10 + window // 8) * (8 + window % 8) // 8
    power = 2**10
    while power < size:
        power *= 2
    require(window <= min(2**27, power), "the window is too large")
    last = False
    while not last:  # the chain of block headers tells where the frame ends
        header = int.from_bytes(source.take(3), "little")
        last = header % 2 == 1
        source.take(1 if header >> 1 & 3 == 1 else header >> 3)
    require(source.left() == 0, "bytes follow the frame")
    frame = struct.pack("<I", 0xFD2FB528) + data[start:]
    content = bytearray()
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(frame) as stream:
            while len(content) <= size and (part := stream.read(min(2**16, size + 1 - len(content)))):
                content += part
    except zstandard.ZstdError as error:
        raise ValueError("the frame is damaged") from error
    require(len(content) == size, "the content has another size than declared")
    return bytes(content)


# Range coder: section 7


def frequencies(counts: list[int]) -> list[int]:
    """Section 7, frequencies: counts scaled to the sum 2^24, each at least 1."""
    size = len(counts)
    total = sum(counts)
    if total == 0:
        counts, total = [1] * size, size
    result = [1 + count * (2**24 - size) // total for count in counts]
    result[counts.index(max(counts))] += 2**24 - sum(result)
    return result


class Adaptive:
    """Section 7, adaptive tables: rows of counts whose frequencies follow the symbols in growing blocks."""

    def __init__(self, prior: list[list[int]]) -> None:
        self.counts = [list(row) for row in prior]
        self.in_force = [frequencies(row) for row in self.counts]
        self.n = 0
        self.next = 1

    def count(self, row: int, symbol: int) -> None:
        self.counts[row][symbol] += 256
        self.n += 1
        if self.n == self.next:
            self.next = self.n + max(1, self.n // 16)
            for i, counts in enumerate(self.counts):
                while sum(counts) > 2**22:
                    counts[:] = [(count + 1) // 2 for count in counts]
                self.in_force[i] = frequencies(counts)


class RangeDecoder:
    """Section 7, decoder: symbols, raw bits, integers and the symbol hash."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.lower = 0
        self.range = MASK64
        self.point = self.word() << 32 | self.word()
        self.hash = 0

    def word(self) -> int:
        self.at += 4
        return int.from_bytes(self.data[self.at - 4 : self.at].ljust(4, b"\0"), "big")

    def record(self, symbol: int) -> int:
        self.hash = zlib.crc32(struct.pack("<I", symbol), self.hash)
        return symbol

    def quantile(self) -> int:
        q = (self.point - self.lower & MASK64) // (self.range >> 24)
        require(q < 2**24, "the range code is damaged")
        return q

    def narrow(self, below: int, frequency: int) -> None:
        scale = self.range >> 24
        self.lower = self.lower + scale * below & MASK64
        self.range = scale * frequency
        if self.range < 2**32:
            self.range <<= 32
            self.lower = self.lower << 32 & MASK64
            self.point = (self.point << 32 & MASK64) + self.word()

    def static(self, table: list[int]) -> int:
        """The next symbol, with a table of frequencies."""
        if len(table) == 1:
            return self.record(0)
        q = self.quantile()
        symbol = below = 0
        while below + table[symbol] <= q:
            below += table[symbol]
            symbol += 1
        self.narrow(below, table[symbol])
        return self.record(symbol)

    def symbol(self, tables: Adaptive, row: int) -> int:
        symbol = self.static(tables.in_force[row])
        tables.count(row, symbol)
        return symbol

    def raw_bits(self, bits: int) -> int:
        if bits == 0:
            return 0
        value = self.quantile() >> (24 - bits)
        self.narrow(value << (24 - bits), 1 << (24 - bits))
        return value

    def raw(self, bits: int) -> int:
        return self.record(self.raw_bits(bits))

    def integers(self, tables: Adaptive, rows: list[int]) -> list[int]:
        """Section 7, integers: first all classes, then the low bits, exponent by exponent."""
        classes = [self.symbol(tables, row) for row in rows]
        low = [0] * len(rows)
        for e in range(3, 20):
            members = [i for i, k in enumerate(classes) if k in (9 + 2 * e, 10 + 2 * e)]
            for i in members:
                low[i] = self.raw(min(e, 16))
            if e > 16:
                for i in members:
                    low[i] += self.raw(e - 16) << 16
        values = []
        for k, bits in zip(classes, low, strict=True):
            magnitude = 2 ** (3 + (k - 15) // 2) + bits if k >= 15 else 0
            values.append(k - 7 if k < 15 else magnitude if k % 2 == 1 else -magnitude)
        return values

    def finish(self) -> None:
        """Section 7, symbol hash: 16 raw bits that are not part of the hash themselves."""
        require(self.raw_bits(16) == self.hash & 0xFFFF, "the symbol hash is wrong")


def integer_prior(t: int) -> list[int]:
    """Section 7, integers: counts of the 49 classes for the scale t."""
    spread = 2 ** (t // 2) * (362 if t % 2 else 256) * 16
    ratio = spread * 2**16 // (2**16 + spread)
    w = [2**60]
    for _ in range(8):
        w.append(w[-1] * ratio // 2**16)
    weights = [w[abs(v)] for v in range(-7, 8)]
    p = ratio
    for _ in range(3):
        p = p * p // 2**16
    u = w[8]
    for _ in range(3, 20):
        weights += 2 * [u * (2**16 - p) // (2**16 - ratio)]
        u = u * p // 2**16
        p = p * p // 2**16
    total = sum(weights)
    return [1 + weight * 6144 // total for weight in weights]


# any.raw: section 9, codec 1


def decode_raw(container: Container) -> dict[str, bytes]:
    """Section 9, any.raw: the main file, `asset.` and its suffix, and the side files."""
    require(container.source in SUFFIXES, "the source names no format")
    main = "asset." + SUFFIXES[container.source]
    content = read_bulk(container.chunks[BULK])
    listed = read_parameters(container.chunks[PARAMETERS]) if PARAMETERS in container.chunks else []
    require(type(listed) is list, "the side files are no list")
    for entry in listed:
        require(type(entry) is list and [type(x) for x in entry] == [str, int], "a side file is no name and size")
        require(entry[1] >= 0, "the size of a side file is negative")
    at = len(content) - sum(size for _, size in listed)
    require(at >= 0, "the side files exceed the content")
    files = {main: content[:at]}
    for name, size in listed:
        parts = name.replace("\\", "/").split("/")
        require(not {"", ".", ".."} & set(parts) and not {":", "\0"} & set(name), "a name may leave its folder")
        require(name not in files, "a name occurs twice")
        files[name] = content[at : at + size]
        at += size
    return files


def decode(data: bytes) -> dict[str, bytes] | Surface | Lite:
    """Decode a `.sq3` file, or refuse it with `ValueError`."""
    from reference_lite import decode_lite
    from reference_surface import decode_surface

    container = read_container(data)
    decoders = {ANY_RAW: decode_raw, MESH_SURFACE: decode_surface, MESH_LITE: decode_lite}
    return decoders[container.codec](container)
