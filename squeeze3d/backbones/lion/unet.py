"""The U-Net that LION's decoder, its encoder and the prior of latent points share.

```text
N points   ─► PVConv x 2, grid r ─► SA0 ─────────────────────────────────────────────► FP3, PVConv x 2, grid r ─► head
N/2        ─► PVConv + attention, grid r/2 ─► SA1 ──────────────────────► FP2, PVConv x 2, grid r/2
N/8        ─► PVConv, grid r/4 ─► SA2 ──────────────────► FP1, PVConv x 3, grid r/4
N/32       ─► SA3 ────────────────────► FP0, PVConv x 3, grid r/4
N/128      ─► attention
```
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squeeze3d.backbones.lion.config import LionConfig
from squeeze3d.backbones.lion.layers import (
    FeaturePropagation,
    LinearAttention,
    PVConv,
    SetAbstraction,
    SharedMLP,
)

RADII = (0.1, 0.2, 0.4, 0.8)
"""Of the four abstractions."""


class UNet(nn.Module):
    """Points with features to as many answers."""

    def __init__(self, config: LionConfig, *, extra: int, outputs: int, deepest: int = 8, time: int = 0) -> None:
        """
        Parameters
        ----------
        extra : numbers that come with each place.
        outputs : numbers of an answer.
        deepest : channels of the third abstraction, in widths.
        time : numbers that tell the step of a diffusion.
        """
        super().__init__()
        w, style, points, grid = config.width, config.style, config.points, config.grid
        self.extra = extra

        def convolutions(count: int, channels: int, width: int, resolution: int) -> list[nn.Module]:
            inputs = [channels] + [width] * (count - 1)
            return [PVConv(each, width, resolution, style) for each in inputs]

        def propagation(channels: int, widths: list[int], count: int, resolution: int) -> nn.ModuleList:
            before = FeaturePropagation(channels, widths, style)
            return nn.ModuleList([before, *convolutions(count, widths[-1], widths[-1], resolution)])

        skips = [2 * w, 4 * w, deepest * w]
        self.sa_layers = nn.ModuleList(
            [
                nn.ModuleList(
                    [
                        *convolutions(2, 3 + extra, w, grid),
                        SetAbstraction(w, [w, skips[0]], points // 2, RADII[0], style),
                    ]
                ),
                nn.ModuleList(
                    [
                        PVConv(skips[0] + time, 2 * w, grid // 2, style, attention=True),
                        SetAbstraction(2 * w, [2 * w, skips[1]], points // 8, RADII[1], style),
                    ]
                ),
                nn.ModuleList(
                    [
                        PVConv(skips[1] + time, 4 * w, grid // 4, style),
                        SetAbstraction(4 * w, [4 * w, skips[2]], points // 32, RADII[2], style),
                    ]
                ),
                SetAbstraction(skips[2] + time, [4 * w] * 3, points // 128, RADII[3], style),
            ]
        )
        self.global_att = LinearAttention(4 * w, 8)
        self.fp_layers = nn.ModuleList(
            [
                propagation(4 * w + time + skips[2], [4 * w] * 2, 3, grid // 4),
                propagation(4 * w + time + skips[1], [4 * w] * 2, 3, grid // 4),
                propagation(4 * w + time + skips[0], [4 * w] * 2, 2, grid // 2),
                propagation(4 * w + time + extra, [4 * w, 4 * w, 2 * w], 2, grid),
            ]
        )
        self.classifier = nn.ModuleDict({"0": SharedMLP(2 * w, [4 * w], style), "2": nn.Conv1d(4 * w, outputs, 1)})

    def forward(self, x: Tensor, style: Tensor, time: Tensor | None = None) -> Tensor:
        """(B, 3 + extra, N) places with numbers and (B, S) styles to (B, outputs, N)."""
        points, features = x[:, :3], x
        levels: list[tuple[Tensor, Tensor]] = []
        for stage in self.sa_layers:
            # On the way back, places are known already: of the first level the numbers beside them remain.
            levels.append((points, features if levels else x[:, 3:]))
            if time is not None and len(levels) > 1:
                features = _with_time(features, time)
            *convolutions, abstraction = stage if isinstance(stage, nn.ModuleList) else (stage,)
            for convolution in convolutions:
                features = convolution(points, features, style)
            points, features = abstraction(points, features, style)
        features = self.global_att(features)
        for stage, (finer, own) in zip(self.fp_layers, levels[::-1], strict=True):
            assert isinstance(stage, nn.ModuleList)
            before, *convolutions = stage
            if time is not None:
                features = _with_time(features, time)
            features = before(finer, points, features, own, style)
            points = finer
            for convolution in convolutions:
                features = convolution(points, features, style)
        answers: Tensor = self.classifier["2"](self.classifier["0"](features, style))
        return answers


def _with_time(features: Tensor, time: Tensor) -> Tensor:
    """(B, C, N) features with the (B, T) numbers of the time behind them."""
    return torch.cat([features, time[:, :, None].expand(-1, -1, features.shape[2])], dim=1)
