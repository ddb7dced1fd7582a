"""The chunks of a `mesh.scene` file.

```text
DOCUMENT  zstandard: JSON of the scene, how each accessor is coded, pools, sequences, sizes of images and views
SYMBOLS   range coder: pools, then sequences
STORED    zstandard: arrays that are not quantised, and buffer views of extensions, byte planes apart
IMAGES    images one after another
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze3d.bitstream.binary import BinaryDecoder
from squeeze3d.bitstream.bulk import pack_bulk, unpack_bulk
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.varint import read_varint
from squeeze3d.codecs.scene.adjacency import PLAN_BYTES, sequence_plan
from squeeze3d.codecs.scene.arrays import Array, restore
from squeeze3d.codecs.scene.attributes import Models, code_values
from squeeze3d.codecs.scene.document import (
    INDICES,
    VERTICES,
    Json,
    Scene,
    component_dtype,
    dump_json,
    element_width,
    write_glb,
)
from squeeze3d.codecs.scene.entries import Entry, Method, whole
from squeeze3d.codecs.scene.geometry import Layout, decode_pool
from squeeze3d.errors import FormatError

DOCUMENT, STORED, IMAGES = 16, 17, 18
NAMES = {DOCUMENT: "document", STORED: "stored arrays", IMAGES: "images"}
SOURCE = SOURCES.index("glb")
JSON_FACTOR = 24
"""Memory that JSON takes once it is parsed, for each byte."""
MAX_ACCESSORS = 1 << 20
FACE_COST, ELEMENT_COST = 100, 40
"""Bytes that count against the limit for each triangle and each element of all pools and sequences together.

