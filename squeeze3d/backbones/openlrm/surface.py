"""The surface that planes describe, as a coloured mesh.

```text
planes ─► density on a lattice ─► marching cubes at a threshold ─► colours looked up at the vertices ─► Mesh
```
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.backbones.openlrm.config import GRID, THRESHOLD
from squeeze3d.backbones.openlrm.decoder import PlaneDecoder
from squeeze3d.errors import InputError
from squeeze3d.geometry.isosurface import isosurface

_CHUNK = 1 << 16
"""Points that are coloured at once."""


class Surface(NamedTuple):
    """A closed surface with colours, in the frame of the planes."""

    positions: NDArray[np.float32]
    """(V, 3) in [-1, 1]."""
    triangles: NDArray[np.int32]
    """(F, 3), looking outwards."""
    colours: NDArray[np.float32]
    """(V, 3) sRGB in [0, 1]."""


def extract(density: NDArray[np.float32], threshold: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Positions (V, 3) in [-1, 1] and triangles (F, 3) of the surface around larger densities (n, n, n).

    Where those reach the border of the lattice, the surface is closed there; the published tool leaves a hole. Raises
    InputError if no density, or none but those that are not finite, lies above the threshold.
    """
    if not np.isfinite(density).all():
        raise InputError("the generator made densities that are not finite")
    if not density.max() > threshold:
        raise InputError("the generator made an empty shape: no density reaches the threshold of its surface")
    around = np.pad(-density, 1, constant_values=0.0)
    positions, triangles = isosurface(around, -threshold)
    scale = np.float32(2 / (len(density) - 1))
    # Caps end up beyond the border by less than one sample.
    return np.clip((positions - 1) * scale - 1, -1, 1), triangles


@torch.no_grad()
def colours_at(decoder: PlaneDecoder, planes: Tensor, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) sRGB colours in [0, 1] that planes (3, C, H, W) show at points."""
    folded = decoder.folded(planes[None])
    places = torch.from_numpy(points).to(planes.device)
    parts = [decoder.read(folded, part[None])[1][0] for part in places.split(_CHUNK)]
    shown: NDArray[np.float32] = torch.cat(parts).clamp(0, 1).cpu().numpy()
    return shown


def planes_to_surface(
    decoder: PlaneDecoder, planes: Tensor, *, grid: int = GRID, threshold: float = THRESHOLD
) -> Surface:
    """Surface of planes (3, C, H, W).

    Parameters
    ----------
    grid : samples along an axis. At 384, as published, about 1 GB of memory.
    threshold : density of the surface.

    Raises InputError for an empty shape, and for planes that lead to numbers that are not finite.
    """
    if not torch.isfinite(planes).all():
        raise InputError("the planes hold numbers that are not finite")
    positions, triangles = extract(decoder.density_grid(planes, grid).numpy(), threshold)
    colours = colours_at(decoder, planes, positions)
    if not np.isfinite(colours).all():
        raise InputError("the generator made colours that are not finite")
    return Surface(positions, triangles, colours)


def planes_to_mesh(decoder: PlaneDecoder, planes: Tensor, *, grid: int = GRID, threshold: float = THRESHOLD) -> Mesh:
    """Mesh with vertex colours of planes (3, C, H, W), in their frame: z up, the picture's side towards -y.

    Parameters and errors as of `planes_to_surface`.
    """
    surface = planes_to_surface(decoder, planes, grid=grid, threshold=threshold)
    primitive = Primitive(surface.positions, surface.triangles, colours=linear_colours(surface.colours), material=0)
    return Mesh((primitive,), (Material(metallic=0.0),))
