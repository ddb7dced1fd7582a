"""glTF scene to `Mesh` or `PointCloud`.

```text
bytes ─► JSON + buffers ─► nodes of the scene ─► geometry per mesh ─► morph, skin ─► Mesh (or PointCloud)
                                                                      └─► loss report: what was left
                                                                            behind
```
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_accessors import Accessors
from squeeze3d.assets.gltf_container import Buffers, open_document
from squeeze3d.assets.gltf_deform import joint_matrices, morph, shared_matrix, skin_geometry
from squeeze3d.assets.gltf_json import Item, printable
from squeeze3d.assets.gltf_losses import Tally, check_required_extensions, named, report_document
from squeeze3d.assets.gltf_materials import MaterialReader
from squeeze3d.assets.gltf_points import merge_points
from squeeze3d.assets.gltf_primitives import Geometry, Influences, PrimitiveReader, same_parts_key
from squeeze3d.assets.gltf_scene import (
    SceneNode,
    choose_scene,
    instance_matrices,
    scene_nodes,
    world_matrices,
)
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Source
from squeeze3d.errors import InputError, UnsupportedError

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_scene(source: Source, losses: LossReport) -> Mesh | PointCloud:
    """Read the default scene of a .glb or .gltf file.

    Kept: node tree and names, triangles of all topologies, normals, UV sets, the first colour set, materials
    and encoded images. Morph targets and skins are applied in their rest state. Everything else goes to
    `losses`.

    Raises
    ------
    InputError : the file is empty, a buffer file is missing, a position is not finite, or nothing is shown.
    FormatError, TruncatedError : the bytes are not valid glTF; hostile input ends here too, never in a crash.
    UnsupportedError, MissingExtraError : a required extension is unknown, or its decoder is not installed.
    LimitError : the file unfolds to far more memory than its size explains.
    """
    document, binary = open_document(source)
    _check_version(document.root)
    check_required_extensions(document)
    tally = Tally()
    scene = choose_scene(document)
    reader = SceneReader(Buffers(document, source, binary), losses, tally)
    asset = reader.read(scene)
    tally.report(losses)
    report_document(document, scene, losses)
    return asset


def _check_version(root: Item) -> None:
    asset = root.child("asset")
    if asset is None:
        raise root.error("`asset` is missing, so this is not glTF 2.0")
    version = asset.text("version", None)
    if version.split(".")[0] != "2":
        raise UnsupportedError(f"{root.where} is glTF version {printable(version)[:20]}", hint="convert it to glTF 2.0")
    if asset.text("minVersion", "2.0") not in ("2.0", ""):
        needed = printable(asset.text("minVersion"))[:20]
        raise UnsupportedError(f"{root.where} needs glTF version {needed}", hint="convert it to glTF 2.0")


class SceneReader:
    """Collects the primitives and nodes of one scene."""

    def __init__(self, buffers: Buffers, losses: LossReport, tally: Tally) -> None:
        self._buffers = buffers
        self._document = buffers.document
        self._losses = losses
        self._tally = tally
        self._accessors = Accessors(buffers)
        self._primitive_reader = PrimitiveReader(self._accessors, tally)
        self._material_reader = MaterialReader(buffers, losses, tally)
        self._geometry: dict[int, list[Geometry]] = {}
        self._same_geometry: dict[object, Geometry | None] = {}
        self._worlds: NDArray[np.float64] | None = None
        self._joints: dict[int, NDArray[np.float64]] = {}
        self._posed: dict[tuple[object, ...], tuple[int, NDArray[np.float64] | None]] = {}
        self._shapes: list[Geometry] = []
        self._shape_index: dict[tuple[object, ...], int] = {}
        self._nodes: list[Node] = []
        self._unrooted: list[Node] = []

    def read(self, scene: int | None) -> Mesh | PointCloud:
        """Read the scene with this index, or all root nodes for None."""
        found = scene_nodes(self._document, scene)
        if not self._document.array("nodes"):
            # A library of meshes without any node: show each once.
            for index, mesh in enumerate(self._document.array("meshes")):
                shown = self._rigid_shapes(index, mesh.weights("weights"))
                self._nodes.append(Node(mesh.text("name"), primitives=shown))
        new_index: list[int] = []
        for node in found:
            parent = new_index[node.parent] if node.parent >= 0 else -1
            new_index.append(len(self._nodes))
            self._add_node(node, parent)
        self._nodes += self._unrooted
        self._report_hidden_meshes()
        return self._asset()

    def _add_node(self, node: SceneNode, parent: int) -> None:
        """Append a scene node with what it shows; instances become children, skinned parts new roots."""
        found = self._document.follow(node.item, "mesh", "meshes")
        name = node.item.text("name") or (found[1].text("name") if found else "")
        shown: tuple[int, ...] = ()
        if found is not None:
            weights = node.item.weights("weights") or found[1].weights("weights")
            skin = self._document.follow(node.item, "skin", "skins")
            if skin is None:
                shown = self._rigid_shapes(found[0], weights)
            else:
                shown, loose = self._skinned_shapes(found[0], weights, skin[0])
                self._unrooted += [Node(name, matrix, -1, parts) for matrix, parts in loose]
        instances = instance_matrices(node.item, self._accessors) if shown else None
        # A small file can show thousands of primitives from thousands of nodes; every pair costs time.
        pairs = len(shown) * (1 if instances is None else len(instances))
        self._buffers.budget.spend(64 * pairs, node.item)
        if instances is None:
            self._nodes.append(Node(name, node.matrix, parent, shown))
            return
        own = len(self._nodes)
        self._nodes.append(Node(name, node.matrix, parent))
        self._nodes += [Node("", matrix, own, shown) for matrix in instances]

    def _mesh_geometry(self, index: int) -> list[Geometry]:
        if index not in self._geometry:
            mesh = self._document.array("meshes")[index]
            read = [self._read_primitive(item, mesh.text("name")) for item in mesh.items("primitives")]
            self._geometry[index] = [geometry for geometry in read if geometry is not None]
        return self._geometry[index]

    def _read_primitive(self, item: Item, mesh_name: str) -> Geometry | None:
        """Read a primitive; two that are made of the same parts, in whatever meshes, become one."""
        key = same_parts_key(item)
        if key is None:
            return self._primitive_reader.read(item, mesh_name)
        if key not in self._same_geometry:
            self._same_geometry[key] = self._primitive_reader.read(item, mesh_name)
        return self._same_geometry[key]

    def _rigid_shapes(self, mesh: int, weights: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(self._shape((id(x), weights), x, weights) for x in self._mesh_geometry(mesh))

    def _shape(self, key: tuple[object, ...], geometry: Geometry, weights: tuple[float, ...]) -> int:
        """Index of a primitive in its final shape; equal keys share one.

        Keys start with the id of the geometry, which `_geometry` keeps alive.
        """
        if key not in self._shape_index:
            self._shape_index[key] = len(self._shapes)
            self._shapes.append(self._morphed(geometry, weights))
        return self._shape_index[key]

    def _morphed(self, geometry: Geometry, weights: tuple[float, ...]) -> Geometry:
        if not geometry.targets or not any(weights):
            return geometry
        self._spend_copy(geometry)
        return morph(geometry, weights)

    def _spend_copy(self, geometry: Geometry) -> None:
        self._buffers.budget.spend(2 * sum(x.nbytes for x in geometry.attributes.values()), geometry.item)

    def _skinned_shapes(
        self, mesh: int, weights: tuple[float, ...], skin: int
    ) -> tuple[tuple[int, ...], list[tuple[NDArray[np.float64] | None, tuple[int, ...]]]]:
        """Shapes of a skinned mesh: those without joints stay on the node, the rest is placed in the world.

        glTF ignores the node's own transform for skinned vertices, so these get root nodes of their own.
        """
        rigid: list[int] = []
        loose: list[tuple[NDArray[np.float64] | None, tuple[int, ...]]] = []
        for geometry in self._mesh_geometry(mesh):
            if geometry.influences is None:
                rigid.append(self._shape((id(geometry), weights), geometry, weights))
                continue
            key = (id(geometry), weights, skin)
            if key not in self._posed:
                self._posed[key] = self._pose(geometry, geometry.influences, weights, skin)
            shape, placed = self._posed[key]
            if loose and _same_matrix(loose[-1][0], placed):
                loose[-1] = (placed, (*loose[-1][1], shape))
            else:
                loose.append((placed, (shape,)))
        return tuple(rigid), loose

    def _pose(
        self, geometry: Geometry, influences: Influences, weights: tuple[float, ...], skin: int
    ) -> tuple[int, NDArray[np.float64] | None]:
        """Shape of a primitive under a skin, and the transform that places it in the world."""
        matrices = self._joint_matrices(skin)
        common = shared_matrix(influences, matrices, geometry.item)
        if common is not None:
            shape = self._shape((id(geometry), weights), geometry, weights)
            return shape, None if np.array_equal(common, np.eye(4)) else common
        self._spend_copy(geometry)
        posed = skin_geometry(self._morphed(geometry, weights), influences, matrices)
        return self._shape((id(geometry), weights, skin), posed, ()), None

    def _joint_matrices(self, skin: int) -> NDArray[np.float64]:
        if skin not in self._joints:
            if self._worlds is None:
                self._worlds = world_matrices(self._document)
            item = self._document.array("skins")[skin]
            self._joints[skin] = joint_matrices(item, self._worlds, self._accessors, len(self._worlds))
        return self._joints[skin]

    def _report_hidden_meshes(self) -> None:
        meshes = self._document.array("meshes")
        hidden = [mesh.text("name") for index, mesh in enumerate(meshes) if index not in self._geometry]
        if hidden:
            count = f"{len(hidden)} mesh{'es' if len(hidden) > 1 else ''}"
            self._losses.add("unused-mesh", f"{count} that the scene does not show{named(hidden)}")

    def _asset(self) -> Mesh | PointCloud:
        """The asset, from the collected shapes and nodes."""
        triangles = [index for index, shape in enumerate(self._shapes) if shape.triangles is not None]
        shown = {index for node in self._nodes for index in node.primitives}
        if not shown:
            raise InputError(
                f"{self._document.root.where} has nothing to compress: no triangles or points",
                hint="check that the scene that is shown by default has meshes in it",
            )
        worlds = self._world_matrices()
        materials, material_map = self._materials()
        if not triangles:
            placed = [
                (self._shapes[index], worlds[number])
                for number, node in enumerate(self._nodes)
                for index in node.primitives
            ]
            used = [materials[material_map[x.material]] if x.material >= 0 else Material() for x, _ in placed]
            return merge_points(placed, used, self._buffers.budget, self._losses)
        for shape in self._shapes:
            if shape.triangles is None:
                self._tally.note("points-and-lines", "points", "primitive")
        primitive_map = {old: new for new, old in enumerate(triangles)}
        nodes = [
            Node(
                x.name,
                x.matrix,
                x.parent,
                tuple(primitive_map[i] for i in x.primitives if i in primitive_map),
            )
            for x in self._nodes
        ]
        primitives = [_primitive(self._shapes[index], material_map) for index in triangles]
        return Mesh(tuple(primitives), tuple(materials), tuple(nodes))

    def _world_matrices(self) -> list[NDArray[np.float64]]:
        """Local-to-world matrix of every collected node.

        Raises InputError where a transform throws a shown vertex out of the range of float32.
        """
        worlds: list[NDArray[np.float64]] = []
        reach_of: dict[int, NDArray[np.float64]] = {}
        for shape in self._shapes:
            # Thousands of primitives may share one large array of positions: look at it once.
            key = id(shape.attributes["POSITION"])
            if key not in reach_of:
                reach_of[key] = _reach(shape)
        reach = np.array([reach_of[id(shape.attributes["POSITION"])] for shape in self._shapes])
        with np.errstate(all="ignore"):
            for node in self._nodes:
                above = worlds[node.parent] if node.parent >= 0 else np.eye(4)
                world = above if node.matrix is None else above @ node.matrix
                worlds.append(world)
                if not node.primitives:
                    continue
                furthest = np.abs(world[:3, :3]) @ reach[list(node.primitives)].max(axis=0)
                if not (furthest + np.abs(world[:3, 3]) <= _FLOAT32_MAX).all():
                    raise InputError(
                        f"{self._document.root.where}: node `{printable(node.name)[:40]}` moves vertices"
                        " beyond the range of float32",
                        hint="repair the transforms of the nodes in the program that made the file",
                    )
        return worlds

    def _materials(self) -> tuple[list[Material], dict[int, int]]:
        """Materials that shapes use, in file order, and where each went."""
        items = self._document.array("materials")
        used = set()
        for shape in self._shapes:
            if shape.material >= 0:
                self._document.element("materials", shape.material, shape.item)
                used.add(shape.material)
        unused = [item.text("name") for index, item in enumerate(items) if index not in used]
        if unused:
            count = f"{len(unused)} material{'s' if len(unused) > 1 else ''}"
            self._losses.add("unused-material", f"{count} that nothing shown uses{named(unused)}")
        order = sorted(used)
        return [self._material_reader.read(index) for index in order], {old: new for new, old in enumerate(order)}


def _same_matrix(first: NDArray[np.float64] | None, second: NDArray[np.float64] | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _reach(shape: Geometry) -> NDArray[np.float64]:
    """(3,) largest distance from the origin along each axis, over finite vertices."""
    positions = shape.attributes["POSITION"]
    if len(positions) == 0:
        return np.zeros(3)
    extremes = np.stack([positions.min(axis=0), positions.max(axis=0)]).astype(np.float64)
    if not np.isfinite(extremes).all():
        # Unused vertices may be anything; bound the others by what is finite.
        finite = np.where(np.isfinite(positions), positions, 0)
        extremes = np.stack([finite.min(axis=0), finite.max(axis=0)]).astype(np.float64)
    return np.abs(extremes).max(axis=0)


def _primitive(shape: Geometry, material_map: dict[int, int]) -> Primitive:
    attributes = shape.attributes
    assert shape.triangles is not None
    uv_sets = sum(name.startswith("TEXCOORD_") for name in attributes)
    return Primitive(
        positions=attributes["POSITION"],
        triangles=shape.triangles,
        normals=attributes.get("NORMAL"),
        uvs=tuple(attributes[f"TEXCOORD_{number}"] for number in range(uv_sets)),
        colours=attributes.get("COLOR_0"),
        material=material_map[shape.material] if shape.material >= 0 else -1,
    )
