"""`Mesh` or `PointCloud` to glTF 2.0.

Everything a `Mesh` holds is written without change. The same asset gives the same bytes: no time stamps, and
accessors, images and samplers are numbered in the order of first use.

Layout of the one buffer: arrays in the order of first use, each in a buffer view of its own that starts at a
multiple of 4; images follow where the file is a .glb.
"""

from __future__ import annotations

import json
import struct
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from squeeze3d._version import __version__
from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.gltf_accessors import normalised
from squeeze3d.assets.gltf_write_materials import MaterialWriter
from squeeze3d.assets.image import Image
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.errors import InputError, LimitError

_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_COMPONENTS = {"|u1": 5121, "<u2": 5123, "<u4": 5125, "<f4": 5126}
_MAX_GLB = (1 << 32) - 1

Json = dict[str, Any]


def write_asset(asset: Mesh | PointCloud, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write a .glb, or a .gltf with side files named after it, as the suffix of `name` says.

    Returns the files by relative name, main file first. What glTF cannot hold is reported: primitives without
    triangles, and images in an encoding it does not allow, which are stored as PNG.

    Raises
    ------
    InputError : there is nothing to write.
    LimitError : the file would exceed the 4 GiB that GLB can address.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    writer = SceneWriter(losses, stem=path.stem if path.suffix.lower() == ".gltf" else None)
    if isinstance(asset, PointCloud):
        writer.add_points(asset)
    else:
        writer.add_mesh(asset)
    root = writer.finish()
    if writer.stem is None:
        return {name: _glb(root, bytes(writer.buffer))}
    text = json.dumps(root, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return {name: text, f"{writer.stem}.bin": bytes(writer.buffer), **writer.image_files}


def _glb(root: Json, binary: bytes) -> bytes:
    """Pack JSON and buffer as GLB; chunks are padded to multiples of 4, JSON with spaces."""
    text = json.dumps(root, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    if total > _MAX_GLB:
        raise LimitError(f"the asset needs {total} bytes, GLB holds {_MAX_GLB}", hint="write a .gltf instead")
    header = struct.pack("<4sIIII", b"glTF", 2, total, len(text), 0x4E4F534A)
    return header + text + struct.pack("<II", len(binary), 0x004E4942) + binary


class SceneWriter:
    """Builds the JSON tree and the buffer."""

    def __init__(self, losses: LossReport, stem: str | None) -> None:
        self.stem = stem
        """Base name of side files; None puts everything into one buffer."""
        self.buffer = bytearray()
        self.image_files: dict[str, bytes] = {}
        self._losses = losses
        self._materials = MaterialWriter(losses, self._add_image)
        self._views: list[Json] = []
        self._accessors: list[Json] = []
        self._accessor_of: dict[tuple[int, str], int] = {}
        self._kept: list[object] = []
        self._meshes: list[Json] = []
        self._nodes: list[Json] = []
        self._roots: list[int] = []

    def finish(self) -> Json:
        """The complete JSON tree."""
        buffer: Json = {"byteLength": len(self.buffer)}
        if self.stem is not None:
            buffer["uri"] = quote(f"{self.stem}.bin")
        return {
            "asset": {"version": "2.0", "generator": f"squeeze3d {__version__}"},
            **self._materials.extension_lists(),
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            "nodes": self._nodes,
            "meshes": self._meshes,
            **self._materials.arrays(),
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [buffer],
        }

    def add_mesh(self, mesh: Mesh) -> None:
        """Write materials, primitives and the node tree."""
        for material in mesh.materials:
            self._materials.add(material)
        empty = sum(len(x.triangles) == 0 or len(x.positions) == 0 for x in mesh.primitives)
        if empty == len(mesh.primitives):
            raise InputError("nothing to write: the mesh has no triangles")
        if empty:
            noun = "primitive" if empty == 1 else "primitives"
            self._losses.add("empty-primitive", f"{empty} {noun} without triangles", stage="write")
        written: dict[int, Json] = {}
        mesh_of: dict[tuple[int, ...], int] = {}

        def mesh_index(shown: tuple[int, ...]) -> int | None:
            """The glTF mesh for a set of primitives; nodes that show the same ones share it."""
            kept = tuple(i for i in shown if len(mesh.primitives[i].triangles) and len(mesh.primitives[i].positions))
            if not kept:
                return None
            if kept not in mesh_of:
                for index in kept:
                    if index not in written:
                        written[index] = self._primitive(mesh.primitives[index])
                mesh_of[kept] = len(self._meshes)
                self._meshes.append({"primitives": [written[index] for index in kept]})
            return mesh_of[kept]

        if not mesh.nodes:
            self._add_node("", None, -1, mesh_index(tuple(range(len(mesh.primitives)))))
        for node in mesh.nodes:
            self._add_node(node.name, node.matrix, node.parent, mesh_index(node.primitives))
        hidden = len(mesh.primitives) - empty - len(written)
        if hidden:
            noun = "primitive" if hidden == 1 else "primitives"
            self._losses.add("unused-primitive", f"{hidden} {noun} that no node shows", stage="write")
        if not written:
            raise InputError("nothing to write: no node of the mesh shows triangles")

    def add_points(self, cloud: PointCloud) -> None:
        """Write one primitive of points with linear colours."""
        if len(cloud.positions) == 0:
            raise InputError("nothing to write: the point cloud has no points")
        attributes = {"POSITION": self._positions(cloud.positions)}
        if cloud.normals is not None:
            attributes["NORMAL"] = self._floats(cloud.normals)
        if cloud.colours is not None:
            # 16 bits: neighbouring dark sRGB bytes differ by 20 steps, so every byte comes back; 8 bits merge
            # them.
            linear = np.rint(linear_colours(cloud.colours) * 65535).astype("<u2")
            attributes["COLOR_0"] = self._accessor(linear, _ARRAY_BUFFER, normalized=True)
        self._meshes.append({"primitives": [{"attributes": attributes, "mode": 0}]})
        self._add_node("", None, -1, 0)

    def _add_node(self, name: str, matrix: NDArray[np.float64] | None, parent: int, mesh: int | None) -> None:
        node: Json = {}
        if name:
            node["name"] = name
        if matrix is not None and not np.array_equal(matrix, np.eye(4)):
            node["matrix"] = [float(x) for x in matrix.T.reshape(-1)]
        if mesh is not None:
            node["mesh"] = mesh
        index = len(self._nodes)
        self._nodes.append(node)
        if parent < 0:
            self._roots.append(index)
        else:
            self._nodes[parent].setdefault("children", []).append(index)

    def _primitive(self, primitive: Primitive) -> Json:
        attributes = {"POSITION": self._positions(primitive.positions)}
        if primitive.normals is not None:
            attributes["NORMAL"] = self._floats(primitive.normals)
        for number, uv in enumerate(primitive.uvs):
            attributes[f"TEXCOORD_{number}"] = self._floats(uv)
        if primitive.colours is not None:
            attributes["COLOR_0"] = self._colours(primitive.colours)
        written: Json = {"attributes": attributes, "indices": self._indices(primitive.triangles)}
        if primitive.material >= 0:
            written["material"] = primitive.material
        return written

    def _positions(self, positions: NDArray[np.float32]) -> int:
        index = self._floats(positions)
        accessor = self._accessors[index]
        if "min" not in accessor:
            # Vertices that no triangle uses may be NaN; JSON cannot say that, so they do not count.
            finite = positions[np.isfinite(positions).all(axis=1)]
            bounds = finite if len(finite) else np.zeros((1, 3), np.float32)
            accessor["min"] = [float(x) for x in bounds.min(axis=0)]
            accessor["max"] = [float(x) for x in bounds.max(axis=0)]
        return index

    def _floats(self, values: NDArray[np.float32]) -> int:
        return self._once(values, "float", lambda: self._accessor(values.astype("<f4"), _ARRAY_BUFFER))

    def _indices(self, triangles: NDArray[np.int32]) -> int:
        def add() -> int:
            # 65535 is reserved: it restarts primitives in some graphics APIs.
            dtype = "<u2" if int(triangles.max()) < 65535 else "<u4"
            return self._accessor(triangles.reshape(-1, 1).astype(dtype), _ELEMENT_ARRAY_BUFFER)

        return self._once(triangles, "index", add)

    def _colours(self, colours: NDArray[np.float32]) -> int:
        def add() -> int:
            packed = pack_colours(colours)
            return self._accessor(packed, _ARRAY_BUFFER, normalized=packed.dtype.kind == "u")

        return self._once(colours, "colour", add)

    def _once(self, values: NDArray[Any], role: str, add: Any) -> int:
        """Accessor of an array; an array that several primitives share is written once."""
        key = (id(values), role)
        if key not in self._accessor_of:
            self._kept.append(values)  # keeps the id from being reused
            self._accessor_of[key] = add()
        return self._accessor_of[key]

    def _accessor(self, values: NDArray[Any], target: int, *, normalized: bool = False) -> int:
        accessor: Json = {
            "bufferView": self._add_view(np.ascontiguousarray(values).tobytes(), target),
            "componentType": _COMPONENTS[values.dtype.str],
            "count": len(values),
            "type": _TYPES[values.shape[1]],
        }
        if normalized:
            accessor["normalized"] = True
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def _add_view(self, data: bytes, target: int | None = None) -> int:
        self.buffer += b"\0" * (-len(self.buffer) % 4)
        view: Json = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.buffer += data
        self._views.append(view)
        return len(self._views) - 1

    def _add_image(self, image: Image, number: int, suffix: str) -> Json:
        """Store encoded bytes, in the buffer or as a side file; returns the glTF image object."""
        described: Json = {"name": image.name} if image.name else {}
        if self.stem is None:
            return {**described, "mimeType": image.mime, "bufferView": self._add_view(image.data)}
        file_name = f"{self.stem}_{number}{suffix}"
        self.image_files[file_name] = image.data
        return {**described, "uri": quote(file_name)}


def pack_colours(colours: NDArray[np.float32]) -> NDArray[Any]:
    """(V, 4) colours as 8-bit or 16-bit integers if these read back to the same floats, else as floats."""
    with np.errstate(invalid="ignore"):
        for dtype, steps in (("|u1", 255), ("<u2", 65535)):
            packed = np.rint(np.clip(colours, 0, 1) * np.float32(steps)).astype(dtype)
            if np.array_equal(normalised(packed), colours):
                return packed
    return colours.astype("<f4")
