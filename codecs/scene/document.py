"""A glTF file as a JSON tree and what it refers to, whatever the files were like; and back to one GLB file.

```text
.glb, .gltf + side files, data: URIs ─► root without buffers │ arrays by accessor │ images │ other views ─► .glb
```

Numbers of accessors, images and everything else stay what they are, so that references inside extensions nobody knows
stay right. So do the numbers of buffer views that no accessor and no image uses: only extensions can mean those.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_accessors import Accessors
from squeeze3d.assets.gltf_compression import DRACO, MESHOPT, decode_draco
from squeeze3d.assets.gltf_container import Buffers, Document, is_data_uri, open_document
from squeeze3d.assets.gltf_json import Item, printable
from squeeze3d.assets.image import sniff_mime
from squeeze3d.assets.source import Source
from squeeze3d.errors import FormatError, LimitError

Json = dict[str, Any]
Array = NDArray[Any]

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
CODES = {np.dtype(name): code for code, name in COMPONENTS.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
VERTICES, INDICES = 34962, 34963
"""Buffer view targets."""
_MAX_GLB = (1 << 32) - 1


@dataclass
class Scene:
    """Content of a glTF file."""

    root: Json
    """The JSON, without buffers and buffer views. Accessors that are in `arrays` lack `bufferView`, `byteOffset`,
    `sparse` and `count`; images that are in `images` lack `uri` and `bufferView`."""
    arrays: dict[int, Array]
    """(count, width) values by accessor, in the component type of the file."""
    images: dict[int, bytes]
    views: dict[int, tuple[Json, bytes]] = field(default_factory=dict)
    """Buffer views that neither accessors nor images use, with the rest of their JSON."""


def read_document(source: Source) -> tuple[Scene, list[str]]:
    """Read a .glb or .gltf file with everything it refers to; also what was changed by that, a line each.

    Draco and meshopt geometry is decoded. Images that cannot be found keep their `uri`.

    Raises FormatError, InputError, UnsupportedError, MissingExtraError, LimitError as the reader of glTF does.
    """
    document, binary = open_document(source)
    buffers = Buffers(document, source, binary)
    root = copy.deepcopy(document.root.data)
    remarks: list[str] = []
    arrays = _draco_arrays(document, buffers, root)
    if arrays:
        remarks.append("Draco geometry is decoded")
    accessors = Accessors(buffers)
    users: set[int] = set()
    for index, item in enumerate(document.array("accessors")):
        entry = root["accessors"][index]
        if index not in arrays:
            if not _is_plain(item):
                continue
            views = _views_of(item)
            arrays[index] = accessors.raw(index, document.root, "an accessor", tuple(WIDTHS.values()))
            users.update(views)
        for key in ("bufferView", "byteOffset", "sparse", "count"):
            entry.pop(key, None)
    images = _images(document, buffers, root, users)
    views = _other_views(document, buffers, users)
    if any(name in root.get("extensionsUsed", []) for name in MESHOPT):
        remarks.append("meshopt compression is decoded")
    for name in (*MESHOPT, DRACO):
        _drop_extension_name(root, name)
    for buffer in root.get("buffers", []):
        remarks += [f"{key} of a buffer are dropped with the buffer" for key in ("extras", "name") if key in buffer]
    root.pop("buffers", None)
    root.pop("bufferViews", None)
    return Scene(root, arrays, images, views), list(dict.fromkeys(remarks))


def _is_plain(item: Item) -> bool:
    """Whether an accessor is of a kind that is understood; others keep their bytes and their buffer view."""
    return item.integer("componentType") in COMPONENTS and item.text("type", None) in WIDTHS


def _views_of(item: Item) -> Iterable[int]:
    if "bufferView" in item:
        yield item.integer("bufferView")
    sparse = item.child("sparse")
    if sparse is not None:
        for key in ("indices", "values"):
            part = sparse.child(key)
            if part is not None:
                yield part.integer("bufferView")


def _draco_arrays(document: Document, buffers: Buffers, root: Json) -> dict[int, Array]:
    """Decoded arrays by accessor; takes the extension off its primitives."""
    found: dict[int, Array] = {}
    for mesh_index, mesh in enumerate(document.array("meshes")):
        for index, item in enumerate(mesh.items("primitives")):
            extension = item.extension(DRACO)
            if extension is None:
                continue
            names = item.child("attributes") or Item({}, "`attributes`", item)
            ids = extension.child("attributes") or Item({}, "`attributes`", extension)
            view = buffers.view(extension.integer("bufferView"), extension)
            geometry = decode_draco(view.data, extension)
            buffers.budget.spend(geometry.nbytes * 2, extension)
            for key in ids.data:
                accessor = names.integer(key)
                values = geometry.attributes.get(ids.integer(key))
                if values is None:
                    raise ids.error(f"the Draco data has no attribute for {printable(key)[:40]}")
                found[accessor] = _as_declared(document.element("accessors", accessor, names), values)
            if "indices" in item:
                accessor = item.integer("indices")
                entry = document.element("accessors", accessor, item)
                found[accessor] = _as_declared(entry, geometry.triangles.reshape(-1, 1))
            primitive = root["meshes"][mesh_index]["primitives"][index]
            del primitive["extensions"][DRACO]
            if not primitive["extensions"]:
                del primitive["extensions"]
    return found


def _as_declared(item: Item, values: Array) -> Array:
    code, width = item.integer("componentType"), WIDTHS.get(item.text("type", None))
    if code not in COMPONENTS or values.ndim != 2 or values.shape[1] != width:
        raise item.error("the Draco data does not fit the accessor")
    return values.astype(COMPONENTS[code])


def _images(document: Document, buffers: Buffers, root: Json, users: set[int]) -> dict[int, bytes]:
    images: dict[int, bytes] = {}
    for index, item in enumerate(document.array("images")):
        entry = root["images"][index]
        if "bufferView" in item:
            view = item.integer("bufferView")
            images[index] = bytes(buffers.view(view, item).data)
            users.add(view)
            del entry["bufferView"]
        elif "uri" in item:
            data = buffers.resource(item)
            if data is None:
                continue
            images[index] = data
            if "name" not in entry and not is_data_uri(item.text("uri")):
                entry["name"] = item.text("uri")
            del entry["uri"]
        else:
            continue
        entry.setdefault("mimeType", sniff_mime(images[index]))
    return images


def _other_views(document: Document, buffers: Buffers, users: set[int]) -> dict[int, tuple[Json, bytes]]:
    views: dict[int, tuple[Json, bytes]] = {}
    draco = {
        extension.data.get("bufferView")
        for mesh in document.array("meshes")
        for item in mesh.items("primitives")
        if (extension := item.extension(DRACO)) is not None
    }
    for index, item in enumerate(document.array("bufferViews")):
        if index in users or index in draco or not buffers.has_data(item.integer("buffer")):
            continue
        rest = {key: value for key, value in item.data.items() if key not in ("buffer", "byteOffset", "byteLength")}
        for name in MESHOPT:
            rest.get("extensions", {}).pop(name, None)
        views[index] = rest, bytes(buffers.view(index, item).data)
    return views


def _drop_extension_name(root: Json, name: str) -> None:
    for key in ("extensionsUsed", "extensionsRequired"):
        if name in root.get(key, []):
            root[key] = [each for each in root[key] if each != name]
            if not root[key]:
                del root[key]


def add_extension_name(root: Json, name: str, *, required: bool) -> None:
    """Name an extension among those that a file uses."""
    for key in ("extensionsUsed", "extensionsRequired") if required else ("extensionsUsed",):
        names = root.setdefault(key, [])
        if name not in names:
            names.append(name)


def component_dtype(entry: Mapping[str, Any]) -> np.dtype[Any]:
    """Type of an accessor's components; FormatError if there is no such type."""
    code = entry.get("componentType")
    if type(code) is not int or code not in COMPONENTS:
        raise FormatError("an accessor has an unknown component type")
    return np.dtype(COMPONENTS[code])


