"""The last blocks of NeRF-MAE's decoder, `decoder1` and `out`, a few planes of the grid at a time.

```text
latent ─► up ─► conv1 ─► buffer, moments                        slab by slab
buffer ─► IN ─► LReLU ─► conv2 ─► the same buffer, moments      slab by slab, with a plane of each neighbour
buffer ─► IN ─► + up ─► LReLU ─► out                            slab by slab
```

At the published size one grid of 48 channels takes 786 MB. The plain way keeps several; here there is one, and what is
upsampled is made anew where it is needed. Instance normalisation needs moments over the whole grid, hence three passes.
They are gathered in float64. Results differ from the plain way by rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.nerfmae.unet import EPSILON, SLOPE, UpBlock

ROWS = 2
"""Tokens that a slab is thick."""


def decode_grid(block: UpBlock, last: nn.Conv3d, latent: Tensor, *, rows: int = ROWS) -> Tensor:
    """(C, X, Y, Z) grid of a latent (c, x, y, z): what `last` makes of what the block makes, and no gradients.

    Parameters
    ----------
    block : upsamples by a factor, without a skip.
    last : 1^3 convolution.
    """
    with torch.no_grad():
        return _Grid(block, latent, rows).decode(last)


class _Moments:
    """Mean and variance of each channel, gathered slab by slab."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, slab: Tensor) -> None:
        """Take in (..., C) numbers."""
        flat = slab.reshape(-1, slab.shape[-1])
        # Not `var_mean`, which takes three times as long.
        mean = flat.mean(dim=0)
        squares = (flat - mean).square_().sum(dim=0)
        new = len(flat)
        total = self.count + new
        apart = mean.cpu().double() - self.mean
        self.mean = self.mean + apart * (new / total)
        self.squares = self.squares + squares.cpu().double() + apart**2 * (self.count * new / total)
        self.count = total

    def normalise(self, slab: Tensor) -> Tensor:
        """Numbers (..., C) with mean 0 and variance 1, in their place."""
        assert isinstance(self.mean, Tensor)
        scale = (torch.as_tensor(self.squares) / self.count + EPSILON).rsqrt()
        return slab.sub_(self.mean.to(slab)).mul_(scale.to(slab))


class _Grid:
    """A grid in the making: planes (X, Y, Z, C), channels last."""

    def __init__(self, block: UpBlock, latent: Tensor, rows: int) -> None:
        weight, bias = block.transp_conv.weight, block.transp_conv.bias
        assert bias is not None
        inputs, self.width, self.factor = weight.shape[0], weight.shape[1], weight.shape[2]
        self.block, self.rows, self.bias = block, rows, bias
        self.tokens = latent.movedim(0, -1)
        self.sides = tuple(self.factor * side for side in latent.shape[1:])
        # A transposed convolution without overlap is a matrix for each token.
        self.spread = weight.permute(0, 2, 3, 4, 1).reshape(inputs, -1)

    def decode(self, last: nn.Conv3d) -> Tensor:
        block = self.block.conv_block
        planes = self.tokens.new_empty(*self.sides, self.width)
        first, second = _Moments(), _Moments()
        for begin, end in self._slabs():
            inner = self._convolved(block.conv1, self._padded(begin, end))
            planes[begin:end] = inner
            first.add(inner)
        before = planes.new_zeros(1, *planes.shape[1:])
        for begin, end in self._slabs():
            # The plane behind the slab is still as the first pass left it; the one before is not, and was kept.
            ahead = planes[begin : end + 1].clone()
            functional.leaky_relu_(first.normalise(ahead), SLOPE)
            behind = before[:0] if end < self.sides[0] else torch.zeros_like(before)
            inner = self._convolved(block.conv2, torch.cat([before, ahead, behind]))
            before = ahead[end - begin - 1 : end - begin].clone()
            planes[begin:end] = inner
            second.add(inner)
        grid = planes.new_empty(last.out_channels, *self.sides)
        for begin, end in self._slabs():
            made = second.normalise(planes[begin:end]).add_(self._up(begin, end))
            flat = functional.linear(functional.leaky_relu_(made, SLOPE), last.weight.flatten(1), last.bias)
            grid[:, begin:end] = flat.movedim(-1, 0)
        return grid

    def _slabs(self) -> Iterator[tuple[int, int]]:
        step = self.rows * self.factor
        for begin in range(0, self.sides[0], step):
            yield begin, min(begin + step, self.sides[0])

    def _up(self, begin: int, end: int) -> Tensor:
        """Planes of the upsampled latent; both ends are multiples of the factor."""
        f = self.factor
        tokens = self.tokens[begin // f : end // f]
        spread = (tokens @ self.spread).view(*tokens.shape[:3], f, f, f, self.width)
        blocks = spread.permute(0, 3, 1, 4, 2, 5, 6).reshape(end - begin, *self.sides[1:], self.width)
        return blocks.add_(self.bias)

    def _padded(self, begin: int, end: int) -> Tensor:
        """Planes of the upsampled latent and one more at each side: zeros beyond the grid."""
        f, side = self.factor, self.sides[0]
        low, high = max(begin - f, 0), min(end + f, side)
        found = self._up(low, high)
        planes = found[max(begin - 1, 0) - low : min(end + 1, side) - low]
        return functional.pad(planes, (0, 0, 0, 0, 0, 0, int(begin == 0), int(end == side)))

    @staticmethod
    def _convolved(conv: nn.Conv3d, planes: Tensor) -> Tensor:
        """3^3 convolution of (n + 2, Y, Z, C) planes to (n, Y, Z, C)."""
        # With channels last on both sides a CPU needs three fifths of the time.
        weight = conv.weight.contiguous(memory_format=torch.channels_last_3d)
        made = functional.conv3d(planes.movedim(-1, 0)[None], weight, conv.bias, padding=(0, 1, 1))
        return made[0].movedim(0, -1)
