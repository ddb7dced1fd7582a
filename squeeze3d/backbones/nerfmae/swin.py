"""Swin transformer on grids of tokens: attention within cubes of 4^3 tokens, which every other block shifts by two.

```text
tokens ─► norm ─► pad to cubes ─► [roll] ─► attention in each cube ─► [roll back] ─► crop ─► + ─► norm ─► MLP ─► +
next stage: 2^3 tokens ─► one of twice the width
```

Modules and parameters carry the names of the published checkpoint. Padding is added behind the norm, and takes part as
keys and values: so did it in training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.nerfmae.config import OFFSETS, NerfMaeConfig

FAR = -100.0
"""Added to the scores of tokens that a roll has brought next to each other."""
MLP_RATIO = 4


def bias_index(window: int) -> Tensor:
    """(window^3, window^3) row of the table of biases for each query and key, row-major in a cube."""
    line = torch.arange(window)
    places = torch.cartesian_prod(line, line, line)
    apart = places[:, None] - places[None, :] + window - 1
    span = 2 * window - 1
    return (apart[..., 0] * span + apart[..., 1]) * span + apart[..., 2]


def cubes_of(grid: Tensor, window: int) -> Tensor:
    """(B, X, Y, Z, C) to (B * cubes, window^3, C), cubes and tokens row-major. Sides are multiples of the window."""
    batch, x, y, z, width = grid.shape
    parts = grid.view(batch, x // window, window, y // window, window, z // window, window, width)
    return parts.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, window**3, width)


def grid_of(cubes: Tensor, window: int, shape: tuple[int, ...]) -> Tensor:
    """Inverse of `cubes_of` for the shape (B, X, Y, Z, C)."""
    batch, x, y, z, width = shape
    parts = cubes.view(batch, x // window, y // window, z // window, window, window, window, width)
    return parts.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(shape)


def roll_mask(sides: tuple[int, ...], window: int, shifts: tuple[int, ...], device: torch.device) -> Tensor:
    """(cubes, window^3, window^3) what is added to scores on a rolled grid: 0 within a region, else `FAR`."""
    regions = torch.zeros(1, *sides, 1, device=device)
    for axis, (side, shift) in enumerate(zip(sides, shifts, strict=True)):
        place = torch.arange(side, device=device)
        # What was rolled over the end is a region of its own.
        number = (place >= side - window).float() + (place >= side - shift)
        regions = regions * 3 + number.view([-1 if k == axis else 1 for k in range(3)])[None, ..., None]
    cubes = cubes_of(regions, window)[..., 0]
    return FAR * (cubes[:, :, None] != cubes[:, None, :]).float()


class WindowAttention(nn.Module):
    """Attention within cubes, with a bias for each difference of places."""

    def __init__(self, width: int, heads: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shifted = heads, window, shifted
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 3, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, X, Y, Z, C) of the same shape."""
        window = self.window
        kept = grid.shape[1:4]
        missing = [-side % window for side in kept]
        if any(missing):
            grid = functional.pad(grid, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
        sides = tuple(grid.shape[1:4])
        shifts = tuple(window // 2 if self.shifted and side > window else 0 for side in sides)
        if any(shifts):
            grid = grid.roll([-shift for shift in shifts], (1, 2, 3))
        mask = roll_mask(sides, window, shifts, grid.device) if any(shifts) else None
        mixed = grid_of(self._mixed(cubes_of(grid, window), mask), window, tuple(grid.shape))
        if any(shifts):
            mixed = mixed.roll(shifts, (1, 2, 3))
        return mixed[:, : kept[0], : kept[1], : kept[2]]

    def _mixed(self, cubes: Tensor, mask: Tensor | None) -> Tensor:
        """(N, T, C) of the same shape; the mask is (cubes of one grid, T, T)."""
        count, tokens, width = cubes.shape
        qkv = self.qkv(cubes).view(count, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv
        index = bias_index(self.window).to(cubes.device)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-1, -2)
        scores = scores + self.relative_position_bias_table[index].permute(2, 0, 1)
        if mask is not None:
            scores = (scores.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return self.proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(count, tokens, width))


class Block(nn.Module):
    """Attention and an MLP, each behind a LayerNorm and with a residual."""

    def __init__(self, width: int, heads: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window, shifted=shifted)
        # Places 2 and 4 are dropout in the published network.
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(MLP_RATIO * width, width),
        )

    def forward(self, grid: Tensor) -> Tensor:
        """(B, X, Y, Z, C) of the same shape."""
        grid = grid + self.attn(self.norm1(grid))
        return grid + self.mlp(self.norm2(grid))


class Merge(nn.Module):
    """2^3 tokens become one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * width)
        self.reduction = nn.Linear(8 * width, 2 * width, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, X, Y, Z, C) to (B, X/2, Y/2, Z/2, 2 C), sides rounded up."""
        if any(side % 2 for side in grid.shape[1:4]):
            odd = [side % 2 for side in grid.shape[1:4]]
            grid = functional.pad(grid, (0, 0, 0, odd[2], 0, odd[1], 0, odd[0]))
        parts = [grid[:, a::2, b::2, c::2] for a, b, c in OFFSETS]
        return self.reduction(self.norm(torch.cat(parts, dim=-1)))


def stage(config: NerfMaeConfig, number: int) -> nn.Sequential:
    """Stage 0 to 3: a merge, but for the first, and blocks of which every other one is shifted."""
    width = config.width * 2**number
    layers: list[nn.Module] = [] if number == 0 else [Merge(width // 2)]
    layers += [
        Block(width, config.heads[number], config.window, shifted=block % 2 == 1)
        for block in range(config.depths[number])
    ]
    return nn.Sequential(*layers)
