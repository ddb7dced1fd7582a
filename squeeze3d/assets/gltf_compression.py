"""Compressed geometry inside glTF: Draco meshes and meshopt buffer views.

Both decoders are optional packages. They are imported when a file needs them; without them the error names
the install line. Their own checks guard against damaged data; whatever they raise becomes a `FormatError`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_json import Item, describe, printable
from squeeze3d.errors import MissingExtraError, UnsupportedError

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_MODES = ("ATTRIBUTES", "TRIANGLES", "INDICES")
_FILTERS = ("NONE", "OCTAHEDRAL", "QUATERNION", "EXPONENTIAL")


@dataclass(frozen=True, slots=True)
class MeshoptLayout:
    """What a meshopt buffer view decodes to."""

    mode: str
    filter: str
    count: int
    stride: int

    @property
    def size(self) -> int:
        """Decoded bytes."""
        return self.count * self.stride

    @classmethod
    def of(cls, item: Item) -> MeshoptLayout:
        """Read and check the extension object; the C decoder asserts what is refused here."""
        layout = cls(
            item.text("mode", None),
            item.text("filter", "NONE"),
            item.integer("count"),
            item.integer("byteStride"),
        )
        if layout.mode not in _MODES:
            raise UnsupportedError(f"{item.where}: mode {describe(layout.mode)} is not supported")
        if layout.filter not in _FILTERS:
            raise UnsupportedError(f"{item.where}: filter {describe(layout.filter)} is not supported")
        if layout.mode == "ATTRIBUTES":
            valid = layout.stride % 4 == 0 and 4 <= layout.stride <= 256
        else:
            valid = layout.stride in (2, 4) and layout.filter == "NONE"
        if layout.filter == "OCTAHEDRAL":
            valid = valid and layout.stride in (4, 8)
        elif layout.filter == "QUATERNION":
            valid = valid and layout.stride == 8
        if layout.mode == "TRIANGLES":
            valid = valid and layout.count % 3 == 0
        if not valid:
            raise item.error(
                f"{layout.count} elements of {layout.stride} bytes do not fit mode {layout.mode}"
                f" with filter {layout.filter}"
            )
        return layout


def decode_meshopt(data: memoryview, layout: MeshoptLayout, item: Item) -> bytes:
    """Decode one meshopt buffer view.

    Raises
    ------
    MissingExtraError : the `meshoptimizer` package is not installed.
    FormatError : the decoder refuses the data.
    """
    try:
        # By name, so that type checkers do not ask for stubs of a package that may be absent.
        meshoptimizer = importlib.import_module("meshoptimizer")
    except ImportError:
        raise MissingExtraError(
            f"{item.where}: the file is compressed with meshopt, and its decoder is not installed",
            hint='pip install "squeeze3d[meshopt]"',
        ) from None
    if layout.count == 0:
        return b""
    try:
        if layout.mode == "ATTRIBUTES":
            rows = meshoptimizer.decode_vertex_buffer(
                layout.count, layout.stride, bytes(data), dtype=np.dtype((np.void, layout.stride))
            )
            if layout.filter != "NONE":
                name = {"OCTAHEDRAL": "oct", "QUATERNION": "quat", "EXPONENTIAL": "exp"}[layout.filter]
                decode_filter = getattr(meshoptimizer, f"decode_filter_{name}")
                rows = decode_filter(rows, layout.count, layout.stride)
            return bytes(rows.tobytes())
        decode = (
            meshoptimizer.decode_index_buffer if layout.mode == "TRIANGLES" else meshoptimizer.decode_index_sequence
        )
        # The stream does not depend on the index size. The package returns 16-bit results in a 32-bit array,
        # so 32 bits are asked for and narrowed here.
        indices = decode(layout.count, 4, bytes(data))
        return bytes(indices.astype("<u2" if layout.stride == 2 else "<u4").tobytes())
    except (RuntimeError, ValueError, MemoryError) as error:
        raise item.error(f"meshopt data cannot be decoded: {printable(str(error))[:120]}") from None


@dataclass(frozen=True, slots=True)
class DracoGeometry:
    """What one Draco stream holds."""

    triangles: NDArray[np.uint32]
    attributes: dict[int, NDArray[Any]]
    """Values by the attribute's unique id, each (V, components)."""

    @property
    def nbytes(self) -> int:
        """Decoded bytes."""
        return self.triangles.nbytes + sum(values.nbytes for values in self.attributes.values())


def decode_draco(data: memoryview, item: Item) -> DracoGeometry:
    """Decode one Draco mesh.

    Raises
    ------
    MissingExtraError : the `DracoPy` package is not installed.
    FormatError : the decoder refuses the data, or it holds no triangles.
    """
    try:
        DracoPy = importlib.import_module("DracoPy")
    except ImportError:
        raise MissingExtraError(
            f"{item.where}: the file is compressed with Draco, and its decoder is not installed",
            hint='pip install "squeeze3d[draco]"',
        ) from None
    try:
        mesh = DracoPy.decode(bytes(data))
        faces = getattr(mesh, "faces", None)
        attributes = {int(x["unique_id"]): np.asarray(x["data"]) for x in mesh.attributes}
    except Exception as error:  # the binding raises bare Exception for some damaged streams
        raise item.error(f"Draco data cannot be decoded: {printable(str(error))[:120]}") from None
    if faces is None or len(faces) == 0:
        raise item.error("the Draco data holds no triangles")
    triangles = np.asarray(faces, dtype=np.uint32).reshape(-1, 3)
    return DracoGeometry(triangles, {key: x.reshape(len(x), -1) for key, x in attributes.items()})