More than they take in the end: a few bytes of a hostile file may claim many, and each costs time.
"""


@dataclass(frozen=True)
class Coded:
    """Content of a file."""

    root: Json
    entries: Mapping[int, Entry]
    pools: Sequence[Layout]
    sequences: Sequence[int]
    stored: Mapping[int, Array]
    images: Mapping[int, bytes]
    views: Mapping[int, tuple[Json, bytes]]
    symbols: bytes
    checksum: int
    """CRC-32 of the integers that are coded."""


def planes(values: Array) -> bytes:
    """Bytes of an array, those of the same significance together, each as the difference to the one before."""
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    columns = rows.T.copy()
    columns[:, 1:] = columns[:, 1:] - columns[:, :-1]
    return columns.tobytes()


def from_planes(data: bytes, count: int, dtype: np.dtype[Any], width: int) -> Array:
    """Inverse of `planes`."""
    columns = np.frombuffer(data, np.uint8).reshape(width * dtype.itemsize, count)
    rows = np.ascontiguousarray(np.cumsum(columns, axis=1, dtype=np.uint8).T)
    return rows.view(dtype).reshape(count, width)


def to_container(coded: Coded, wire: int, level: int = 19) -> Container:
    """Pack a scene."""
    accessors = coded.root.get("accessors", [])
    document: Json = {
        "scene": coded.root,
        "accessors": [coded.entries[k].to_json() if k in coded.entries else 0 for k in range(len(accessors))],
        "pools": [pool.to_json() for pool in coded.pools],
        "sequences": list(coded.sequences),
        "images": [[index, len(data)] for index, data in sorted(coded.images.items())],
        "views": [[index, len(data), rest] for index, (rest, data) in sorted(coded.views.items())],
        "checksum": coded.checksum,
    }
    document = {key: value for key, value in document.items() if value or key == "checksum"}
    chunks = {DOCUMENT: pack_bulk(dump_json(document), level=level)}
    stored = b"".join(
        [
            *(planes(values) for _, values in sorted(coded.stored.items())),
            *(data for _, (_, data) in sorted(coded.views.items())),
        ]
    )
    if coded.symbols:
        chunks[Tag.SYMBOLS] = coded.symbols
    if stored:
        chunks[STORED] = pack_bulk(stored, level=level)
    if coded.images:
        chunks[IMAGES] = b"".join(data for _, data in sorted(coded.images.items()))
    return Container(wire, SOURCE, chunks=chunks)


def decode_scene(container: Container, limits: Limits) -> bytes:
    """The GLB file in a container.

    Raises FormatError for content that breaks the rules of the format, LimitError for more memory than allowed.
    Hostile content may also give a GLB file that means nothing.
    """
    container.expect({DOCUMENT}, {Tag.SYMBOLS, STORED, IMAGES})
    document = _document(container.chunks[DOCUMENT], limits)
    root = document["scene"]
    reader = _Reader(document, container, limits)
    try:
        return reader.read(root)
    except RecursionError:
        raise FormatError("the scene's JSON is nested too deeply") from None


def _document(data: bytes, limits: Limits) -> Json:
    size, _ = read_varint(data, 0)
    limits.check(size * JSON_FACTOR, "the scene's JSON")
    text = unpack_bulk(data, limits, "the scene's JSON")
    try:
        value = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise FormatError("the scene's JSON cannot be parsed") from None
    known = {"scene": dict, "accessors": list, "pools": list, "sequences": list, "images": list, "views": list}
    if not isinstance(value, dict) or set(value) - {*known, "checksum"}:
        raise FormatError("the document of the scene is malformed")
    if not whole(value.get("checksum"), 0, (1 << 32) - 1):
        raise FormatError("the document of the scene has no checksum")
    for key, kind in known.items():
        if not isinstance(value.setdefault(key, kind()), kind):
            raise FormatError(f"`{key}` of the document is malformed")
    return value


class _Reader:
    """Decodes one file."""

    def __init__(self, document: Json, container: Container, limits: Limits) -> None:
        self.document = document
        self.container = container
        self.limits = limits
        self.accessors = document["scene"].get("accessors", [])
        if not isinstance(self.accessors, list) or not all(isinstance(x, dict) for x in self.accessors):
            raise FormatError("the scene's accessors are malformed")
        if len(document["accessors"]) > len(self.accessors) or len(self.accessors) > MAX_ACCESSORS:
            raise FormatError("there are more codings than accessors")
        self.entries = {
            index: Entry.from_json(value) for index, value in enumerate(document["accessors"]) if value != 0
        }
        self.types = {
            index: (component_dtype(self.accessors[index]), element_width(self.accessors[index]))
            for index in self.entries
        }
        self.counts: dict[int, int] = {}
        self.spent = 0

    def read(self, root: Json) -> bytes:
        arrays, targets = self._symbols()
        stored, views = self._stored()
        arrays.update(stored)
        if set(arrays) != set(self.entries):
            raise FormatError("not every accessor belongs to something that is coded")
        for index, values in arrays.items():
            if self.entries[index].bounds:
                self.accessors[index]["min"], self.accessors[index]["max"] = bounds_of(values)
        images = self._images(root)
        self._spend(sum(values.nbytes for values in arrays.values()) + sum(map(len, images.values())), "the GLB file")
        return write_glb(Scene(root, arrays, images, views), targets)

    def _spend(self, size: int, what: str) -> None:
        """Claim memory that is held until the end."""
        self.spent += size
        self.limits.check(self.spent, what)

    def _symbols(self) -> tuple[dict[int, Array], dict[int, int]]:
        coder = BinaryDecoder(self.container.chunks.get(Tag.SYMBOLS, b""))
        models = Models()
        arrays: dict[int, Array] = {}
        targets: dict[int, int] = {}
        taken: set[int] = set()
        for value in self.document["pools"]:
            layout = Layout.from_json(value)
            self._claim([*layout.attributes, *layout.lists], taken)
            if any(
                (self.entries[index].method is Method.LIST) != (index in layout.lists)
                for index in (*layout.attributes, *layout.lists)
            ):
                raise FormatError("a pool mixes indices and attributes")
            places = [index for index in layout.attributes if self.entries[index].method is Method.PLACES]
            if places and (not layout.faces or places != [layout.attributes[0]]):
                raise FormatError("a pool has positions where none can be")
            self._spend(layout.faces * FACE_COST, "triangles")
            found, count = decode_pool(layout, self.entries, self.types, coder, models, self.limits)
            arrays.update(found)
            for index in layout.attributes:
                self.counts[index] = count
                targets[index] = VERTICES
                self._spend(count * ELEMENT_COST, "vertices")
            targets.update((index, INDICES) for index in layout.lists)
        for index in self.document["sequences"]:
            self._claim([index], taken)
            arrays[index] = self._sequence(index, coder, models)
        if taken or Tag.SYMBOLS in self.container.chunks:
            coder.finish()
        if models.checksum != self.document["checksum"]:
            raise FormatError("arrays do not have the checksum that was written")
        for index, entry in self.entries.items():
            if index not in taken and entry.method is not Method.STORED:
                raise FormatError("an accessor is neither coded nor stored")
        return arrays, targets

    def _claim(self, numbers: Sequence[Any], taken: set[int]) -> None:
        for index in numbers:
            if type(index) is not int or index not in self.entries or index in taken:
                raise FormatError("an accessor is coded twice, or does not exist")
            taken.add(index)

    def _sequence(self, index: int, coder: BinaryDecoder, models: Models) -> Array:
        entry = self.entries[index]
        if entry.method is not Method.LATTICE:
            raise FormatError("a sequence is not on a lattice")
        components = len(entry.low)
        self.limits.check(entry.count * (PLAN_BYTES + 24 * components), "animations")
        self._spend(entry.count * ELEMENT_COST, "animations")
        cells = np.zeros((entry.count, components), np.int64)
        plan = sequence_plan(entry.count, entry.depth, entry.stride)
        code_values(coder, models, entry.role, cells, plan, entry.limits, kind=entry.kind, total=entry.levels)
        return restore(entry, cells, *self.types[index])

    def _stored(self) -> tuple[dict[int, Array], dict[int, tuple[Json, bytes]]]:
        data = b""
        if STORED in self.container.chunks:
            size, _ = read_varint(self.container.chunks[STORED], 0)
            self._spend(3 * size, "stored arrays")
            data = unpack_bulk(self.container.chunks[STORED], self.limits, "stored arrays")
        arrays: dict[int, Array] = {}
        offset = 0

        def take(size: int) -> bytes:
            nonlocal offset
            if size > len(data) - offset:
                raise FormatError("stored arrays are cut short")
            offset += size
            return data[offset - size : offset]

        for index, entry in sorted(self.entries.items()):
            if entry.method is Method.STORED:
                dtype, width = self.types[index]
                count = self.counts.get(index, entry.count)
                if count != entry.count:
                    raise FormatError("a stored attribute has another length than its pool")
                arrays[index] = from_planes(take(count * width * dtype.itemsize), count, dtype, width)
        views: dict[int, tuple[Json, bytes]] = {}
        for value in self.document["views"]:
            match value:
                case [index, size, dict(rest)] if whole(index, 0, 1 << 20) and whole(size, 1, 1 << 40):
                    if index in views:
                        raise FormatError("a buffer view is stored twice")
                    views[index] = rest, take(size)
                case _:
                    raise FormatError("a buffer view is malformed")
        if offset < len(data):
            raise FormatError("stored arrays have trailing bytes")
        return arrays, views

    def _images(self, root: Json) -> dict[int, bytes]:
        data = self.container.chunks.get(IMAGES, b"")
        entries = root.get("images", [])
        images: dict[int, bytes] = {}
        offset = 0
        for value in self.document["images"]:
            match value:
                case [index, size] if whole(index, 0, 1 << 20) and whole(size, 0, len(data) - offset):
                    good = isinstance(entries, list) and index < len(entries) and isinstance(entries[index], dict)
                    if not good or index in images:
                        raise FormatError("an image has no place in the scene")
                    images[index] = data[offset : offset + size]
                    offset += size
                case _:
                    raise FormatError("an image is malformed or cut short")
        if offset < len(data):
            raise FormatError("images have trailing bytes")
        return images


def bounds_of(values: Array) -> tuple[list[Any], list[Any]]:
    """`min` and `max` of an accessor, as JSON holds them."""
    if not len(values):
        return [], []
    low, high = values.min(axis=0), values.max(axis=0)
    if values.dtype.kind == "f":
        finite = np.isfinite(low).all() and np.isfinite(high).all()
        return (low.astype(float).tolist(), high.astype(float).tolist()) if finite else ([], [])
    return low.tolist(), high.tolist()
