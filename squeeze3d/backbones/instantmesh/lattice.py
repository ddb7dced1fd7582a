"""Networks of the decoder on a regular lattice, at a fraction of the cost of looking points up one by one.

Plane (x, y) sees only n^2 places of an n^3 lattice. What it holds there, `lattice_planes` finds once with two small
matrix products. The first layer of a network is linear, so it is applied to these n^2 places as well, and a point adds
three rows:

```text
layer(features of (i, j, k)) = XY[i, j] + XZ[i, k] + YZ[j, k] + bias
```

The same holds for a layer that reads the features of all eight corners of a cube: a plane sees its corners four times
twice, and the sum over its four places is again a table, now of cubes. Results are those of `FlexiDecoder` up to
rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.instantmesh.decoder import linear_layers
from squeeze3d.backbones.triplane_sampling import lattice_planes

_AXES = ((0, 1), (0, 2), (1, 2))
"""Axes of the tables."""
_BLOCK = 1 << 16
"""Rows that go through a network at once."""


def lattice_places(grid: int, scale: float) -> NDArray[np.float32]:
    """(grid + 1,) coordinates of the lattice along every axis.

    They are rounded to five decimals before they are scaled, which is part of the published method.
    """
    steps = np.round((np.arange(grid + 1) / grid).astype(np.float32) * np.float32(1e5)) / np.float32(1e5)
    return ((steps - np.float32(0.5)) * np.float32(scale)).astype(np.float32)


class LatticeFeatures:
    """Features of planes (3, C, H, W) on a lattice with coordinates (n,) along every axis."""

    def __init__(self, planes: Tensor, places: Tensor) -> None:
        self.tables = lattice_planes(planes, places)

    def at_points(self, network: nn.Sequential, where: Tensor) -> Tensor:
        """(N, out) of a network that reads the features of a point, at lattice points (N, 3)."""
        first, *others = linear_layers(network)
        weight = first.weight.unflatten(1, (3, -1))
        tables = [functional.linear(table, weight[:, plane]) for plane, table in enumerate(self.tables)]
        return _through(tables, first.bias, others, where)

    def at_cubes(self, network: nn.Sequential, where: Tensor) -> Tensor:
        """(N, out) of a network that reads the features of the corners of a cube, corner by corner.

        `where` (N, 3) are the lowest corners; corner c is (c & 1, c >> 1 & 1, c >> 2) beyond.
        """
        first, *others = linear_layers(network)
        # (out, x, y, z, plane, C): the lowest bit of a corner is that of x.
        weight = first.weight.unflatten(1, (2, 2, 2, 3, -1)).permute(0, 3, 2, 1, 4, 5)
        count = len(self.tables[0]) - 1
        tables = []
        for plane, table in enumerate(self.tables):
            unseen = next(axis for axis in range(3) if axis not in _AXES[plane])
            seen = weight[..., plane, :].sum(dim=1 + unseen)
            corners = [
                functional.linear(table[a : a + count, b : b + count], seen[:, a, b])
                for a in range(2)
                for b in range(2)
            ]
            tables.append(torch.stack(corners).sum(dim=0))
        return _through(tables, first.bias, others, where)


def _through(tables: list[Tensor], bias: Tensor, layers: list[nn.Linear], where: Tensor) -> Tensor:
    found = []
    for part in where.split(_BLOCK):
        hidden = bias.expand(len(part), -1)
        for (a, b), table in zip(_AXES, tables, strict=True):
            hidden = hidden + table[part[:, a], part[:, b]]
        for layer in layers:
            hidden = layer(torch.relu(hidden))
        found.append(hidden)
    return torch.cat(found)
