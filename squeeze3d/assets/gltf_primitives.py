"""Geometry of glTF primitives: attributes, topologies, and their Draco-compressed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_accessors import Accessors, normalised
from squeeze3d.assets.gltf_compression import DRACO, DracoGeometry, decode_draco
from squeeze3d.assets.gltf_json import Item, printable
from squeeze3d.assets.gltf_losses import Tally
from squeeze3d.errors import InputError

POINTS, TRIANGLES, STRIP, FAN = 0, 4, 5, 6
_LINES = (1, 2, 3)

FloatArrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Influences:
    """Which joints move each vertex."""

    joints: NDArray[np.int64]
    """(V, K) indices into the skin's joints."""
    weights: NDArray[np.float64]
    """(V, K), rows sum to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """One primitive as the file holds it, before morph targets and skins are applied."""

    item: Item
    attributes: FloatArrays
    """POSITION, and if present NORMAL, TEXCOORD_0 ... and COLOR_0 (RGBA)."""
    triangles: NDArray[np.int32] | None
    """(F, 3); None for a primitive of points."""
    material: int
    targets: tuple[FloatArrays, ...] = ()
    """Morph displacements by attribute."""
    influences: Influences | None = None


class PrimitiveReader:
    """Reads primitives of a file; what `Geometry` cannot hold goes to the tally."""

    def __init__(self, accessors: Accessors, tally: Tally) -> None:
        self._accessors = accessors
        self._tally = tally
        self._colours: dict[int, NDArray[np.float32]] = {}
        self._checked: dict[int, tuple[NDArray[np.float32], bool]] = {}

    def read(self, item: Item, mesh_name: str) -> Geometry | None:
        """One primitive, or None if it shows nothing that can be kept (lines, no positions, no triangle).

        Raises
        ------
        FormatError : attributes differ in length, or an index points past the last vertex.
        InputError : a vertex in use has a position that is NaN or infinite.
        """
        mode = item.integer("mode", TRIANGLES)
        if mode > FAN:
            raise item.error(f"`mode` {mode} is not a topology")
        material = item.integer("material", -1, low=0) if "material" in item else -1
        names = item.child("attributes")
        if names is None or "POSITION" not in names:
            self._tally.note("missing-positions", "no positions", "primitive", mesh_name, warning=True)
            return None
        if mode in _LINES:
            self._tally.note("points-and-lines", "lines", "primitive", mesh_name)
            return None
        packed = self._draco(item, names)
        attributes = self._attributes(names, packed, mesh_name)
        count = len(attributes["POSITION"])
        for name, values in attributes.items():
            if len(values) != count:
                raise item.error(f"{name} has {len(values)} values for {count} positions")
        triangles = self._triangles(item, mode, count, packed, mesh_name)
        if triangles is None:
            attributes = self._points(item, attributes, count)
        if len(attributes["POSITION"] if triangles is None else triangles) == 0:
            return None
        if not self._is_finite(attributes["POSITION"]):
            check_positions(attributes["POSITION"], triangles, item)
        self._clean(attributes, item, mesh_name)
        targets = tuple(self._target(target, attributes) for target in item.items("targets"))
        influences = self._influences(names, packed, count)
        return Geometry(item, attributes, triangles, material, targets, influences)

    def _draco(self, item: Item, names: Item) -> dict[str, NDArray[Any]] | None:
        """Attributes (and `indices`) of a Draco primitive, or None where plain accessors hold the data."""
        extension = item.extension(DRACO)
        if extension is None:
            return None
        used = [(key, names) for key in names.data] + ([("indices", item)] if "indices" in item else [])
        accessors = [self._accessors.item(owner.integer(key), owner) for key, owner in used]
        if all("bufferView" in accessor for accessor in accessors):
            return None
        view = self._accessors.buffers.view(extension.integer("bufferView"), extension)
        geometry: DracoGeometry = decode_draco(view.data, extension)
        self._accessors.buffers.budget.spend(geometry.nbytes * 2, extension)
        ids = extension.child("attributes") or Item({}, "`attributes`", extension)
        found: dict[str, NDArray[Any]] = {"indices": geometry.triangles}
        for key in ids.data:
            identifier = ids.integer(key)
            if identifier not in geometry.attributes:
                raise ids.error(f"the Draco data has no attribute {identifier} for {printable(key)[:40]}")
            found[key] = geometry.attributes[identifier]
        return found

    def _attributes(self, names: Item, packed: dict[str, NDArray[Any]] | None, mesh: str) -> FloatArrays:
        def read(name: str, widths: tuple[int, ...], scale: bool | None = None) -> NDArray[np.float32]:
            return self._floats(names, name, packed, widths, scale)

        attributes = {"POSITION": read("POSITION", (3,))}
        if "NORMAL" in names:
            attributes["NORMAL"] = read("NORMAL", (3,), True)
        uv_sets = 0
        while f"TEXCOORD_{uv_sets}" in names:
            attributes[f"TEXCOORD_{uv_sets}"] = read(f"TEXCOORD_{uv_sets}", (2,))
            uv_sets += 1
        if "COLOR_0" in names:
            attributes["COLOR_0"] = self._colour(names, packed)
        for name in names.data:
            if name not in attributes:
                feature, text = _dropped_attribute(name)
                if feature:
                    self._tally.note(feature, text, "primitive", mesh)
        return attributes

    def _floats(
        self,
        names: Item,
        name: str,
        packed: dict[str, NDArray[Any]] | None,
        widths: tuple[int, ...],
        scale: bool | None,
    ) -> NDArray[np.float32]:
        """One attribute as floats, from Draco data or from its accessor."""
        index = names.integer(name)
        if packed is None or name not in packed:
            return self._accessors.floats(index, names, name, widths, scale=scale)
        values = packed[name]
        if values.ndim != 2 or values.shape[1] not in widths or values.dtype.kind not in "iuf":
            raise names.error(f"the Draco data of {name} has an unexpected shape or type")
        accessor = self._accessors.item(index, names)
        scaled = accessor.flag("normalized") if scale is None else scale
        return normalised(values) if scaled else values.astype(np.float32)

    def _colour(self, names: Item, packed: dict[str, NDArray[Any]] | None) -> NDArray[np.float32]:
        """COLOR_0 as linear RGBA in [0, 1]; integer colours are normalised even where the flag is missing."""
        index = names.integer("COLOR_0")
        if packed is None and index in self._colours:
            return self._colours[index]
        values = self._floats(names, "COLOR_0", packed, (3, 4), True)
        self._accessors.buffers.budget.spend(len(values) * 16, names)
        colours = np.ones((len(values), 4), np.float32)
        colours[:, : values.shape[1]] = np.clip(values, 0, 1)
        if packed is None:
            self._colours[index] = colours
        return colours

    def _triangles(
        self, item: Item, mode: int, count: int, packed: dict[str, NDArray[Any]] | None, mesh: str
    ) -> NDArray[np.int32] | None:
        """(F, 3) indices of a triangle topology, checked against the vertex count; None for points."""
        if mode == POINTS:
            return None
        if packed is not None:
            indices = packed["indices"].reshape(-1)
            mode = TRIANGLES
        elif "indices" in item:
            indices = self._accessors.indices(item.integer("indices"), item)
        else:
            indices = np.arange(count, dtype=np.uint32)
        _check_indices(indices, count, item)
        self._accessors.buffers.budget.spend(indices.size * 12 if mode != TRIANGLES else indices.size * 4, item)
        flat = indices.astype(np.int32)
        if mode == TRIANGLES:
            if len(flat) % 3 or len(flat) == 0:
                text = "an incomplete triangle at the end" if len(flat) > 3 else "no complete triangle"
                self._tally.note("incomplete-triangle", text, "primitive", mesh, warning=True)
            return flat[: len(flat) // 3 * 3].reshape(-1, 3)
        if len(flat) < 3:
            self._tally.note("incomplete-triangle", "no complete triangle", "primitive", mesh, warning=True)
            return np.zeros((0, 3), np.int32)
        if mode == FAN:
            hub = np.full(len(flat) - 2, flat[0], np.int32)
            return np.stack([flat[1:-1], flat[2:], hub], axis=1)
        triangles = np.stack([flat[:-2], flat[1:-1], flat[2:]], axis=1)
        # Every second triangle of a strip runs the other way round.
        triangles[1::2] = triangles[1::2][:, [0, 2, 1]]
        return triangles

    def _points(self, item: Item, attributes: FloatArrays, count: int) -> FloatArrays:
        """Attributes of a primitive of points, in the order of its indices if it has some."""
        if "indices" not in item:
            return attributes
        indices = self._accessors.indices(item.integer("indices"), item)
        _check_indices(indices, count, item)
        self._accessors.buffers.budget.spend(indices.size * 16 * len(attributes), item)
        return {name: values[indices] for name, values in attributes.items()}

    def _is_finite(self, values: NDArray[np.float32]) -> bool:
        """Whether all values are finite; remembered, as thousands of primitives may share one large array."""
        key = id(values)
        if key not in self._checked:
            # The array is kept with the answer, so its id stays its own.
            self._checked[key] = values, bool(np.isfinite(values).all())
        return self._checked[key][1]

    def _clean(self, attributes: FloatArrays, item: Item, mesh: str) -> None:
        """Replace NaN and infinity by zero in all but positions; faulty exporters write them."""
        for name, values in attributes.items():
            if name != "POSITION" and not self._is_finite(values):
                self._accessors.buffers.budget.spend(values.nbytes, item)
                attributes[name] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
                text = f"NaN or infinite values in {name} set to zero"
                self._tally.note("invalid-values", text, "primitive", mesh, warning=True)

    def _target(self, item: Item, attributes: FloatArrays) -> FloatArrays:
        """Displacements of one morph target for the attributes we keep."""
        displacements: FloatArrays = {}
        for name, base in attributes.items():
            if name not in item:
                continue
            widths = (base.shape[1],) if name != "COLOR_0" else (3, 4)
            values = self._accessors.floats(item.integer(name), item, name, widths)
            if len(values) != len(base):
                raise item.error(f"{name} has {len(values)} values for {len(base)} vertices")
            displacements[name] = values
        return displacements

    def _influences(self, names: Item, packed: dict[str, NDArray[Any]] | None, count: int) -> Influences | None:
        """Joints and weights of all JOINTS_n / WEIGHTS_n sets side by side; None for a rigid primitive."""
        joints: list[NDArray[np.float32]] = []
        weights: list[NDArray[np.float32]] = []
        while f"JOINTS_{len(joints)}" in names and f"WEIGHTS_{len(joints)}" in names:
            number = len(joints)
            weights.append(self._floats(names, f"WEIGHTS_{number}", packed, (4,), True))
            # Joint numbers are at most 65535, which float32 holds exactly.
            joints.append(self._floats(names, f"JOINTS_{number}", packed, (4,), False))
            if len(joints[-1]) != count or len(weights[-1]) != count:
                raise names.error(f"JOINTS_{number} or WEIGHTS_{number} does not have {count} values")
        if not joints:
            return None
        self._accessors.buffers.budget.spend(count * len(joints) * 64, names)
        shares = np.concatenate(weights, axis=1).astype(np.float64)
        shares = np.where(np.isfinite(shares) & (shares > 0), shares, 0)
        total = shares.sum(axis=1, keepdims=True)
        # A vertex that no joint holds follows the first one, as viewers do.
        shares[total[:, 0] == 0, 0] = 1
        shares /= np.where(total == 0, 1, total)
        numbers = np.concatenate(joints, axis=1)
        if not ((numbers >= 0) & (numbers < 65536)).all():
            raise names.error("joint numbers are not between 0 and 65535")
        return Influences(numbers.astype(np.int64), shares)


def same_parts_key(item: Item) -> object | None:
    """A key, equal for primitives of the same accessors and material; None where that is unclear."""
    attributes = item.data.get("attributes")
    if not isinstance(attributes, dict) or "extensions" in item or "targets" in item:
        return None
    own = [item.data.get(name, -1) for name in ("mode", "indices", "material")]
    if not all(type(value) is int for value in (*own, *attributes.values())):
        return None
    return (*own, *sorted(attributes.items()))


def _check_indices(indices: NDArray[Any], count: int, item: Item) -> None:
    highest = int(indices.max()) if indices.size else -1
    if highest >= count:
        raise item.error(f"index {highest} points past the last of {count} vertices")


def check_positions(positions: NDArray[np.float32], triangles: NDArray[np.int32] | None, item: Item) -> None:
    """Refuse NaN or infinite positions that something shown depends on; unused vertices may hold anything."""
    used = positions if triangles is None else positions[triangles.reshape(-1)]
    if not np.isfinite(used).all():
        raise InputError(
            f"{item.where} contains NaN or infinite positions",
            hint="repair the file in the program that made it, for example by removing broken vertices",
        )


def _dropped_attribute(name: str) -> tuple[str, str]:
    """Loss feature and text for an attribute we do not keep; empty for joints, reported with the skin."""
    if name == "TANGENT":
        return "tangent", "tangents"
    if name.startswith("COLOR_"):
        return "colour-set", f"colour set {printable(name)[:40]}"
    if name.startswith("TEXCOORD_"):
        return "uv-set", f"{printable(name)[:40]} after a gap"
    if name.startswith(("JOINTS_", "WEIGHTS_")):
        return "", ""
    return "custom-attribute", f"attribute {printable(name)[:40]}"
