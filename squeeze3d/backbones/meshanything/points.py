"""What MeshAnything's encoder sees of a mesh: 4,096 places on its surface with face normals.

```text
mesh in the pair's frame ─► turn ─► triangles with area ─► points, face normals ─► normalise ─► half precision
```

Nothing is asked of a mesh but some triangle with an area: it may be open, non-manifold, without normals, or hold
triangles that are none. The same mesh gives the same points, on any machine and any number of threads. Published code
draws points with a global random generator instead.

Normals are those of faces, after their winding. A mesh that is inside out looks inside out to the network.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.flatten import world_parts
from squeeze3d.assets.mesh import Mesh
from squeeze3d.backbones.meshanything.config import POINTS
from squeeze3d.errors import InputError
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.surface import Surface

MARGIN = 0.9995
"""Largest coordinate of upstream's normalised points."""
LARGEST = 60_000.0
"""Largest coordinate that is rounded to half precision, whose range ends at 65,504."""
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns +y into +z: for generators whose meshes stand along z. The transpose is its inverse."""


class Normalisation(Enum):
    """What happens to coordinates between sampling and the network. The variants give different features."""

    UPSTREAM = "upstream"
    """MeshAnything's own: the box of the sampled points is centred, the largest coordinate becomes 0.9995. Position and
    size of the mesh are lost. What the network was trained with."""
    FRAME = "frame"
    """None: coordinates stay those of the pair's frame. What Squeeze3D's published mapping networks were trained with,
    where the frame is the one that the generator makes its meshes in."""


def prepare_points(
    mesh: Mesh | Surface,
    normalisation: Normalisation,
    *,
    count: int = POINTS,
    turn: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """(count, 6) places and unit normals for the network, of a mesh in the pair's frame.

    Places and normals are rounded to half precision, as upstream and Squeeze3D's research code feed them.

    Parameters
    ----------
    turn : (3, 3) rotation that is applied first, such as `TO_Z_UP`; None leaves the mesh as it is.

    Raises InputError for a mesh without area, or with coordinates that half precision does not reach.
    """
    points = sample_surface(mesh, count, turn=turn, seed=seed)
    if normalisation is Normalisation.UPSTREAM:
        return normalised(points).astype(np.float32)
    largest = float(np.abs(points[:, :3]).max())
    if largest > LARGEST:
        raise InputError(f"the mesh has coordinates up to {largest:g}; the encoder sees none above {LARGEST:g}")
    return points.astype(np.float16).astype(np.float32)


def sample_surface(
    mesh: Mesh | Surface, count: int = POINTS, *, turn: NDArray[np.float64] | None = None, seed: int = 0
) -> NDArray[np.float32]:
    """(count, 6) places, evenly spread by area, and unit normals of their faces. Parameters as `prepare_points`.

    Raises InputError for a mesh without area.
    """
    positions, triangles = _triangles(mesh)
    triangles = triangles[np.isfinite(positions).all(axis=1)[triangles].all(axis=1)]
    areas = face_areas(positions, triangles)
    # Without area there is no direction, so such triangles must not be drawn, not even by a rounding of sums.
    there = areas > 0
    if not there.any():
        raise InputError("the mesh has no surface: none of its triangles has an area")
    triangles, areas = triangles[there], areas[there]
    faces, weights = sample_triangles(areas, count, seed=seed)
    places = np.einsum("nkc,nk->nc", positions[triangles[faces]].astype(np.float64), weights)
    normals = face_normals(positions, triangles[faces])
    if turn is not None:
        places, normals = places @ turn.T, normals @ turn.T
    return np.concatenate([places, normals], axis=1).astype(np.float32)


def normalised(points: NDArray[np.floating]) -> NDArray[np.float16]:
    """(N, 6) places and normals with upstream's normalisation; see `Normalisation.UPSTREAM`. Normals stay.

    Upstream rounds to half precision before as well, which only adds noise; do so first to compare.

    Raises InputError if all places are the same.
    """
    places = points[:, :3].astype(np.float64)
    centred = places - (places.min(axis=0) + places.max(axis=0)) / 2
    largest = float(np.abs(centred).max())
    if not largest > 0:
        raise InputError("the mesh has no extent: all of its points are at one place")
    return np.concatenate([centred / largest * MARGIN, points[:, 3:]], axis=1).astype(np.float16)


def _triangles(mesh: Mesh | Surface) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """(V, 3) world-space positions and (F, 3) triangles; textures are not looked at."""
    if isinstance(mesh, Surface):
        return mesh.positions, mesh.triangles
    parts = world_parts(mesh)
    if not parts:
        raise InputError("the mesh has no surface: it has no triangles")
    sizes = [len(part.primitive.positions) for part in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    triangles = [part.primitive.triangles + start for part, start in zip(parts, starts, strict=True)]
    return np.concatenate([part.primitive.positions for part in parts]), np.concatenate(triangles)
