"""Accessors: typed arrays inside buffer views, possibly strided, sparse or normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_container import Buffers
from squeeze3d.assets.gltf_json import Item, describe
from squeeze3d.errors import LimitError

_DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MAX_ZEROS = 1 << 28
"""Largest accessor, in bytes, that exists without data behind it (zero-filled or sparse)."""


def normalised(values: NDArray[Any]) -> NDArray[np.float32]:
    """Integers to [0, 1] or [-1, 1] as glTF defines it; floats are returned as they are."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    scaled = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return np.maximum(scaled, np.float32(-1)) if values.dtype.kind == "i" else scaled


class Accessors:
    """Reads accessors by index; results are cached, so treat them as read-only."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self._document = buffers.document
        self._raw: dict[int, NDArray[Any]] = {}
        self._floats: dict[tuple[int, bool], NDArray[np.float32]] = {}

    def item(self, index: int, user: Item) -> Item:
        """The accessor's JSON object."""
        return self._document.element("accessors", index, user)

    def raw(self, index: int, user: Item, what: str, widths: tuple[int, ...]) -> NDArray[Any]:
        """Values as stored, (count, width) in the component type of the file.

        `what` names the values in messages, `widths` lists the element widths that make sense for them. Sizes
        are checked against the buffer view before anything is allocated.
        """
        item = self.item(index, user)
        if index not in self._raw:
            self._raw[index] = self._decode(item)
        values = self._raw[index]
        if values.shape[1] not in widths:
            raise user.error(f"{what} has {values.shape[1]} components (accessor {index}), which does not fit")
        return values

    def floats(
        self, index: int, user: Item, what: str, widths: tuple[int, ...], *, scale: bool | None = None
    ) -> NDArray[np.float32]:
        """Values as float32, (count, width).

        Integers are normalised if the accessor says so; `scale=True` normalises them in any case, for
        attributes that glTF allows only in normalised form.
        """
        values = self.raw(index, user, what, widths)
        item = self.item(index, user)
        scaled = item.flag("normalized") if scale is None else scale
        if values.dtype == np.uint32:
            raise user.error(f"{what} has 32-bit integers (accessor {index}), which does not fit")
        key = (index, scaled)
        if key not in self._floats:
            if values.dtype != np.float32:
                self.buffers.budget.spend(values.size * 4, item)
            self._floats[key] = normalised(values) if scaled else values.astype(np.float32, copy=False)
        return self._floats[key]

    def indices(self, index: int, user: Item) -> NDArray[Any]:
        """Vertex indices, (count,) in an unsigned type."""
        values = self.raw(index, user, "`indices`", (1,))
        if values.dtype.kind != "u":
            raise user.error(f"`indices` are {values.dtype.name} (accessor {index}), not unsigned integers")
        return values[:, 0]

    def _decode(self, item: Item) -> NDArray[Any]:
        dtype, width = _component(item), _width(item)
        count = item.integer("count")
        size = count * width * dtype.itemsize
        sparse = item.child("sparse")
        if "bufferView" in item:
            values = self._packed(item, item.integer("byteOffset", 0), dtype, count, width)
        elif size > MAX_ZEROS:
            raise LimitError(f"{item.where}: {count} elements without data, more than {MAX_ZEROS >> 20} MiB")
        else:
            self.buffers.budget.spend(size, item)
            values = np.zeros((count, width), dtype)
        if sparse is not None:
            self._apply_sparse(values, sparse)
        return values

    def _packed(self, item: Item, offset: int, dtype: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
        """Copy `count` elements out of the buffer view that `item` names."""
        view = self.buffers.view(item.integer("bufferView"), item)
        element = width * dtype.itemsize
        stride = view.stride or element
        if count == 0:
            return np.zeros((0, width), dtype)
        if stride < element:
            raise item.error(f"elements of {element} bytes overlap at a stride of {stride}")
        end = offset + stride * (count - 1) + element
        if end > len(view.data):
            raise item.error(f"{count} elements end at byte {end} of a buffer view of {len(view.data)} bytes")
        self.buffers.budget.spend(count * element, item)
        strided: NDArray[Any] = np.ndarray((count, width), dtype, view.data, offset, (stride, dtype.itemsize))
        # A copy: callers get writable, aligned arrays that do not keep the whole file alive.
        return strided.copy()

    def _apply_sparse(self, values: NDArray[Any], sparse: Item) -> None:
        """Overwrite the elements that a sparse accessor lists."""
        count = sparse.integer("count")
        places, replacements = sparse.child("indices"), sparse.child("values")
        if places is None or replacements is None:
            raise sparse.error("`indices` or `values` is missing")
        dtype = _component(places)
        if dtype.kind != "u":
            raise places.error(f"indices are {dtype.name}, not unsigned integers")
        where = self._packed(places, places.integer("byteOffset", 0), dtype, count, 1)[:, 0]
        if count and int(where.max()) >= len(values):
            raise places.error(f"index {int(where.max())} is outside an accessor of {len(values)} elements")
        offset = replacements.integer("byteOffset", 0)
        values[where] = self._packed(replacements, offset, values.dtype, count, values.shape[1])


def _component(item: Item) -> np.dtype[Any]:
    code = item.integer("componentType")
    if code not in _DTYPES:
        raise item.error(f"`componentType` {code} is not one of {', '.join(map(str, _DTYPES))}")
    return np.dtype(_DTYPES[code])


def _width(item: Item) -> int:
    kind = item.text("type", None)
    if kind not in _WIDTHS:
        raise item.error(f"`type` {describe(kind)} is not one of {', '.join(_WIDTHS)}")
    return _WIDTHS[kind]
