"""Farthest points and neighbours within a radius, as networks of points want them.

```text
points (B, N, 3) ─► farthest_points ─► centres (B, S) ─┐
                                                       ├─► inside (B, S, N) ─► first_inside (B, S, K) ─► gather
points (B, N, 3) ──────────────────────────────────────┘
```

Indices are those of the published implementations, ties included: they decide what a network sees. No gradient flows
through a choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


@torch.no_grad()
def farthest_points(points: Tensor, count: int, first: int = 0) -> Tensor:
    """(B, count) indices into (B, N, 3) points: `first`, then always the one farthest from all before it.

    Ties: the lowest index. Where all that is left lies on top of what was chosen, index 0 comes again.
    """
    x, y, z = (axis.contiguous() for axis in points.unbind(-1))
    chosen = torch.empty(len(points), count, dtype=torch.int64, device=points.device)
    nearest = torch.full_like(x, math.inf)
    last = torch.full_like(chosen[:, :1], first)
    for number in range(count):
        chosen[:, number : number + 1] = last
        dx, dy, dz = (axis - axis.gather(1, last) for axis in (x, y, z))
        nearest = torch.minimum(nearest, dx * dx + dy * dy + dz * dz)
        last = nearest.argmax(dim=1, keepdim=True)
    return chosen


@torch.no_grad()
def first_inside(inside: Tensor, count: int) -> Tensor:
    """(B, S, count) lowest indices of the neighbours that (B, S, N) flags tell. Free places repeat the first one; where
    there is none, all are 0.
    """
    rank = inside.cumsum(dim=-1, dtype=torch.int32)
    batch, centre, index = torch.nonzero(inside & (rank <= count), as_tuple=True)
    found = inside.to(torch.uint8).argmax(dim=-1, keepdim=True).repeat(1, 1, count)
    found[batch, centre, rank[batch, centre, index].long() - 1] = index
    return found


def gather(values: Tensor, index: Tensor) -> Tensor:
    """(B, C, N) and indices (B, ...) into N to (B, C, ...)."""
    batch, channels, _ = values.shape
    flat = index.reshape(batch, 1, -1).expand(-1, channels, -1)
    return values.gather(2, flat).view(batch, channels, *index.shape[1:])
