"""How far a generated field is from an original mesh, for refinement: no surface is extracted.

```text
             outside: positive
n ▲   ● ─────────────── p + step n      wanted: + step
  │   ● ═══ surface ═══ p               wanted: 0
      ● ─────────────── p - step n      wanted: - step
             inside: negative                         seen from a camera, nothing in between: positive
```

A field's numbers need not be distances: they are divided by their mean slope along the normals. The slope is part of
what is differentiated, since otherwise a field that shrinks as a whole would seem to come closer. Errors count by a
Huber function, which bears the surfaces whose inside cannot be told: thin sheets, open meshes, inverted triangles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import Mesh
from squeeze3d.errors import InputError
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_normals, sample_triangles
from squeeze3d.geometry.surface import flatten

if TYPE_CHECKING:
    import torch

    Values = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    """Numbers (N,) and sRGB colours (N, 3) at places (N, 3)."""

STEP = 0.02
"""From the surface to the places in front and behind: less than a cell of the planes, 1/32."""
KNEE = 0.02
"""Error from which it counts linearly."""
COLOUR_WEIGHT = 0.002
"""Of squared errors of colours. The surface counts KNEE^2 / 2 for an error of KNEE."""
FREE_WEIGHT = 1.0
"""Of places that are empty, relative to those near the surface."""
LEAST_SLOPE = 1e-4
REACH = 4.0
"""Radius of the sphere of viewpoints, seen from which places are free."""


@dataclass(frozen=True, eq=False)
class SurfaceTarget:
    """What is looked at of an original, in the generator's frame."""

    places: NDArray[np.float32]
    """(N, 3), evenly spread on the surface."""
    normals: NDArray[np.float32]
    """(N, 3) of the triangles."""
    colours: NDArray[np.float32] | None
    """(N, 3) sRGB in 0..1; None where the original has none."""
    free: NDArray[np.float32]
    """(M, 3) places outside, which some viewpoint sees."""

    @classmethod
    def of(cls, mesh: Mesh, turn: NDArray[np.float64], count: int, *, seed: int = 0) -> SurfaceTarget:
        """Look at a mesh in the pair's frame: `count` places on it and at most half as many free ones.

        `turn` leads to the generator's frame. The same mesh gives the same places. Raises InputError for a mesh without
        area.
        """
        surface = flatten(mesh)
        if not surface.areas.sum() > 0:
            raise InputError("the mesh has no surface: none of its triangles has an area")
        faces, weights = sample_triangles(surface.areas, count, seed=seed)
        places = np.einsum("nkc,nk->nc", surface.positions[surface.triangles[faces]], weights)
        colours = surface.colours_at(faces, weights)[:, :3].astype(np.float32) if surface.has_colour else None
        normals = face_normals(surface.positions, surface.triangles[faces])
        query = SurfaceQuery(surface.positions, surface.triangles)
        free = _free(query, surface.bounds, count // 2, seed)
        turned = [(each @ turn.T).astype(np.float32) for each in (places, normals, free)]
        return cls(turned[0], turned[1], colours, turned[2])


def _free(query: SurfaceQuery, bounds: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """(M, 3) places in the box around a mesh, a little enlarged, that nothing hides from one viewpoint of each."""
    random = np.random.Generator(np.random.PCG64(seed + 1))
    margin = 0.05 * float((bounds[1] - bounds[0]).max())
    low, high = bounds[0] - margin, bounds[1] + margin
    places = low + (high - low) * random.random((count, 3))
    eyes = random.normal(size=(count, 3))
    eyes *= REACH / np.maximum(np.linalg.norm(eyes, axis=1, keepdims=True), 1e-9)
    _, lengths = query.cast(np.concatenate([eyes, places - eyes], axis=1))
    # A length of 1 is the place itself; a little further must be free as well, or the surface is next to it.
    distance = np.linalg.norm(places - eyes, axis=1)
    seen: NDArray[np.float64] = places[lengths > 1 + 2 * STEP / np.maximum(distance, 1e-9)]
    return seen


def surface_distance(values: Values, target: SurfaceTarget, device: torch.device) -> torch.Tensor:
    """Scalar, 0 for a field that is the signed distance near the surface, outside everywhere else, and has the colours.

    Differentiable in whatever `values` is, which gets its places on `device`.
    """
    import torch
    from torch.nn import functional

    places, normals, free = (torch.from_numpy(x).to(device) for x in (target.places, target.normals, target.free))
    asked = torch.cat([places, places + STEP * normals, places - STEP * normals, free])
    found, colours = values(asked)
    on, front, behind, outside = found.split([len(places)] * 3 + [len(free)])
    slope = ((front - behind) / (2 * STEP)).mean().clamp(min=LEAST_SLOPE)

    def error(part: torch.Tensor, wanted: float) -> torch.Tensor:
        return functional.huber_loss(part / slope, torch.full_like(part, wanted), delta=KNEE)

    total = (error(on, 0.0) + error(front, STEP) + error(behind, -STEP)) / 3
    if len(free):
        total = total + FREE_WEIGHT * error(outside.clamp(max=0.0), 0.0)
    if target.colours is not None:
        wanted = torch.from_numpy(target.colours).to(device)
        total = total + COLOUR_WEIGHT * functional.mse_loss(colours[: len(places)], wanted)
    return total
