"""The node tree of a glTF file: which nodes a scene shows, in which order, and where they sit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_accessors import Accessors
from squeeze3d.assets.gltf_container import Document
from squeeze3d.assets.gltf_json import Item


@dataclass(frozen=True, slots=True)
class SceneNode:
    """A node that the scene reaches."""

    index: int
    """Its index in the file."""
    item: Item
    parent: int
    """Index of its parent in the list of scene nodes; -1 for a root."""
    matrix: NDArray[np.float64] | None
    """Node-to-parent transform; None is the identity."""


def choose_scene(document: Document) -> int | None:
    """Index of the scene to read: the default one, else the first; None if the file has no scenes."""
    if not document.array("scenes"):
        return None
    index = document.root.integer("scene", 0)
    document.element("scenes", index, document.root)
    return index


def scene_nodes(document: Document, scene: int | None) -> list[SceneNode]:
    """Nodes the scene reaches, parents before children, siblings in file order.

    Raises FormatError if the nodes do not form a tree.
    """
    items = document.array("nodes")
    children = [item.indices("children") for item in items]
    parents = node_parents(document, children)
    if scene is None:
        roots = [index for index, parent in enumerate(parents) if parent < 0]
    else:
        chosen = document.array("scenes")[scene]
        roots = chosen.indices("nodes")
        for index in roots:
            document.element("nodes", index, chosen)
    found: list[SceneNode] = []
    seen: set[int] = set()
    pending = [(index, -1) for index in reversed(roots)]
    while pending:
        index, parent = pending.pop()
        if index in seen:
            raise items[index].error("the scene reaches it twice")
        seen.add(index)
        found.append(SceneNode(index, items[index], parent, node_matrix(items[index])))
        position = len(found) - 1
        pending.extend((child, position) for child in reversed(children[index]))
    return found


def node_parents(document: Document, children: list[list[int]]) -> list[int]:
    """Parent of every node in the file (-1 for roots); refuses second parents and cycles."""
    items = document.array("nodes")
    parents = [-1] * len(items)
    for index, below in enumerate(children):
        for child in below:
            document.element("nodes", child, items[index])
            if parents[child] >= 0:
                raise items[child].error(f"it is a child of node {parents[child]} and of node {index}")
            parents[child] = index
    # With at most one parent each, the nodes that no root reaches are exactly those on or below a cycle.
    reached = 0
    pending = [index for index, parent in enumerate(parents) if parent < 0]
    on_tree = [False] * len(items)
    while pending:
        index = pending.pop()
        on_tree[index] = True
        reached += 1
        pending.extend(children[index])
    if reached < len(items):
        raise items[on_tree.index(False)].error("it is its own ancestor")
    return parents


def node_matrix(item: Item) -> NDArray[np.float64] | None:
    """Local transform from `matrix`, or from translation, rotation and scale; None for the identity."""
    if "matrix" in item:
        matrix = np.array(item.numbers("matrix", 16), dtype=np.float64).reshape(4, 4).T.copy()
    elif not ("translation" in item or "rotation" in item or "scale" in item):
        return None
    else:
        translation = np.array(item.numbers("translation", 3, (0.0, 0.0, 0.0)))
        rotation = np.array(item.numbers("rotation", 4, (0.0, 0.0, 0.0, 1.0)))
        scale = np.array(item.numbers("scale", 3, (1.0, 1.0, 1.0)))
        matrix = compose(translation[None], rotation[None], scale[None])[0]
    return None if np.array_equal(matrix, np.eye(4)) else matrix


def compose(
    translation: NDArray[np.float64], rotation: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Stack of (N, 4, 4) matrices translation · rotation · scale; quaternions (x, y, z, w) are normalised."""
    with np.errstate(all="ignore"):
        largest = np.abs(rotation).max(axis=1, keepdims=True)
        unit = rotation / np.where(largest > 0, largest, 1)
        length = np.linalg.norm(unit, axis=1, keepdims=True)
        # An all-zero quaternion rotates nothing.
        unit = np.where(length > 0, unit / np.where(length > 0, length, 1), [0.0, 0.0, 0.0, 1.0])
        x, y, z, w = unit.T
        matrices = np.zeros((len(unit), 4, 4))
        matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = (
            1 - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
        )
        matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = (
            2 * (x * y + z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z - x * w),
        )
        matrices[:, 2, 0], matrices[:, 2, 1], matrices[:, 2, 2] = (
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            1 - 2 * (x * x + y * y),
        )
        matrices[:, :3, :3] *= scale[:, None, :]
    matrices[:, :3, 3] = translation
    matrices[:, 3, 3] = 1
    return matrices


def instance_matrices(node: Item, accessors: Accessors) -> NDArray[np.float64] | None:
    """(N, 4, 4) transforms of EXT_mesh_gpu_instancing relative to the node, or None without it."""
    extension = node.extension("EXT_mesh_gpu_instancing")
    attributes = None if extension is None else extension.child("attributes")
    if attributes is None:
        return None
    parts: dict[str, NDArray[np.float64]] = {}
    for key, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3)):
        if key in attributes:
            values = accessors.floats(attributes.integer(key), attributes, key, (width,))
            parts[key] = values.astype(np.float64)
    counts = {len(values) for values in parts.values()}
    if len(counts) > 1:
        raise attributes.error("the instance attributes differ in length")
    if not counts:
        return None
    count = counts.pop()
    accessors.buffers.budget.spend(count * 2048, node)  # a Node with its matrix, generously
    if not all(np.isfinite(values).all() for values in parts.values()):
        raise attributes.error("instance transforms are NaN or infinite")
    return compose(
        parts.get("TRANSLATION", np.zeros((count, 3))),
        parts.get("ROTATION", np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))),
        parts.get("SCALE", np.ones((count, 3))),
    )


def world_matrices(document: Document) -> NDArray[np.float64]:
    """(N, 4, 4) local-to-world transforms of all nodes of the file, for joints anywhere in it."""
    items = document.array("nodes")
    children = [item.indices("children") for item in items]
    parents = node_parents(document, children)
    worlds = np.tile(np.eye(4), (len(items), 1, 1))
    pending = [index for index, parent in enumerate(parents) if parent < 0]
    with np.errstate(all="ignore"):
        while pending:
            index = pending.pop()
            matrix = node_matrix(items[index])
            above = worlds[parents[index]] if parents[index] >= 0 else np.eye(4)
            worlds[index] = above if matrix is None else above @ matrix
            pending.extend(children[index])
    return worlds
