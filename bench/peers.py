"""What a careful user can build from public tools, as a measure for our own codecs.

```text
mesh ─► decimate ─► visible colours at the vertices ─► Draco, all bit depths ─► the stream that looks best in the bytes
```
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.pose import Pose
from squeeze3d.errors import MissingExtraError
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.sampling import face_normals
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import Surface

BITS = (6, 7, 8, 9, 10)
"""Position bits that are tried."""
CREASES = (0.0, 40.0, 180.0)
"""Draco streams of this size hold no normals: viewers make them. Each of these angles is tried, the best counts."""
_REACH = 0.05
_MOST_FACES = 20_000


@dataclass(frozen=True)
class Stream:
    """A compressed asset, and what a viewer makes of it."""

    data: bytes
    mesh: Mesh


def draco_streams(surface: Surface, budget: int) -> Iterator[Stream]:
    """Draco streams with vertex colours of at most `budget` bytes: the largest of each bit depth.

    Compression level 10, colours of 8 bits a channel, as Draco stores them. No container is counted.
    """
    try:
        import DracoPy
    except ImportError:
        raise MissingExtraError("DracoPy is not installed", hint="pip install 'squeeze3d[draco]'") from None

    pose = Pose.from_bounds(surface.bounds)
    whole = TriangleMesh(pose.to_canonical(surface.positions), surface.triangles)
    simplifier = Simplifier(whole)

    def coded(faces: int, bits: int) -> tuple[bytes, TriangleMesh]:
        mesh = simplifier.reduce(faces)
        colours = _colours(surface, simplifier, mesh)
        data = DracoPy.encode(
            mesh.positions.astype(np.float32),
            mesh.triangles.astype(np.uint32),
            colors=colours,
            quantization_bits=bits,
            compression_level=10,
        )
        return data, mesh

    for bits in BITS:
        low, high, best = 4, _MOST_FACES, None
        while high - low > max(1, low // 50):
            middle = round((low * high) ** 0.5)
            data, mesh = coded(middle, bits)
            if len(data) <= budget and len(mesh.triangles):
                low, best = max(middle, low + 1), data
            else:
                high = middle
        if best is None:
            continue
        decoded = DracoPy.decode(best)
        points, triangles = np.asarray(decoded.points, dtype=np.float64), np.asarray(decoded.faces, dtype=np.int64)
        for angle in CREASES:
            yield Stream(best, _mesh(pose.to_original(points), triangles, np.asarray(decoded.colors), angle))


def _colours(surface: Surface, simplifier: Simplifier, mesh: TriangleMesh) -> NDArray[np.uint8]:
    """(V, 3) visible colours of the original at the vertices."""
    normals = np.zeros_like(mesh.positions)
    faces = face_normals(mesh.positions, mesh.triangles)
    for corner in range(3):
        np.add.at(normals, mesh.triangles[:, corner], faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    hits = simplifier.query.outer_layer(mesh.positions, normals, _REACH)
    # A vertex stands for its surroundings: fine texture is averaged over about an edge.
    side = float(np.sqrt(surface.areas.sum() / max(1, len(mesh.triangles))))
    rgb = surface.colours_at(hits.faces, hits.weights, np.full(len(mesh.positions), side))[:, :3]
    return np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)


def _mesh(positions: NDArray[np.float32], triangles: NDArray[np.int64], rgb: NDArray[np.uint8], angle: float) -> Mesh:
    creased = crease_normals(positions, triangles, angle)
    corners = triangles.reshape(-1)
    colours = np.ones((len(corners), 4), dtype=np.float32)
    colours[:, :3] = srgb_to_linear(rgb[corners, :3] / np.float32(255))
    primitive = Primitive(
        positions[corners],
        np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
        normals=creased.normals[creased.groups.reshape(-1)].astype(np.float32),
        colours=colours,
        material=0,
    )
    return Mesh((primitive,), (Material(metallic=0.0, double_sided=True),))
