"""Small glTF files, built in memory, for the tests of the reader and the writer."""

from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import PIL.Image

from squeeze3d.assets.gltf import read
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Source

CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
QUAD = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
QUAD_TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]], np.uint16)


def image_bytes(kind: str = "PNG", size: int = 4, colour: tuple[int, ...] = (200, 60, 20)) -> bytes:
    """A small encoded image of one colour."""
    out = io.BytesIO()
    PIL.Image.new("RGB", (size, size), colour).save(out, kind)
    return out.getvalue()


class GltfBuilder:
    """Collects buffer views and accessors; `root` is the JSON tree and may be edited freely."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.root: dict[str, Any] = {"asset": {"version": "2.0"}}

    def append(self, kind: str, item: dict[str, Any]) -> int:
        """Add an object to a top-level array and return its index."""
        self.root.setdefault(kind, []).append(item)
        return len(self.root[kind]) - 1

    def view(self, data: bytes, **members: Any) -> int:
        """Add a buffer view with these bytes."""
        self.data += b"\0" * (-len(self.data) % 4)
        offset = len(self.data)
        self.data += data
        return self.append("bufferViews", {"buffer": 0, "byteOffset": offset, "byteLength": len(data), **members})

    def accessor(self, values: Any, dtype: str = "f4", **members: Any) -> int:
        """Add a tightly packed accessor."""
        array = np.asarray(values, dtype="<" + dtype)
        array = array.reshape(len(array), -1)
        item = {
            "bufferView": self.view(array.tobytes()),
            "componentType": CODES[dtype],
            "count": len(array),
            "type": TYPES[array.shape[1]],
        }
        return self.append("accessors", {**item, **members})

    def primitive(self, positions: Any = QUAD, triangles: Any = QUAD_TRIANGLES, **attributes: int) -> dict[str, Any]:
        """A primitive object; `attributes` are accessor indices by glTF name."""
        item: dict[str, Any] = {"attributes": {"POSITION": self.accessor(positions), **attributes}}
        if triangles is not None:
            item["indices"] = self.accessor(np.reshape(triangles, (-1, 1)), "u2")
        return item

    def mesh(self, *primitives: dict[str, Any], **members: Any) -> int:
        """Add a mesh of these primitives."""
        return self.append("meshes", {"primitives": list(primitives), **members})

    def node(self, **members: Any) -> int:
        """Add a node."""
        return self.append("nodes", members)

    def scene(self, *roots: int, **members: Any) -> int:
        """Add a scene."""
        return self.append("scenes", {"nodes": list(roots), **members})

    def show(self, *primitives: dict[str, Any], **members: Any) -> GltfBuilder:
        """Show one mesh of these primitives by one node in one scene."""
        self.scene(self.node(mesh=self.mesh(*primitives, **members)))
        return self

    def glb(self) -> bytes:
        """The file as GLB."""
        root = dict(self.root)
        root.setdefault("buffers", [{"byteLength": len(self.data)}] if self.data else [])
        return pack_glb(json.dumps(root).encode(), bytes(self.data))

    def gltf(self, uri: str | None = None) -> bytes:
        """The file as JSON; the buffer is a data: URI or a side file called `uri`."""
        inline = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        buffers = [{"byteLength": len(self.data), "uri": uri or inline}]
        return json.dumps({**self.root, "buffers": buffers}).encode()


def pack_glb(text: bytes, binary: bytes | None) -> bytes:
    """GLB from a JSON text and a BIN chunk."""
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary is not None:
        binary += b"\0" * (-len(binary) % 4)
        body += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def quad() -> GltfBuilder:
    """The smallest useful file: two triangles."""
    builder = GltfBuilder()
    return builder.show(builder.primitive())


def read_any(data: GltfBuilder | bytes, **side_files: bytes) -> tuple[Mesh | PointCloud, LossReport]:
    """Read a file with side files given by name (`_` in a keyword stands for a dot)."""
    losses = LossReport()
    content = data.glb() if isinstance(data, GltfBuilder) else data
    extra = {name.replace("_", "."): value for name, value in side_files.items()}
    return read(Source(content, "x.glb", extra=extra), losses), losses


def read_mesh(data: GltfBuilder | bytes, **side_files: bytes) -> Mesh:
    """Read a file that must hold a mesh."""
    asset, _ = read_any(data, **side_files)
    assert isinstance(asset, Mesh)
    return asset


def details(data: GltfBuilder | bytes, **side_files: bytes) -> dict[str, str]:
    """The loss report of a file: details by feature."""
    _, losses = read_any(data, **side_files)
    return {loss.feature: loss.detail for loss in losses}


def world_corners(mesh: Mesh) -> np.ndarray[Any, Any]:
    """(F, 3, 3) world-space triangle corners of everything a mesh shows."""
    parts = []
    for primitive, matrix in mesh.instances():
        moved = primitive.positions.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        parts.append(moved[primitive.triangles])
    return np.concatenate(parts)
