r"""The outer shell of a glTF file: GLB chunks, JSON text, buffers and buffer views.

```text
GLB:   "glTF" version length │ length "JSON" {...} │ length "BIN\0" bytes │ unknown chunks are skipped
.gltf: {...} with buffers and images as data: URIs or files next to it
```

Everything is checked against the bytes at hand before it is used, and `Budget` bounds what the file may
unfold to: hostile input yields an error, never unbounded memory.
"""

from __future__ import annotations

import binascii
import json
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from squeeze3d.assets import gltf_compression
from squeeze3d.assets.gltf_json import Item, describe, printable
from squeeze3d.assets.source import Source
from squeeze3d.errors import FormatError, InputError, LimitError, TruncatedError, UnsupportedError

MAGIC = b"glTF"
_JSON_CHUNK = 0x4E4F534A
_BIN_CHUNK = 0x004E4942


class Budget:
    """Bytes a file may unfold to while it is read.

    Honest files decode to a few times their size (small integers become float32). Hostile ones let thousands
    of accessors share the same bytes, or compress zeros a thousandfold; this is where they stop.
    """

    FLOOR = 1 << 28
    FACTOR = 16

    def __init__(self, input_size: int) -> None:
        self.limit = self.FLOOR + self.FACTOR * input_size
        self._spent = 0

    def spend(self, size: int, what: Item) -> None:
        """Claim memory before allocating it; raises LimitError when the file asks for too much."""
        self._spent += size
        if self._spent > self.limit:
            raise LimitError(f"{what.where}: the file unfolds to more than {self.limit >> 20} MiB")


class Document:
    """The JSON tree of a file, with its top-level arrays as items."""

    def __init__(self, root: Item) -> None:
        self.root = root
        self._arrays: dict[str, list[Item]] = {}

    def array(self, kind: str) -> list[Item]:
        """All items of a top-level array such as `meshes`; empty when missing."""
        if kind not in self._arrays:
            self._arrays[kind] = self.root.items(kind)
        return self._arrays[kind]

    def element(self, kind: str, index: int, user: Item) -> Item:
        """Item `index` of a top-level array; FormatError, naming who refers to it, if there is none."""
        items = self.array(kind)
        if index >= len(items):
            raise user.error(f"refers to entry {index} of `{kind}`, which has {len(items)}")
        return items[index]

    def follow(self, user: Item, key: str, kind: str) -> tuple[int, Item] | None:
        """Resolve an optional reference: (index, item), or None if `user` has no `key`."""
        if key not in user:
            return None
        index = user.integer(key)
        return index, self.element(kind, index, user)


@dataclass(frozen=True, slots=True)
class View:
    """The bytes of one buffer view."""

    data: memoryview
    stride: int
    """Bytes between elements; 0 means tightly packed."""


def open_document(source: Source) -> tuple[Document, memoryview | None]:
    """Parse a .glb or .gltf, told apart by the first bytes, into its JSON and its BIN chunk.

    Raises
    ------
    InputError : the file is empty.
    TruncatedError : the file ends before its header says.
    FormatError : the bytes are not glTF.
    UnsupportedError : a glTF version other than 2.
    """
    name = f"`{printable(source.name)}`"
    if not source.data:
        raise InputError(f"{name} is empty", hint="check that the export or download finished")
    if source.data.startswith(MAGIC) or MAGIC.startswith(source.data):
        text, binary = _split_glb(source.data, name)
    else:
        text, binary = memoryview(source.data), None
    return Document(Item(_parse_json(bytes(text), name, in_glb=text.nbytes < len(source.data)), name)), binary


def _split_glb(data: bytes, name: str) -> tuple[memoryview, memoryview | None]:
    """JSON and BIN chunks of a GLB file."""
    if len(data) < 12:
        raise TruncatedError(f"{name} is cut short: {len(data)} bytes, the GLB header alone has 12")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise UnsupportedError(f"{name} is binary glTF version {version}", hint="convert it to glTF 2.0")
    if length > len(data):
        raise TruncatedError(f"{name} is cut short: {len(data)} of {length} bytes present")
    chunks: list[tuple[int, memoryview]] = []
    offset = 12
    while offset < length:
        if length - offset < 8:
            raise FormatError(f"{name}: {length - offset} stray bytes after the last chunk at offset {offset}")
        size, kind = struct.unpack_from("<II", data, offset)
        if size > length - offset - 8:
            raise TruncatedError(f"{name}: chunk at offset {offset} holds {length - offset - 8} of {size} bytes")
        chunks.append((kind, memoryview(data)[offset + 8 : offset + 8 + size]))
        offset += 8 + size
    if not chunks or chunks[0][0] != _JSON_CHUNK:
        raise FormatError(f"{name}: the first chunk is not JSON")
    binary = chunks[1][1] if len(chunks) > 1 and chunks[1][0] == _BIN_CHUNK else None
    return chunks[0][1], binary


