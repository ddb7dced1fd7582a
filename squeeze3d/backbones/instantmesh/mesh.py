"""From planes to a mesh.

```text
mesh models: planes ─► signed distances of a lattice ─► surface cubes ─► deformation, weights ─► FlexiCubes ─► colours
NeRF models: planes ─► densities of a lattice ─► marching cubes ─► colours
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.backbones.instantmesh.decoder import WEIGHT_SCALE, FlexiDecoder, NerfDecoder, linear_layers
from squeeze3d.backbones.instantmesh.lattice import LatticeFeatures, lattice_places
from squeeze3d.backbones.threads import one_thread
from squeeze3d.backbones.triplane_sampling import lattice_values
from squeeze3d.errors import InputError
from squeeze3d.geometry.flexicubes import CubeWeights, dual_mesh, surface_cubes
from squeeze3d.geometry.isosurface import isosurface

MOST_CUBES = 1 << 19
"""Surface cubes of a mesh, out of two million; what is more is noise. Objects have at most a few hundred thousand."""
DENSITY_POINTS = 256
"""Lattice points along each axis of [-1, 1]^3 for NeRF models."""
DENSITY_LEVEL = 10.0
_BLOCK = 1 << 16
_EDGES, _CORNERS = 12, 8


@dataclass(frozen=True, slots=True, eq=False)
class ColouredMesh:
    """What a decoder makes, in its own frame: z up, the front towards +x."""

    positions: NDArray[np.float32]
    """(V, 3). Some may be in no triangle."""
    triangles: NDArray[np.int32]
    """(F, 3), looking outwards."""
    colours: NDArray[np.float32]
    """(V, 3) sRGB in 0..1."""


def decode_mesh(decoder: FlexiDecoder | NerfDecoder, planes: Tensor) -> ColouredMesh:
    """The mesh of planes (3, C, H, W), on the device of the decoder.

    A large mesh model takes about 2 s of one core and 0.25 GB, a NeRF model about half a minute.

    Raises InputError where planes are not finite or hold no surface, or next to nothing but surface.
    """
    if not torch.isfinite(planes).all():
        raise InputError("the planes hold numbers that are not finite")
    with one_thread():
        if isinstance(decoder, NerfDecoder):
            return _mesh_from_density(decoder, planes)
        sdf = lattice_sdf(decoder, planes)
        if not np.isfinite(sdf).all():
            raise InputError("the signed distances of these planes are not finite")
        if is_empty(sdf):
            raise InputError("the planes hold no surface: every point is on one side of it")
        return mesh_from_sdf(decoder, planes, sdf)


@torch.no_grad()
def lattice_sdf(decoder: FlexiDecoder, planes: Tensor) -> NDArray[np.float32]:
    """(n, n, n) signed distances of the lattice of planes (3, C, H, W), n = grid + 1, indexed [x, y, z]."""
    places = torch.from_numpy(lattice_places(decoder.config.grid, decoder.config.grid_scale)).to(planes)
    return lattice_values(planes, linear_layers(decoder.net_sdf), places).cpu().numpy()


def is_empty(sdf: NDArray[np.float32]) -> bool:
    """Whether the lattice points within, all but the outermost, have nothing inside or nothing outside.

    Points at exactly zero are neither.
    """
    within = sdf[1:-1, 1:-1, 1:-1]
    return not (within > 0).any() or not (within < 0).any()


def with_training_shell(sdf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed distances as the published code changes those of an empty shape, so that training has a surface.

    The two outermost layers become one side and a point next to the centre the other. What comes out is a shell, inside
    out, at the border of the lattice. Only good for comparisons with the published code.
    """
    changed = sdf.copy()
    low, high = sdf.min(), sdf.max()
    centre = (len(sdf) - 1) // 2 + 1
    changed[centre, centre, centre] = 1 - low
    border = np.ones(sdf.shape, dtype=np.bool_)
    border[2:-2, 2:-2, 2:-2] = False
    changed[border] = -1 - high
    return changed


@torch.no_grad()
def mesh_from_sdf(decoder: FlexiDecoder, planes: Tensor, sdf: NDArray[np.float32]) -> ColouredMesh:
    """The mesh of signed distances (n, n, n): deformation, weights and colours come from planes (3, C, H, W).

    Raises InputError for more than `MOST_CUBES` surface cubes, or vertices that are not finite.
    """
    surface = surface_cubes(sdf)
    if len(surface.cubes) > MOST_CUBES:
        raise InputError(
            f"the planes hold noise instead of a shape: {len(surface.cubes)} cubes of the lattice have surface"
        )
    places = lattice_places(decoder.config.grid, decoder.config.grid_scale)
    features = LatticeFeatures(planes, torch.from_numpy(places).to(planes))
    where = surface.places()
    deformation = decoder.deformation(features.at_points(decoder.net_deformation, _indices(where, planes)))
    raw = features.at_cubes(decoder.net_weight, _indices(surface.cube_places(), planes)) * WEIGHT_SCALE
    positions = places[where] + deformation.cpu().numpy()
    made = dual_mesh(surface, sdf.reshape(-1)[surface.points], positions, cube_weights(raw))
    if not np.isfinite(made.vertices).all():
        raise InputError("the mesh of these planes is not finite")
    return ColouredMesh(made.vertices, made.triangles, _colours(decoder, planes, made.vertices))


def cube_weights(raw: Tensor) -> CubeWeights:
    """Weights of cubes from what the network says (S, 21), already scaled: 12 of edges, 8 of corners, 1 of the cube."""
    edges, corners, cube = raw.split([_EDGES, _CORNERS, 1], dim=1)
    alpha = 1 + torch.tanh(corners) / 2
    beta = 1 + torch.tanh(edges) / 2
    gamma = 0.25 + torch.sigmoid(cube[:, 0]) / 2
    return CubeWeights(alpha.cpu().numpy(), beta.cpu().numpy(), gamma.cpu().numpy())


@torch.no_grad()
def _mesh_from_density(decoder: NerfDecoder, planes: Tensor) -> ColouredMesh:
    places = torch.linspace(-1, 1, DENSITY_POINTS, device=planes.device)
    raw = lattice_values(planes, linear_layers(decoder.net), places)
    samples = (DENSITY_LEVEL - decoder.density(raw)).cpu().numpy()
    if not np.isfinite(samples).all():
        raise InputError("the densities of these planes are not finite")
    found, triangles = isosurface(samples)
    if not len(triangles):
        raise InputError("the planes hold no surface: the density is low everywhere")
    positions = (found / np.float32(DENSITY_POINTS - 1) * 2 - 1).astype(np.float32)
    return ColouredMesh(positions, triangles, _colours(decoder, planes, positions))


@torch.no_grad()
def _colours(decoder: FlexiDecoder | NerfDecoder, planes: Tensor, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) in 0..1."""
    found = np.empty((len(points), 3), dtype=np.float32)
    for start in range(0, len(points), _BLOCK):
        part = torch.from_numpy(points[start : start + _BLOCK]).to(planes)
        found[start : start + _BLOCK] = decoder.rgb(planes[None], part[None])[0].clamp(0, 1).cpu().numpy()
    return found


def _indices(places: NDArray[np.int64], planes: Tensor) -> Tensor:
    return torch.from_numpy(places).to(planes.device)