def element_width(entry: Mapping[str, Any]) -> int:
    """Components of an accessor's elements; FormatError if there is no such shape."""
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in WIDTHS:
        raise FormatError("an accessor has an unknown type")
    return WIDTHS[kind]


def write_glb(scene: Scene, targets: Mapping[int, int]) -> bytes:
    """The scene as one GLB file; `scene.root` is used up.

    Parameters
    ----------
    targets : buffer view target by accessor, for vertex attributes and indices.
    """
    root, views, buffer = scene.root, _Views(scene.views), bytearray()

    def append(data: bytes, rest: Json, index: int | None = None) -> int:
        buffer.extend(b"\0" * (-len(buffer) % 4))
        entry = {**rest, "buffer": 0, "byteOffset": len(buffer), "byteLength": len(data)}
        buffer.extend(data)
        return views.put(entry, index)

    for index, (rest, data) in sorted(scene.views.items()):
        append(data, rest, index)
    for index, values in sorted(scene.arrays.items()):
        entry = root["accessors"][index]
        entry["count"] = len(values)
        if not len(values):
            continue
        layout: Json = {}
        target = targets.get(index)
        if target is not None:
            layout["target"] = target
        data, stride = _packed(values, padded=target == VERTICES)
        if stride:
            layout["byteStride"] = stride
        entry["bufferView"] = append(data, layout)
    for index, data in sorted(scene.images.items()):
        root["images"][index]["bufferView"] = append(data, {})
    return _glb(root, views.finish(buffer), buffer)


