"""Signed distances on a lattice to a closed surface, and its colours: NumPy, and the network for the colours."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.backbones.shape.config import GRID
from squeeze3d.backbones.shape.lattice import chunk_for, signed_distance_grid
from squeeze3d.backbones.shape.network import ShapeNetwork, Weights
from squeeze3d.errors import InputError
from squeeze3d.geometry.isosurface import isosurface

TO_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Turns Shap-E's +z, which points up, into the +y of glTF. The transpose is its inverse."""


def shrink(size: int = GRID) -> float:
    """How much smaller published meshes are than the field they come from: 127 / 129 for a lattice of 128.

    The published code surrounds the lattice with a layer of samples, and takes the larger lattice for [-1, 1]^3.
    """
    return (size - 1) / (size + 1)


def zero_surface(field: NDArray[np.float32], *, shrunk: bool = False) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Closed surface around the samples (n, n, n) above zero: (V, 3) vertices and (F, 3) triangles, looking outwards.

    Beyond the lattice everything is outside, at a distance of 1. Vertices lie where the field is zero, and caps of
    what reaches the border less than a sample beyond it. `shrunk` gives the vertices of the published code, see
    `shrink`. A field with nothing above zero gives no triangles.
    """
    size = len(field)
    around = np.pad(-field, 1, constant_values=1.0)
    positions, triangles = isosurface(around)
    places = _crossings(around, positions)
    coordinates = places / (size + 1) * 2 - 1 if shrunk else (places - 1) / (size - 1) * 2 - 1
    return coordinates.astype(np.float32), triangles


def is_empty(field: NDArray[np.float32]) -> bool:
    """Whether no sample is inside: such a field has no surface."""
    return not bool((field > 0).any())


def _crossings(samples: NDArray[np.float32], positions: NDArray[np.float32]) -> NDArray[np.float64]:
    """(V, 3) index coordinates of vertices where values along their edges cross zero.

    Marching cubes keeps vertices clear of samples. Here they go where linear interpolation puts them: colours vary
    within thousandths of the cube.
    """
    low = np.floor(positions).astype(np.int64)
    rows, axes = np.arange(len(low)), np.argmax(positions - low, axis=1)
    high = low.copy()
    high[rows, axes] += 1
    first, second = (samples[tuple(index.T)].astype(np.float64) for index in (low, high))
    places = low.astype(np.float64)
    places[rows, axes] += first / (first - second)
    return places


@torch.no_grad()
def texture_at(
    network: ShapeNetwork, weights: Weights, points: NDArray[np.float32], *, chunk: int | None = None
) -> NDArray[np.float32]:
    """(N, 3) sRGB colours, 0 to 1, at (N, 3) points of one shape."""
    places = torch.from_numpy(points).to(weights[0].device)
    parts = [network.fields(part[None], weights).texture[0] for part in places.split(chunk or chunk_for(places.device))]
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found


def decode_mesh(
    network: ShapeNetwork, weights: Weights, *, size: int = GRID, stride: int = 1, shrunk: bool = False
) -> Mesh:
    """Mesh with vertex colours of one shape, in Shap-E's frame: z up, within [-1, 1]^3 but for caps.

    Parameters
    ----------
    size : samples along each axis of the lattice.
    stride : see `signed_distance_grid`.
    shrunk : see `zero_surface`. The published code also looks colours up where the shrunken vertices are, a little
        below the surface; so does this.

    Raises InputError for an empty shape, or numbers that are not finite.
    """
    field = signed_distance_grid(network, weights, size=size, stride=stride)
    if is_empty(field):
        raise InputError("the generator made an empty shape: nothing is inside")
    positions, triangles = zero_surface(field, shrunk=shrunk)
    texture = texture_at(network, weights, positions)
    if not np.isfinite(texture).all():
        raise InputError("the generator made colours that are not finite")
    primitive = Primitive(positions, triangles, colours=linear_colours(texture), material=0)
    return Mesh((primitive,), (Material(metallic=0.0),))
