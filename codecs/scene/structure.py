"""What the arrays of a scene mean: vertices that belong together, and the values of animations.

A *pool* is a set of vertex arrays whose elements are the same vertices: all attributes and morph targets of a
primitive, and of every primitive that shares one of them. Its vertices get a new order together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_container import Document
from squeeze3d.assets.gltf_json import Item
from squeeze3d.assets.gltf_scene import world_matrices
from squeeze3d.codecs.scene.document import Json, Scene

TRIANGLES = 4
HARMLESS = frozenset({"KHR_materials_variants"})
"""Extensions of primitives that do not care about the order of vertices."""
TARGET = "target "
"""Start of the roles of morph displacements."""
_TRACKS = {"translation": 3, "rotation": 4, "scale": 3, "weights": 1}


@dataclass
class Pool:
    """Vertex arrays that share their vertices."""

    attributes: list[int]
    """Accessors: positions first, then in the order of their role's name."""
    roles: dict[int, str]
    """What each is: `POSITION`, `TEXCOORD_0`, `target NORMAL` ...; empty where uses contradict each other."""
    lists: list[int]
    """Accessors of triangle indices; none where the order of vertices has to stay."""
    meshes: set[int] = field(default_factory=set)
    materials: set[int] = field(default_factory=set)
    scale: float = 1.0
    """Largest factor by which a node or joint that shows it makes it larger."""
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """Where the origin of the world is for its vertices."""


@dataclass
class Track:
    """Key times or values of animations."""

    accessor: int
    role: str
    """`time`, `translation`, `rotation`, `scale` or `weights`."""
    scale: float = 1.0
    """Largest factor by which its nodes' parents make a move larger."""


def objects(root: Json, key: str) -> list[Json]:
    """The objects of a top-level array."""
    found = root.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def primitives(root: Json) -> Iterator[tuple[int, Json]]:
    """All primitives with the number of their mesh."""
    for index, mesh in enumerate(objects(root, "meshes")):
        for primitive in objects(mesh, "primitives"):
            yield index, primitive


def references(primitive: Json) -> list[tuple[str, int]]:
    """Roles and accessors of a primitive's vertex arrays."""
    found = []
    for start, owner in (("", primitive.get("attributes")), *((TARGET, x) for x in primitive.get("targets") or [])):
        if isinstance(owner, dict):
            found += [(start + name, index) for name, index in owner.items() if type(index) is int]
    return found


def _may_reorder(primitive: Json) -> bool:
    extensions = primitive.get("extensions") or {}
    return primitive.get("mode", TRIANGLES) == TRIANGLES and set(extensions) <= HARMLESS


def add_indices(scene: Scene) -> int:
    """Give triangles without indices a list of their own, so that equal vertices can become one; returns how many."""
    made: dict[tuple[tuple[str, int], ...], int] = {}
    for _, primitive in primitives(scene.root):
        parts = tuple(sorted(references(primitive)))
        values = scene.arrays.get(dict(parts).get("POSITION", -1))
        if (
            "indices" in primitive
            or not _may_reorder(primitive)
            or values is None
            or len(values) % 3
            or not len(values)
        ):
            continue
        if parts not in made:
            made[parts] = len(scene.root["accessors"])
            dtype = np.uint16 if len(values) < 1 << 16 else np.uint32
            scene.root["accessors"].append({"componentType": 5123 if dtype is np.uint16 else 5125, "type": "SCALAR"})
            scene.arrays[made[parts]] = np.arange(len(values), dtype=dtype).reshape(-1, 1)
        primitive["indices"] = made[parts]
    return len(made)