class _Views:
    """Buffer views; those with a number of their own keep it, the others fill the gaps."""

    def __init__(self, numbered: Iterable[int]) -> None:
        self._numbered = set(numbered)
        self._entries: dict[int, Json] = {}
        self._next = 0

    def put(self, entry: Json, index: int | None) -> int:
        if index is None:
            while self._next in self._numbered:
                self._next += 1
            index = self._next
            self._next += 1
        self._entries[index] = entry
        return index

    def finish(self, buffer: bytearray) -> list[Json]:
        """All entries in order; numbers nobody has point at a byte of their own."""
        count = max(self._entries, default=-1) + 1
        if count > len(self._entries):
            buffer.extend(b"\0")
        filler: Json = {"buffer": 0, "byteOffset": len(buffer) - 1, "byteLength": 1}
        return [self._entries.get(index, filler) for index in range(count)]


def _packed(values: Array, *, padded: bool) -> tuple[bytes, int]:
    """Bytes of an array and their stride, 0 where elements follow each other: vertex data begins at multiples of 4."""
    size = values.shape[1] * values.itemsize
    if not padded or size % 4 == 0:
        return values.tobytes(), 0
    rows = np.zeros((len(values), size + -size % 4), np.uint8)
    rows[:, :size] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), size)
    return rows.tobytes(), rows.shape[1]


def _glb(root: Json, views: list[Json], buffer: bytearray) -> bytes:
    if views:
        root["bufferViews"] = views
    if buffer:
        root["buffers"] = [{"byteLength": len(buffer)}]
    text = dump_json(root)
    text += b" " * (-len(text) % 4)
    binary = bytes(buffer) + b"\0" * (-len(buffer) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    if 12 + len(chunks) > _MAX_GLB:
        raise LimitError("the scene does not fit into a GLB file of 4 GiB")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def dump_json(value: Any) -> bytes:
    """JSON without spaces, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def shorten_numbers(value: Any) -> Any:
    """The tree with numbers that are float32 in the clothes of a double written as float32: 0.30000001192092896 is 0.3.

    glTF's own numbers are float32, so none changes. Application data (`extras`) stays as it is.
    """
    if isinstance(value, dict):
        return {key: inner if key == "extras" else shorten_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shorten_numbers(inner) for inner in value]
    if isinstance(value, float) and abs(value) < 3e38:
        single = np.float32(value)
        if float(single) == value:
            short = float(str(single))
            return int(short) if short.is_integer() and abs(short) < 1 << 24 else short
    return value
