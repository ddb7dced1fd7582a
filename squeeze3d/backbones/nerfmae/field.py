"""NeRF-MAE's halves as a pair uses them: fields to latents, and latents to fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.source import Asset
from squeeze3d.backbones.nerfmae.grid import Fit, generated_field, opacities_of, to_grid
from squeeze3d.backbones.nerfmae.network import NerfMaeDecoder, NerfMaeEncoder
from squeeze3d.errors import InputError, UnsupportedError


class FieldEncoder:
    """E: sees fields in the networks' frame, see `grid.content_of`."""

    def __init__(self, network: NerfMaeEncoder, fit: Fit) -> None:
        self.network, self.fit = network, fit

    def prepare(self, asset: Asset) -> NDArray[np.float32]:
        """(4, 160, 160, 160) colours and opacities. Raises InputError for an empty field."""
        assert isinstance(asset, RadianceField)
        if not (asset.rgbsigma[..., 3] > 0).any():
            raise InputError("the field is empty: it has no density anywhere")
        return to_grid(opacities_of(asset), self.network.config.size, self.fit)

    def encode(self, prepared: NDArray[np.float32]) -> Tensor:
        """(1, 96, 40, 40, 40)."""
        with torch.no_grad():
            latent: Tensor = self.network(torch.from_numpy(prepared)[None].to(self.network.pos_embed.device))
        return latent


class FieldGenerator:
    """G: the decoder behind the latent, which no code needs a skip for."""

    def __init__(self, network: NerfMaeDecoder, load_encoder: Callable[[], FieldEncoder]) -> None:
        """The encoder is only loaded if a distance is asked for."""
        self.network = network
        self._load_encoder = load_encoder
        self._target: tuple[Asset, Tensor] | None = None

    def generate(self, latent: Tensor) -> RadianceField:
        """Field in the networks' frame of a latent (1, 96, 40, 40, 40).

        Raises InputError for an empty field, and for a latent that leads to numbers that are not finite.
        """
        with torch.no_grad():
            return generated_field(self.network(latent)[0])

    def draw(self, count: int, seed: int) -> Tensor:
        """Always UnsupportedError: an autoencoder of this kind has no prior."""
        raise UnsupportedError(
            "NeRF-MAE has no prior to draw from: its latents are those of fields",
            hint="name a folder of fields: `sq3d train dataset --source DIR`",
        )

    def distance(self, latent: Tensor, asset: Asset) -> Tensor:
        """Mean squared difference from the latent that the encoder makes of a field in the networks' frame.

        Both are halves of one network, so that this latent is what a code should lead to. Going through the generator
        would take several gigabytes, and twice the time.
        """
        if self._target is None or self._target[0] is not asset:
            self._target = asset, self._encoder.encode(self._encoder.prepare(asset))
        return functional.mse_loss(latent, self._target[1])

    @cached_property
    def _encoder(self) -> FieldEncoder:
        return self._load_encoder()
