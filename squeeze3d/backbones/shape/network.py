"""Latents to the weights of an implicit network, and that network: distance, densities and colours at any place.

```text
latent rows of layer i (256, 1024) ─► own matrix of each row ─► LayerNorm ─► + bias ─► weights (256, inputs) of layer i
```

Each row of a latent makes the incoming weights of one neuron. Weights stay tensors beside the module: shapes do not
leak into each other, batches work, and gradients reach the latent.

State dictionaries have the keys of the port in diffusers, less those of weights that the latent replaces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.shape.config import GENERATED, LAYERS, PUBLISHED, ShapeConfig

Weights = tuple[Tensor, ...]
"""Of the generated layers, (B, outputs, inputs) each."""


def octave_code(vectors: Tensor, octaves: int) -> Tensor:
    """(..., 3) to (..., 3 + 6 * octaves): themselves, sines of 2^k times them, and those of a quarter turn further.

    Octave by octave, the coordinates of each together. The last octaves of places are 2^14: there, rounding of the
    angle is what the network was trained with, and a true cosine is another number.
    """
    scales = 2.0 ** torch.arange(octaves, device=vectors.device, dtype=vectors.dtype)
    angles = (vectors[..., None, :] * scales[:, None]).flatten(-2)
    return torch.cat([vectors, angles.sin(), (angles + math.pi / 2).sin()], dim=-1)


class RowProjection(nn.Module):
    """Rows of a latent to the rows of a matrix, each by a matrix of its own; the norm is shared."""

    def __init__(self, latent: int, outputs: int, inputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(latent, outputs * inputs)
        self.norm = nn.LayerNorm(inputs)

    def forward(self, rows: Tensor) -> Tensor:
        """(B, outputs, latent) to (B, outputs, inputs)."""
        size = self.norm.normalized_shape[0]
        matrices = self.proj.weight.unflatten(0, (-1, size))
        made = torch.bmm(matrices, rows.permute(1, 2, 0)).permute(2, 0, 1)
        # The bias does not pass through the norm.
        return self.norm(made) + self.proj.bias.unflatten(0, (-1, size))


class WeightProjection(nn.Module):
    """A latent to the weights of all generated layers."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {
                f"nerstf__mlp__{layer}__weight": RowProjection(config.latent, *config.layer_shape(layer))
                for layer in range(GENERATED)
            }
        )

    def forward(self, latent: Tensor) -> Weights:
        """(B, rows, numbers) to the weights of each layer."""
        groups = latent.chunk(GENERATED, dim=1)
        return tuple(project(rows) for project, rows in zip(self.projections.values(), groups, strict=True))


class GeneratedLinear(nn.Module):
    """A linear layer that has only its bias; the weights are those of the shape."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """(B, N, inputs) and (B, outputs, inputs) to (B, N, outputs)."""
        return torch.baddbmm(self.bias, x, weight.transpose(1, 2))


class ImplicitNetwork(nn.Module):
    """Places to twelve numbers."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        self.mlp = nn.ModuleList(
            GeneratedLinear(config.hidden) if layer < GENERATED else nn.Linear(*config.layer_shape(layer)[::-1])
            for layer in range(LAYERS)
        )

    def forward(self, places: Tensor, weights: Weights, directions: Tensor | None = None) -> Tensor:
        """(B, N, 3) places and unit directions to (B, N, 12), before any non-linearity."""
        in_place = not torch.is_grad_enabled()
        x = octave_code(places, self.config.place_octaves)
        for layer, weight in zip(self.mlp, weights, strict=False):
            x = functional.silu(layer(x, weight), inplace=in_place)
        turned = self.mlp[GENERATED]
        assert isinstance(turned, nn.Linear)
        if directions is None:
            # The code of no direction is zeros: its columns have nothing to add.
            x = functional.linear(x, turned.weight[:, : self.config.hidden], turned.bias)
        else:
            x = turned(torch.cat([x, octave_code(directions, self.config.direction_octaves)], dim=-1))
        for layer in self.mlp[GENERATED + 1 :]:
            x = layer(functional.silu(x, inplace=in_place))
        return x


@dataclass(frozen=True, eq=False)
class Fields:
    """What the network says about places (B, N): differentiable where the network was."""

    outputs: Tensor
    """(B, N, 12)."""

    @property
    def signed_distance(self) -> Tensor:
        """(B, N) in -1..1, positive inside."""
        return self.outputs[..., 0].tanh()

    @property
    def texture(self) -> Tensor:
        """(B, N, 3) sRGB colours of the surface, 0 to 1."""
        return self.outputs[..., 3:6].sigmoid()

    @property
    def coarse_density(self) -> Tensor:
        """(B, N) density of the coarse radiance field. Meshes do without."""
        return self.outputs[..., 1].relu()

    @property
    def fine_density(self) -> Tensor:
        """(B, N) density of the fine radiance field."""
        return self.outputs[..., 2].relu()

    @property
    def coarse_colour(self) -> Tensor:
        """(B, N, 3) colours of the coarse radiance field."""
        return self.outputs[..., 6:9].sigmoid()

    @property
    def fine_colour(self) -> Tensor:
        """(B, N, 3) colours of the fine radiance field."""
        return self.outputs[..., 9:12].sigmoid()


class ShapeNetwork(nn.Module):
    """Shap-E's decoder: `weights` of a latent, `fields` at places."""

    def __init__(self, config: ShapeConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.params_proj = WeightProjection(config)
        self.mlp = ImplicitNetwork(config)

    def weights(self, latent: Tensor) -> Weights:
        """Weights of the generated layers of latents (B, 1024, 1024) or (B, 1048576). Differentiable."""
        made: Weights = self.params_proj(latent.reshape(len(latent), *self.config.latent_shape))
        return made

    def fields(self, places: Tensor, weights: Weights, directions: Tensor | None = None) -> Fields:
        """What there is at (B, N, 3) places of the shapes that have these weights, frame [-1, 1]^3. Differentiable.

        Some ten kilobytes of memory for each place, if gradients are wanted.
        """
        return Fields(self.mlp(places, weights, directions))