def find_pools(scene: Scene) -> list[Pool]:
    """Pools in the order of their first accessor; arrays that do not fit together are in none."""
    groups = _Groups()
    roles: dict[int, set[str]] = defaultdict(set)
    for _, primitive in primitives(scene.root):
        parts = references(primitive)
        for role, index in parts:
            roles[index].add(role)
            groups.join(parts[0][1], index)
    tracks = {index for track in _track_uses(scene.root) for index in track[:2]}
    other = tracks | {x["inverseBindMatrices"] for x in objects(scene.root, "skins") if "inverseBindMatrices" in x}
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(roles):
        members[groups.find(index)].append(index)
    indices, meshes, materials, fixed = _uses(scene.root, groups)
    users = Counter(index for found in indices.values() for index in found)
    pools = []
    for key, accessors in sorted(members.items(), key=lambda item: item[1][0]):
        counts = {len(scene.arrays[index]) if index in scene.arrays else -1 for index in accessors}
        if len(counts) > 1 or counts <= {-1, 0} or other & set(accessors):
            continue
        named = {index: next(iter(roles[index])) if len(roles[index]) == 1 else "" for index in accessors}
        accessors.sort(key=lambda index: (named[index] != "POSITION", named[index] == "", named[index], index))
        lists = sorted(indices[key])
        sole = all(users[index] == 1 for index in lists)
        positions = [index for index in accessors if named[index] == "POSITION"]
        free = key not in fixed and lists and sole and len(positions) == 1 and named[accessors[0]] == "POSITION"
        if free:
            free = scene.arrays[accessors[0]].shape[1] == 3 and all(
                _is_list(scene, index, counts, roles, other) for index in lists
            )
        pools.append(Pool(accessors, named, lists if free else [], meshes[key], materials[key]))
    return pools


def _is_list(scene: Scene, index: int, counts: set[int], roles: dict[int, set[str]], other: set[int]) -> bool:
    values = scene.arrays.get(index)
    return (
        values is not None
        and values.shape[1] == 1
        and values.dtype.kind == "u"
        and len(values) > 0
        and len(values) % 3 == 0
        and int(values.max()) < max(counts)
        and index not in roles
        and index not in other
    )


def _uses(
    root: Json, groups: _Groups
) -> tuple[dict[int, set[int]], dict[int, set[int]], dict[int, set[int]], set[int]]:
    """Index lists, meshes and materials of each group of arrays, and groups whose order has to stay."""
    indices: dict[int, set[int]] = defaultdict(set)
    meshes: dict[int, set[int]] = defaultdict(set)
    materials: dict[int, set[int]] = defaultdict(set)
    fixed: set[int] = set()
    for mesh, primitive in primitives(root):
        parts = references(primitive)
        if not parts:
            continue
        key = groups.find(parts[0][1])
        meshes[key].add(mesh)
        if type(primitive.get("material")) is int:
            materials[key].add(primitive["material"])
        if type(primitive.get("indices")) is int and _may_reorder(primitive):
            indices[key].add(primitive["indices"])
        else:
            fixed.add(key)
            if type(primitive.get("indices")) is int:
                indices[key].add(primitive["indices"])
    return indices, meshes, materials, fixed


