"""`ImagesToPlanes`: encoder and triplane transformer together."""

from __future__ import annotations

from torch import Tensor, nn

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
from squeeze3d.backbones.instantmesh.encoder import CameraViT
from squeeze3d.backbones.instantmesh.transformer import TriplaneTransformer


class ImagesToPlanes(nn.Module):
    """Views of an object to its planes."""

    def __init__(self, config: InstantMeshConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = CameraViT(config)
        self.transformer = TriplaneTransformer(config)

    def forward(self, images: Tensor, cameras: Tensor) -> Tensor:
        """Planes (B, 3, C, H, W).

        Parameters
        ----------
        images : (B, V, 3, S, S) in 0..1, see `images.prepare_views`. Six views, or four of them.
        cameras : (B, V, 16), see `cameras.input_cameras`.
        """
        tokens = self.encoder(images, cameras).flatten(1, 2)
        planes: Tensor = self.transformer(tokens)
        return planes
