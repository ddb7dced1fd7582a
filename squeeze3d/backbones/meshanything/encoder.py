"""The encoder as pairs use it: from the published file, on one device, from meshes to features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset
from squeeze3d.backbones.meshanything.config import POINTS, PUBLISHED, MeshAnythingConfig
from squeeze3d.backbones.meshanything.network import MeshAnythingEncoder
from squeeze3d.backbones.meshanything.points import Normalisation, prepare_points
from squeeze3d.backbones.published import fill, shapes_of
from squeeze3d.errors import InputError

OWNED = ("point_encoder.", "cond_head_proj.", "cond_proj.")
"""Prefixes of the published file that are the encoder's. `tokenizer.` and `transformer.` are not."""


def load_network(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    config: MeshAnythingConfig = PUBLISHED,
    whole: bool = False,
) -> MeshAnythingEncoder:
    """The encoder out of `MeshAnything_350m.pth`, a safetensors file whatever its suffix: float32, frozen.

    `whole` reads what the feature does not need as well; see `MeshAnythingEncoder`. 16-bit weights are widened.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file, or the encoder's keys, shapes or values are not what they should be. The
        message names file and key.
    """
    with torch.device("meta"):
        network = MeshAnythingEncoder(config, whole=whole)
        known = shapes_of(MeshAnythingEncoder(config, whole=True))
    fill(network, path, owned=OWNED, known=known, device=device)
    return network


class MeshEncoder:
    """E of the mesh pairs: `prepare` and `encode` of `squeeze3d.codecs.pairs.spec.Encoder`."""

    def __init__(
        self,
        network: MeshAnythingEncoder,
        normalisation: Normalisation,
        *,
        turn: NDArray[np.float64] | None = None,
        points: int = POINTS,
    ) -> None:
        """`turn` is applied to meshes first, such as `points.TO_Z_UP` for a generator whose meshes stand along z."""
        self.network = network
        self.normalisation = normalisation
        self.turn = turn
        self.points = points

    def prepare(self, asset: Asset) -> NDArray[np.float32]:
        """(4096, 6) places and normals of a mesh in the pair's frame.

        Raises InputError for what is no mesh, or has no surface.
        """
        if not isinstance(asset, Mesh):
            raise InputError("MeshAnything encodes meshes; the asset is none")
        return prepare_points(asset, self.normalisation, count=self.points, turn=self.turn)

    def encode(self, prepared: NDArray[np.float32]) -> Tensor:
        """(1, 257, 1024) feature."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            feature: Tensor = self.network(torch.from_numpy(prepared)[None].to(device))
        return feature
