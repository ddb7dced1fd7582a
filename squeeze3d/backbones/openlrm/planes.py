"""`ImageToPlanes`: one picture of an object to a triplane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squeeze3d.backbones.openlrm.config import OpenLRMConfig
from squeeze3d.backbones.openlrm.transformer import CameraEmbedder, TriplaneTransformer
from squeeze3d.backbones.openlrm.vision import VisionTransformer


class _Encoder(nn.Module):
    """Gives the picture's network the name it has in the checkpoints."""

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        self.model = model


class ImageToPlanes(nn.Module):
    """Pictures with cameras to planes. Parameters have the names of the published checkpoints."""

    def __init__(self, config: OpenLRMConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, 3 * config.tokens**2, config.width))
        self.encoder = _Encoder(VisionTransformer(config.vision))
        self.camera_embedder = CameraEmbedder(config.camera_width)
        self.transformer = TriplaneTransformer(
            config.width, config.heads, config.layers, config.vision.width, config.camera_width
        )
        self.upsampler = nn.ConvTranspose2d(config.width, config.channels, 2, stride=2)

    def forward(self, images: Tensor, cameras: Tensor) -> Tensor:
        """Planes (B, 3, C, H, W).

        Parameters
        ----------
        images : (B, 3, S, S), RGB in [0, 1] on white, see `pictures.prepare_picture`. The object is centred.
        cameras : (B, 16), see `cameras.source_camera`.

        Raises InputError for pictures whose sides are no multiples of a patch.
        """
        return self.planes(self.encoder.model(images), cameras)

    def planes(self, tokens: Tensor, cameras: Tensor) -> Tensor:
        """Planes (B, 3, C, H, W) from the tokens (B, T, W) of pictures and their cameras (B, 16)."""
        x = self.pos_embed.expand(len(tokens), -1, -1)
        return self.upsampled(self.transformer(x, tokens, self.camera_embedder(cameras)))

    def upsampled(self, tokens: Tensor) -> Tensor:
        """Planes (B, 3, C, H, W) from triplane tokens (B, 3 n^2, width): plane after plane, row after row."""
        side = self.config.tokens
        grids = tokens.reshape(len(tokens) * 3, side, side, -1).permute(0, 3, 1, 2)
        return self.upsampler(grids).unflatten(0, (len(tokens), 3))