class _Groups:
    """Sets that grow together."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, index: int) -> int:
        root = index
        while self._parent.get(root, root) != root:
            root = self._parent[root]
        while self._parent.get(index, index) != root:
            self._parent[index], index = root, self._parent[index]
        return root

    def join(self, one: int, other: int) -> None:
        self._parent[self.find(other)] = self.find(one)


# Where pools are shown


def place_pools(scene: Scene, pools: list[Pool]) -> None:
    """Find out how much larger nodes and joints show each pool, and where it is in the world.

    The grid of a pool begins at the origin of the world as seen from its first node: parts that only translations tell
    apart are on one grid, so that borders which touch stay closed.
    """
    document = Document(Item(scene.root, "the scene"))
    worlds = world_matrices(document)
    factors, origins = _instances(scene, worlds)
    for pool in pools:
        found = [factors[mesh] for mesh in pool.meshes if mesh in factors]
        pool.scale = max(found, default=1.0)
        places = [origins[mesh] for mesh in sorted(pool.meshes) if mesh in origins]
        if places:
            pool.origin = places[0]


def _instances(scene: Scene, worlds: NDArray[np.float64]) -> tuple[dict[int, float], dict[int, NDArray[np.float64]]]:
    factors: dict[int, float] = {}
    origins: dict[int, NDArray[np.float64]] = {}
    skins = objects(scene.root, "skins")
    for index, node in enumerate(objects(scene.root, "nodes")):
        mesh = node.get("mesh")
        if type(mesh) is not int:
            continue
        factor = stretch(worlds[index]) * _instance_scale(scene, node)
        skin = node.get("skin")
        if type(skin) is int and 0 <= skin < len(skins):
            factor = max(factor, _skin_stretch(scene, skins[skin], worlds))
        elif mesh not in origins:
            origin = _origin(worlds[index])
            if origin is not None:
                origins[mesh] = origin
        if 0 < factor < np.inf:
            factors[mesh] = max(factor, factors.get(mesh, 0.0))
    return factors, origins


def stretch(matrix: NDArray[np.float64]) -> float:
    """Largest factor by which a (4, 4) transform makes a vector longer."""
    linear = matrix[:3, :3]
    return float(np.linalg.norm(linear, 2)) if np.isfinite(linear).all() else 1.0


def _instance_scale(scene: Scene, node: Json) -> float:
    extension = (node.get("extensions") or {}).get("EXT_mesh_gpu_instancing") or {}
    values = scene.arrays.get((extension.get("attributes") or {}).get("SCALE", -1))
    return float(np.abs(values).max()) if values is not None and values.size and values.dtype.kind == "f" else 1.0


def _skin_stretch(scene: Scene, skin: Json, worlds: NDArray[np.float64]) -> float:
    joints = [joint for joint in skin.get("joints") or [] if type(joint) is int and 0 <= joint < len(worlds)]
    inverse = scene.arrays.get(skin.get("inverseBindMatrices", -1))
    factors = []
    for place, joint in enumerate(joints):
        matrix = worlds[joint]
        if inverse is not None and inverse.shape[1:] == (16,) and place < len(inverse):
            matrix = matrix @ inverse[place].reshape(4, 4).T.astype(np.float64)
        factors.append(stretch(matrix))
    return max(factors, default=1.0)


def _origin(matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
    with np.errstate(all="ignore"):
        try:
            place = np.asarray(-np.linalg.solve(matrix[:3, :3], matrix[:3, 3]), np.float64)
        except np.linalg.LinAlgError:
            return None
    return place if np.isfinite(place).all() else None


# Animations


def _track_uses(root: Json) -> Iterator[tuple[int, int, str, Any]]:
    """(input accessor, output accessor, role, node) of every channel; the role is empty where it is not understood."""
    for animation in objects(root, "animations"):
        samplers = objects(animation, "samplers")
        used = set()
        for channel in objects(animation, "channels"):
            number, target = channel.get("sampler"), channel.get("target") or {}
            if type(number) is not int or not 0 <= number < len(samplers):
                continue
            used.add(number)
            sampler = samplers[number]
            path = target.get("path")
            known = path in _TRACKS and sampler.get("interpolation", "LINEAR") in ("LINEAR", "STEP")
            yield _number(sampler, "input"), _number(sampler, "output"), str(path) if known else "", target.get("node")
        for number in set(range(len(samplers))) - used:
            yield _number(samplers[number], "input"), _number(samplers[number], "output"), "", None


def _number(owner: Json, key: str) -> int:
    value = owner.get(key)
    return value if type(value) is int else -1


def find_tracks(scene: Scene, pools: list[Pool]) -> list[Track]:
    """Float arrays of animations whose meaning is clear, in the order of accessors."""
    roles: dict[int, set[str]] = defaultdict(set)
    nodes: dict[int, set[int]] = defaultdict(set)
    for times, output, role, node in _track_uses(scene.root):
        roles[times].add("time")
        roles[output].add(role)
        if type(node) is int:
            nodes[output].add(node)
    taken = {index for pool in pools for index in (*pool.attributes, *pool.lists)}
    factors = _parent_stretch(scene.root) if roles else {}
    tracks = []
    for index in sorted(roles):
        values = scene.arrays.get(index)
        if values is None or len(roles[index]) > 1 or index in taken or not len(values):
            continue
        role = next(iter(roles[index]))
        if role and values.dtype == np.float32 and values.shape[1] == _TRACKS.get(role, 1):
            scale = max((factors.get(node, 1.0) for node in nodes[index]), default=1.0)
            tracks.append(Track(index, role, scale))
    return tracks


def _parent_stretch(root: Json) -> dict[int, float]:
    worlds = world_matrices(Document(Item(root, "the scene")))
    return {
        child: stretch(worlds[index]) or 1.0
        for index, node in enumerate(objects(root, "nodes"))
        for child in node.get("children") or []
    }
