"""The decoder as pairs use it: from any of the published files, on one device, from latents to meshes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.assets.mesh import Mesh
from squeeze3d.backbones.published import Shape, fill, shapes_of
from squeeze3d.backbones.shape.config import GENERATED, GRID, PUBLISHED, ShapeConfig
from squeeze3d.backbones.shape.lattice import STRIDE
from squeeze3d.backbones.shape.network import Fields, ShapeNetwork
from squeeze3d.backbones.shape.surface import decode_mesh
from squeeze3d.errors import InputError
from squeeze3d.mapping.checkpoint import read_shapes

CONSTANTS: Mapping[str, Shape] = {
    "void.background": (3,),
    "mesh_decoder.cases": (256, 5, 3),
    "mesh_decoder.masks": (256, 5),
}
"""What the port keeps beside the networks: a background colour, and tables of marching cubes."""


@dataclass(frozen=True)
class Layout:
    """How a published file names its keys."""

    projections: str
    """Prefix of the projections."""
    layers: str
    """Prefix of the implicit network."""
    owned: tuple[str, ...]
    """Prefixes below which every key is expected."""
    constants: Mapping[str, Shape]

    def name(self, key: str) -> str:
        """Name in the file of a key of `ShapeNetwork`."""
        for ours, theirs in (("params_proj.", self.projections), ("mlp.mlp.", self.layers)):
            if key.startswith(ours):
                return theirs + key.removeprefix(ours)
        raise ValueError(key)


LAYOUTS = {
    "diffusers": Layout("params_proj.", "mlp.mlp.", ("",), CONSTANTS),
    "vector_decoder": Layout("params_proj.", "renderer.nerstf.mlp.", ("params_proj.", "renderer.nerstf."), {}),
    "transmitter": Layout(
        "encoder.params_proj.", "renderer.nerstf.mlp.", ("encoder.params_proj.", "renderer.nerstf."), {}
    ),
}
"""The port's `shap_e_renderer`, and the files of the original, which are pickles and have to be converted."""


def unused_shapes(layout: Layout, config: ShapeConfig = PUBLISHED) -> dict[str, Shape]:
    """Keys of a file that are not read: constants, and weights that those of the latent replace."""
    replaced = {f"{layout.layers}{layer}.weight": config.layer_shape(layer) for layer in range(GENERATED)}
    return {**replaced, **layout.constants}


def load_network(
    path: str | Path, device: str | torch.device = "cpu", *, config: ShapeConfig = PUBLISHED
) -> ShapeNetwork:
    """The decoder out of a safetensors file in one of the `LAYOUTS`: float32, frozen. 16-bit weights are widened.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file, or the decoder's keys, shapes or values are not what they should be. The
        message names file and key.
    """
    with torch.device("meta"):
        network = ShapeNetwork(config)
    layout = _layout_of(read_shapes(path))
    names = {key: layout.name(key) for key in shapes_of(network)}
    fill(network, path, names=names, owned=layout.owned, known=unused_shapes(layout, config), device=device)
    return network


def _layout_of(found: Mapping[str, Shape]) -> Layout:
    """The layout that most of a file's keys follow."""

    def alike(layout: Layout) -> int:
        return sum(key.startswith((layout.projections, layout.layers)) for key in found)

    return max(LAYOUTS.values(), key=alike)


class ShapeGenerator:
    """G of the pair with Shap-E: `generate`, and what a distance to an asset needs. One shape at a time."""

    def __init__(
        self,
        network: ShapeNetwork,
        *,
        size: int = GRID,
        stride: int = STRIDE,
        turn: NDArray[np.float64] | None = None,
    ) -> None:
        """`size` and `stride` as of `decode_mesh`; `turn` (3, 3) rotates what is generated, see `surface.TO_Y_UP`."""
        self.network = network
        self.size = size
        self.stride = stride
        self.turn = turn

    def generate(self, latent: Tensor) -> Mesh:
        """Mesh with vertex colours of a latent (1, 1024, 1024); z up unless it is turned.

        Raises InputError for an empty shape, and for a latent that leads to numbers that are not finite.
        """
        with torch.no_grad():
            weights = self.network.weights(latent)
        if not all(bool(torch.isfinite(weight).all()) for weight in weights):
            raise InputError("the latent holds numbers that are not finite, or too large")
        mesh = decode_mesh(self.network, weights, size=self.size, stride=self.stride)
        if self.turn is None:
            return mesh
        (primitive,) = mesh.primitives
        turned = (primitive.positions @ self.turn.T).astype(np.float32)
        return replace(mesh, primitives=(replace(primitive, positions=turned),))

    def fields(self, latent: Tensor, places: Tensor) -> Fields:
        """Signed distance and colour at (N, 3) places of what `generate` makes of a latent (1, 1024, 1024).

        On its mesh the distance is next to zero, and colours are those of the vertices. Differentiable in both.
        """
        if self.turn is not None:
            places = places @ torch.from_numpy(self.turn).to(places)
        return self.network.fields(places[None], self.network.weights(latent))
