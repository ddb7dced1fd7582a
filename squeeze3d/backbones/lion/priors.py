"""The priors of LION's latents: what data sets are drawn with. A codec does without.

```text
noise (S) ─► 1000 x: less what the global prior takes for noise ─► style ──────────────┐
noise (4 N) ─► 1000 x: less what the local prior takes for noise, knowing the style ─► latent points
```

Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020: ancestral sampling with the variance of the
posterior. A step of the local prior costs about as much as decoding a cloud.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.lion.config import CHANNELS, PUBLISHED, LionConfig
from squeeze3d.backbones.lion.unet import UNet

BLOCKS = 8
"""Of the global prior."""
GLOBAL_TIME, LOCAL_TIME = 128, 64
"""Numbers that tell the step."""
BETAS = 1e-4, 0.02
"""Variances of the noise of the first and the last step."""


def time_code(time: Tensor, size: int) -> Tensor:
    """(B, size) sines and then cosines of (B,) times, from one turn in 2 pi steps to one in 10,000 times as many."""
    half = size // 2
    rates = torch.exp(torch.arange(half, device=time.device) * (-math.log(10_000) / (half - 1)))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Gate(nn.Module):
    """Scales channels by what they say themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.ModuleDict(
            {
                "0": nn.Conv2d(channels, channels // 8, 1, bias=False),
                "2": nn.Conv2d(channels // 8, channels, 1, bias=False),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc["2"](functional.relu(self.fc["0"](x))))


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.SE = _Gate(channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = functional.relu(self.conv1(x + time))
        moved: Tensor = x + self.SE(functional.relu(self.conv2(hidden)))
        return moved


class GlobalPrior(nn.Module):
    """What is noise in a style. Keys of the published file; weights are those of 1x1 convolutions."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        width = config.prior
        self.temb_layer = nn.ModuleList([nn.Conv2d(GLOBAL_TIME, 512, 1), nn.Conv2d(512, width, 1)])
        self.input_layer = nn.Conv2d(config.style, width, 1)
        self.all_modules = nn.ModuleList(_Block(width) for _ in range(BLOCKS))
        self.output_layer = nn.Conv2d(width, config.style, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, S) at times (B,) in 1 ... 1000 to (B, S)."""
        told = time_code(time, GLOBAL_TIME)[:, :, None, None]
        for layer in self.temb_layer:
            told = layer(told)
        hidden = self.input_layer(x[:, :, None, None])
        for block in self.all_modules:
            hidden = block(hidden, told)
        noise: Tensor = self.output_layer(hidden)
        return noise[:, :, 0, 0]


class PointPrior(UNet):
    """What is noise in latent points."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__(config, extra=CHANNELS - 3, outputs=CHANNELS, deepest=4, time=LOCAL_TIME)
        self.embedf = nn.ModuleDict({"0": nn.Linear(LOCAL_TIME, LOCAL_TIME), "2": nn.Linear(LOCAL_TIME, LOCAL_TIME)})

    def noise(self, x: Tensor, style: Tensor, time: Tensor) -> Tensor:
        """(B, 4 N) latent points with styles (B, S) at times (B,) in 1 ... 1000 to (B, 4 N)."""
        told = self.embedf["2"](functional.leaky_relu(self.embedf["0"](time_code(time, LOCAL_TIME)), 0.1))
        found = self(x.unflatten(1, (-1, CHANNELS)).transpose(1, 2), style, told)
        return found.transpose(1, 2).flatten(1)


class Priors(nn.Module):
    """Both. State dictionaries have the keys of the published file, `0.` and `1.`."""

    def __init__(self, config: LionConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.add_module("0", GlobalPrior(config))
        self.add_module("1", PointPrior(config))

    @property
    def style(self) -> GlobalPrior:
        """Of styles."""
        found = self.get_submodule("0")
        assert isinstance(found, GlobalPrior)
        return found

    @property
    def points(self) -> PointPrior:
        """Of latent points."""
        found = self.get_submodule("1")
        assert isinstance(found, PointPrior)
        return found

    @torch.no_grad()
    def draw(self, count: int, seed: int) -> Tensor:
        """(count, S + 4 N) latents; the same seed gives the same noise on every device."""
        config = self.config
        random = torch.Generator().manual_seed(seed)
        device = next(self.parameters()).device

        def noise(size: int) -> Tensor:
            return torch.randn(count, size, generator=random).to(device)

        style = ancestral(self.style, partial(noise, config.style), config.steps)
        local = ancestral(
            lambda x, time: self.points.noise(x, style, time),
            partial(noise, CHANNELS * config.points),
            config.steps,
        )
        return torch.cat([style, local], dim=1)


def ancestral(predict: Callable[[Tensor, Tensor], Tensor], noise: Callable[[], Tensor], steps: int) -> Tensor:
    """A sample (B, n) of a diffusion.

    Parameters
    ----------
    predict : noise in (B, n) at times (B,), 1 to `steps`.
    noise : (B, n) standard-normal numbers, others each time.
    """
    betas = torch.linspace(*BETAS, steps, dtype=torch.float64)
    kept = torch.cumprod(1 - betas, dim=0)
    x = noise()
    for step in reversed(range(steps)):
        beta, now = float(betas[step]), float(kept[step])
        before = float(kept[step - 1]) if step else 1.0
        clean = (x - math.sqrt(1 - now) * predict(x, x.new_full((len(x),), step + 1))) / math.sqrt(now)
        x = (math.sqrt(before) * beta * clean + math.sqrt(1 - beta) * (1 - before) * x) / (1 - now)
        if step:
            x = x + math.sqrt((1 - before) / (1 - now) * beta) * noise()
    return x
