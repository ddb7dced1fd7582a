"""3-D convolutional mapping network of the radiance-field pair (Squeeze3D, appendix A.1).

```text
z_E (c, n^3) ─► conv ─► blocks, two of stride 2 ─► conv to 24 channels ─► LayerNorm ─► GELU ─► code (24, (n/4)^3)
code ─► conv ─► block ─► upsample ─► block ─► upsample ─► block ─► block ─► z_G (c, n^3)
```

Channels: c at the ends, `expansion * c / 2` next to them and at the bottleneck, `expansion * c` inside.

**The skip.** The published network adds the output of `encoder.7`, (expansion * c, (n/2)^3), behind `decoder.8`. At the
published size that is 3,072,000 numbers beside a code of 24,000, and no decoder has them. Here the addition is off
unless `skip=True`, which exists to compare with the published network. It has no parameters, so checkpoints load
either way.

Modules and parameters carry the names of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from squeeze3d.errors import UsageError

DROPOUT = 0.2
"""Dropout of the published training runs; it drops whole channels."""
EXPANSION = 4
BOTTLENECK = 24
_SHRINK = 4
"""Voxels of the latent along one side of a voxel of the code."""
_SKIP_FROM, _SKIP_TO = 7, 8


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of every voxel of (B, C, X, Y, Z)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Normalised grid of the same shape."""
        return self.norm(grid.movedim(1, -1)).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """Convolution, then an inverted bottleneck of twice the channels, with a residual around each and around both."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm1 = ChannelNorm(outputs)
        self.conv2 = nn.Conv3d(outputs, 2 * outputs, 1)
        self.norm2 = ChannelNorm(2 * outputs)
        self.conv3 = nn.Conv3d(2 * outputs, outputs, 3, padding=1)
        self.norm3 = ChannelNorm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride=stride), ChannelNorm(outputs))

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """(B, inputs, X, Y, Z) to (B, outputs, X/stride, Y/stride, Z/stride)."""
        first = functional.gelu(self.norm1(self.conv1(grid)))
        wide = functional.gelu(self.norm2(self.conv2(first)))
        narrow = self.norm3(self.conv3(wide))
        return functional.gelu(functional.gelu(narrow + self.shortcut(grid)) + first)


class ConvForward(nn.Module):
    """Compressor: (B, c, X, Y, Z) to code (B, code_size), flattened channel by channel."""

    def __init__(
        self,
        encoder_shape: Sequence[int],
        code_size: int,
        *,
        dropout: float = DROPOUT,
        expansion: int = EXPANSION,
        bottleneck: int = BOTTLENECK,
        skip: bool = False,
    ) -> None:
        super().__init__()
        outer, middle, inner = _channels(encoder_shape, expansion)
        _code_grid(encoder_shape, code_size, bottleneck)
        self.skip = skip
        self.encoder = nn.Sequential(
            nn.Conv3d(outer, middle, 3, padding=1),
            ChannelNorm(middle),
            nn.GELU(),
            ResidualBlock(middle, inner),
            nn.Dropout3d(dropout),
            ResidualBlock(inner, inner, stride=2),
            nn.Dropout3d(dropout),
            ResidualBlock(inner, inner),
            ResidualBlock(inner, middle, stride=2),
            nn.Dropout3d(dropout),
            nn.Conv3d(middle, bottleneck, 3, padding=1),
            ChannelNorm(bottleneck),
            nn.GELU(),
        )

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Code of a batch of encoder latents."""
        return self.encoder(latent).flatten(1)

    def with_skip(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Code, and the tensor (B, expansion * c, X/2, Y/2, Z/2) that the published network adds in its decoder."""
        skip = self.encoder[: _SKIP_FROM + 1](latent)
        return self.encoder[_SKIP_FROM + 1 :](skip).flatten(1), skip


class ConvReverse(nn.Module):
    """Decompressor: code (B, code_size) to (B, c, X, Y, Z)."""

    ignores_shift_and_scale: ClassVar[bool] = False

    def __init__(
        self,
        generator_shape: Sequence[int],
        code_size: int,
        *,
        dropout: float = DROPOUT,
        expansion: int = EXPANSION,
        bottleneck: int = BOTTLENECK,
        skip: bool = False,
    ) -> None:
        super().__init__()
        outer, middle, inner = _channels(generator_shape, expansion)
        self.code_shape = (bottleneck, *_code_grid(generator_shape, code_size, bottleneck))
        self.skip = skip
        self.decoder = nn.Sequential(
            nn.Conv3d(bottleneck, middle, 3, padding=1),
            ChannelNorm(middle),
            nn.GELU(),
            ResidualBlock(middle, inner),
            nn.Dropout3d(dropout),
            nn.ConvTranspose3d(inner, inner, 4, stride=2, padding=1),
            ChannelNorm(inner),
            nn.GELU(),
            ResidualBlock(inner, inner),
            nn.Dropout3d(dropout),
            nn.ConvTranspose3d(inner, inner, 4, stride=2, padding=1),
            ChannelNorm(inner),
            nn.GELU(),
            ResidualBlock(inner, middle),
            ResidualBlock(middle, outer),
        )

    def forward(self, code: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """Generator latent of a batch of codes; `skip` is needed if the network was made with `skip=True`.

        Raises UsageError if a skip tensor is given to a network without one, or missing from one that needs it.
        """
        if (skip is not None) != self.skip:
            raise UsageError(
                "this network needs the skip tensor beside the code"
                if self.skip
                else "this network decodes codes alone, it has no use for a skip tensor",
                hint="make the network with `skip=False` to decode codes, or with `skip=True` to compare",
            )
        grid = self.decoder[: _SKIP_TO + 1](code.unflatten(1, self.code_shape))
        if skip is not None:
            grid = grid + skip
        return self.decoder[_SKIP_TO + 1 :](grid)


def _channels(shape: Sequence[int], expansion: int) -> tuple[int, int, int]:
    if len(shape) != 4 or any(side < _SHRINK or side % _SHRINK for side in shape[1:]):
        raise UsageError(
            f"the convolutional mapping needs latents (channels, X, Y, Z) with sides that are multiples of {_SHRINK}, "
            f"not {tuple(shape)}"
        )
    return shape[0], shape[0] * expansion // 2, shape[0] * expansion


def _code_grid(shape: Sequence[int], code_size: int, bottleneck: int) -> tuple[int, ...]:
    grid = tuple(side // _SHRINK for side in shape[1:])
    if code_size != bottleneck * prod(grid):
        raise UsageError(
            f"the code of a latent {tuple(shape)} has {bottleneck} * {' * '.join(map(str, grid))} = "
            f"{bottleneck * prod(grid)} numbers, not {code_size}"
        )
    return grid