def _parse_json(data: bytes, name: str, *, in_glb: bool) -> dict[str, Any]:
    """The JSON object; a byte order mark and padding by spaces or zeros are accepted."""
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0 \t\r\n")
    if not in_glb and not data.lstrip().startswith(b"{"):
        start = printable(data[:16].decode("ascii", "replace").replace("\ufffd", "?"))
        raise FormatError(
            f'{name} is neither binary glTF nor glTF JSON: it starts with "{start}"',
            hint="check that the suffix fits the content",
        )
    try:
        root = json.loads(data)
    except RecursionError:
        raise FormatError(f"{name}: the JSON is nested too deeply") from None
    except ValueError as error:
        # Covers bad UTF-8, bad JSON and numbers with thousands of digits.
        raise FormatError(f"{name}: the JSON cannot be parsed: {printable(str(error))[:120]}") from None
    if not isinstance(root, dict):
        raise FormatError(f"{name}: the JSON is {describe(root)}, not an object")
    return root


def is_data_uri(uri: str) -> bool:
    """Whether a URI carries its bytes itself; schemes ignore case."""
    return uri[:5].lower() == "data:"


class Buffers:
    """Bytes behind buffer indices, buffer views and image URIs.

    All external files are asked for at the start, also those the scene does not need: `Source.used` then
    lists everything that belongs to the asset.
    """

    def __init__(self, document: Document, source: Source, binary: memoryview | None) -> None:
        self.document = document
        self._binary = binary
        self._source = source
        self._buffers: dict[int, memoryview] = {}
        self._views: dict[int, View] = {}
        self._files: dict[str, bytes | None] = {}
        for kind in ("buffers", "images"):
            for item in document.array(kind):
                uri = item.text("uri")
                if uri and not is_data_uri(uri):
                    self._load(uri)
        self.budget = Budget(len(source.data) + sum(len(data) for data in self._files.values() if data))

    def _load(self, uri: str) -> bytes | None:
        if uri not in self._files:
            try:
                self._files[uri] = self._source.side_file(uri)
            except (OSError, ValueError):
                # A reference can be too long or too odd for the file system; that is a missing file, not a
                # crash.
                self._files[uri] = None
        return self._files[uri]

    def resource(self, item: Item) -> bytes | None:
        """Bytes behind the `uri` of a buffer or an image; None if the file cannot be found.

        Raises FormatError for a data: URI that cannot be decoded.
        """
        uri = item.text("uri", None)
        if not is_data_uri(uri):
            return self._load(uri)
        header, comma, payload = uri.partition(",")
        if not comma:
            raise item.error("the data: URI has no comma")
        raw = unquote_to_bytes(payload)
        if not header.lower().endswith(";base64"):
            return raw
        try:
            return binascii.a2b_base64(raw)
        except binascii.Error as error:
            raise item.error(f"the data: URI is not base64: {error}") from None

    def has_data(self, index: int) -> bool:
        """Whether a buffer has bytes: an empty fallback buffer of a meshopt file has none."""
        item = self.document.array("buffers")[index]
        if "uri" not in item:
            return index == 0 and self._binary is not None
        uri = item.text("uri")
        return is_data_uri(uri) or self._load(uri) is not None

    def buffer(self, index: int, user: Item) -> memoryview:
        """All bytes of a buffer."""
        item = self.document.element("buffers", index, user)
        if index not in self._buffers:
            size = item.integer("byteLength")
            data = self._buffer_bytes(index, item)
            if len(data) < size:
                raise TruncatedError(f"{item.where} is cut short: {len(data)} of {size} bytes present")
            self._buffers[index] = data[:size]
        return self._buffers[index]

    def _buffer_bytes(self, index: int, item: Item) -> memoryview:
        if "uri" in item:
            data = self.resource(item)
            if data is None:
                raise InputError(
                    f"{item.where}: file `{printable(item.text('uri'))[:80]}` is missing",
                    hint="put it next to the .gltf file under that name, or pass a .glb file",
                )
            return memoryview(data)
        if index == 0 and self._binary is not None:
            return self._binary
        raise item.error("it has no `uri` and the file has no BIN chunk for it")

    def slice(self, item: Item) -> memoryview:
        """The range of a buffer that an object with `buffer`, `byteOffset` and `byteLength` describes."""
        data = self.buffer(item.integer("buffer"), item)
        offset, size = item.integer("byteOffset", 0), item.integer("byteLength")
        if offset + size > len(data):
            raise item.error(f"bytes {offset} to {offset + size} are outside its buffer of {len(data)} bytes")
        return data[offset : offset + size]

    def view(self, index: int, user: Item) -> View:
        """One buffer view, decompressed if it has to be."""
        item = self.document.element("bufferViews", index, user)
        if index not in self._views:
            stride = item.integer("byteStride", 0)
            if stride and not 4 <= stride <= 252:
                raise item.error(f"`byteStride` must be 4 to 252, not {stride}")
            self._views[index] = View(self._view_bytes(item), stride)
        return self._views[index]

    def _view_bytes(self, item: Item) -> memoryview:
        packed = next((x for name in gltf_compression.MESHOPT if (x := item.extension(name)) is not None), None)
        if packed is None:
            return self.slice(item)
        fallback = item.integer("buffer")
        self.document.element("buffers", fallback, item)
        if self.has_data(fallback):
            return self.slice(item)
        # Checked and paid for before the decoder allocates.
        layout = gltf_compression.MeshoptLayout.of(packed)
        self.budget.spend(layout.size, packed)
        return memoryview(gltf_compression.decode_meshopt(self.slice(packed), layout, packed))
