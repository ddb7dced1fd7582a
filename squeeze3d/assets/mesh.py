"""`Mesh`: a scene of textured triangle primitives, modelled after glTF 2.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import Texture

AlphaMode = Literal["OPAQUE", "MASK", "BLEND"]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """glTF metallic-roughness material. Factors are linear; colour textures are sRGB."""

    name: str = ""
    base_colour: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Linear RGBA factor; multiplies texture and vertex colour."""
    base_colour_texture: Texture | None = None
    metallic: float = 1.0
    roughness: float = 1.0
    metallic_roughness_texture: Texture | None = None
    normal_texture: Texture | None = None
    occlusion_texture: Texture | None = None
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emissive_texture: Texture | None = None
    alpha_mode: AlphaMode = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    unlit: bool = False
    """KHR_materials_unlit."""


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """Triangles that share one material."""

    positions: NDArray[np.float32]
    """(V, 3), in the units of the file, node-local."""
    triangles: NDArray[np.int32]
    """(F, 3) indices into `positions`, counter-clockwise seen from the front."""
    normals: NDArray[np.float32] | None = None
    """(V, 3) unit vectors."""
    uvs: tuple[NDArray[np.float32], ...] = ()
    """UV sets, each (V, 2), glTF convention (v downwards)."""
    colours: NDArray[np.float32] | None = None
    """(V, 4) **linear** RGBA in [0, 1], as glTF's COLOR_0."""
    material: int = -1
    """Index into `Mesh.materials`; -1 is glTF's default material (white, metallic 1, roughness 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of the scene tree."""

    name: str = ""
    matrix: NDArray[np.float64] | None = None
    """(4, 4) node-to-parent transform for column vectors; None is the identity."""
    parent: int = -1
    """Index of the parent node, always smaller than the node's own index; -1 for a root."""
    primitives: tuple[int, ...] = ()
    """Indices into `Mesh.primitives`. Several nodes may show the same primitive."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A scene of primitives.

    `nodes` empty means: every primitive once, untransformed.
    """

    primitives: tuple[Primitive, ...]
    materials: tuple[Material, ...] = ()
    nodes: tuple[Node, ...] = ()

    def instances(self) -> Iterator[tuple[Primitive, NDArray[np.float64]]]:
        """Yield each shown primitive with its (4, 4) local-to-world matrix, in node order."""
        identity = np.eye(4)
        if not self.nodes:
            for primitive in self.primitives:
                yield primitive, identity
            return
        world: list[NDArray[np.float64]] = []
        for node in self.nodes:
            above = world[node.parent] if node.parent >= 0 else identity
            world.append(above if node.matrix is None else above @ node.matrix)
            for index in node.primitives:
                yield self.primitives[index], world[-1]

    def material_of(self, primitive: Primitive) -> Material:
        """The primitive's material, or glTF's default material."""
        return self.materials[primitive.material] if primitive.material >= 0 else Material()

    @property
    def face_count(self) -> int:
        """Triangles shown, instances counted each time."""
        return sum(len(primitive.triangles) for primitive, _ in self.instances())

    @property
    def vertex_count(self) -> int:
        """Vertices shown, instances counted each time."""
        return sum(len(primitive.positions) for primitive, _ in self.instances())

    def bounds(self) -> NDArray[np.float64]:
        """(2, 3) world-space minimum and maximum over vertices that triangles use.

        Raises ValueError for a mesh without triangles.
        """
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for primitive, matrix in self.instances():
            if len(primitive.triangles) == 0:
                continue
            used = primitive.positions[np.unique(primitive.triangles)].astype(np.float64)
            moved = used @ matrix[:3, :3].T + matrix[:3, 3]
            low, high = np.minimum(low, moved.min(axis=0)), np.maximum(high, moved.max(axis=0))
        if not np.isfinite(low).all():
            raise ValueError("a mesh without triangles has no bounds")
        return np.stack([low, high])
