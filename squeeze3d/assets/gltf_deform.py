"""Shape a mesh as a viewer shows it at rest: default morph weights, skins in the pose of the node tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.gltf_accessors import Accessors
from squeeze3d.assets.gltf_json import Item
from squeeze3d.assets.gltf_primitives import FloatArrays, Geometry, Influences, check_positions

_CHUNK = 1 << 15
"""Vertices that are skinned at once: keeps the blended matrices within a few megabytes."""


def morph(geometry: Geometry, weights: tuple[float, ...]) -> Geometry:
    """Add the weighted displacements of the morph targets: value + sum of weight · displacement."""
    attributes: FloatArrays = dict(geometry.attributes)
    with np.errstate(all="ignore"):
        for name, base in attributes.items():
            moved = base.astype(np.float64)
            for weight, target in zip(weights, geometry.targets, strict=False):
                if weight and name in target:
                    displacement = target[name]
                    moved[:, : displacement.shape[1]] += weight * displacement
            if name == "NORMAL":
                moved = unit_vectors(moved, base)
            elif name == "COLOR_0":
                moved = np.clip(moved, 0, 1)
            attributes[name] = moved.astype(np.float32)
    check_positions(attributes["POSITION"], geometry.triangles, geometry.item)
    return replace(geometry, attributes=attributes)


def joint_matrices(skin: Item, worlds: NDArray[np.float64], accessors: Accessors, nodes: int) -> NDArray[np.float64]:
    """(J, 4, 4) world(joint) · inverseBind of every joint of a skin."""
    joints = skin.indices("joints")
    if not joints:
        raise skin.error("it has no joints")
    if max(joints) >= nodes:
        raise skin.error(f"joint {max(joints)} is not one of {nodes} nodes")
    accessors.buffers.budget.spend(len(joints) * 256, skin)
    matrices = worlds[joints]
    if "inverseBindMatrices" in skin:
        flat = accessors.floats(skin.integer("inverseBindMatrices"), skin, "`inverseBindMatrices`", (16,))
        if len(flat) < len(joints):
            raise skin.error(f"{len(flat)} inverse bind matrices for {len(joints)} joints")
        inverse_bind = flat[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        with np.errstate(all="ignore"):
            matrices = matrices @ inverse_bind
    if not np.isfinite(matrices).all():
        raise skin.error("joint matrices are NaN or infinite")
    return matrices


def shared_matrix(influences: Influences, matrices: NDArray[np.float64], item: Item) -> NDArray[np.float64] | None:
    """The one matrix that moves all vertices, or None if the joints move them differently.

    A character exported in its bind pose has equal joint matrices up to rounding. Its vertices then stay
    exactly as the file holds them, under a plain node transform.
    """
    # Unused slots may hold any number; joints with a weight must exist.
    numbers = np.unique(influences.joints[influences.weights > 0])
    if numbers[-1] >= len(matrices):
        raise item.error(f"a vertex follows joint {numbers[-1]} of a skin with {len(matrices)} joints")
    used = matrices[numbers]
    spread = np.abs(used - used[0]).max()
    return used[0] if spread <= 1e-6 * max(1.0, float(np.abs(used[0]).max())) else None


def skin_geometry(geometry: Geometry, influences: Influences, matrices: NDArray[np.float64]) -> Geometry:
    """Linear blend skinning: vertices move by the weighted mean of their joints' matrices."""
    attributes: FloatArrays = dict(geometry.attributes)
    positions = attributes["POSITION"].astype(np.float64)
    normals = attributes["NORMAL"].astype(np.float64) if "NORMAL" in attributes else None
    joints = np.minimum(influences.joints, len(matrices) - 1)
    with np.errstate(all="ignore"):
        for start in range(0, len(positions), _CHUNK):
            part = slice(start, start + _CHUNK)
            blended = np.zeros((len(positions[part]), 3, 4))
            for slot in range(joints.shape[1]):
                blended += influences.weights[part, slot, None, None] * matrices[joints[part, slot], :3]
            linear = blended[:, :, :3]
            positions[part] = np.einsum("vij,vj->vi", linear, positions[part]) + blended[:, :, 3]
            if normals is not None:
                turned = np.einsum("vij,vj->vi", normal_matrices(linear), normals[part])
                normals[part] = unit_vectors(turned, attributes["NORMAL"][part])
        attributes["POSITION"] = positions.astype(np.float32)
    if normals is not None:
        attributes["NORMAL"] = normals.astype(np.float32)
    check_positions(attributes["POSITION"], geometry.triangles, geometry.item)
    return replace(geometry, attributes=attributes)


def normal_matrices(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices that turn normals, for a stack of (N, 3, 3) linear maps.

    They are the cofactor matrices: the inverse transpose up to length, and defined for singular maps too.
    """
    first, second, third = linear[:, :, 0], linear[:, :, 1], linear[:, :, 2]
    cofactors = np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)], axis=2)
    determinant = np.einsum("ni,ni->n", first, cofactors[:, :, 0])
    return cofactors * np.where(determinant < 0, -1.0, 1.0)[:, None, None]


def unit_vectors(vectors: NDArray[np.float64], fallback: NDArray[np.float32]) -> NDArray[np.float64]:
    """Vectors of length one; where the direction is lost, the fallback."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(length) & (length > 0)
    return np.where(usable, vectors / np.where(usable, length, 1), fallback)
