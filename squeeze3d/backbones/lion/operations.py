"""What LION computes between its layers: choices of points, voxels, interpolation. float32, (B, C, N) throughout.

```text
points ─► farthest points, ball query ─► groups                     fewer points, more of what is around each
points, features ─► voxel coordinates ─► averages in r^3 voxels ─► convolutions ─► read between voxels
coarse features ─► three nearest centres, by inverse squared distance ─► features of finer points
```

The original runs kernels of its own on a GPU (PVCNN). These give the same indices, ties and rounding included, where
the order of additions allows. Gradients flow through features and through the places of groups. Voxel coordinates and
weights of interpolation are constants, as in the original.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from squeeze3d.backbones import point_sets
from squeeze3d.backbones.point_sets import first_inside, gather

_THREADS = 512
"""Of the original's kernel: among equally far points, the lowest remainder by it wins, then the lowest index."""
_NEAR, _FAR = 1e-10, 1e10
"""Between these lie squared distances that weights are made of."""


def farthest_points(points: Tensor, count: int) -> Tensor:
    """(B, count) indices into (B, 3, N) points: the first, then always the one farthest from all before it."""
    index = torch.arange(points.shape[2], device=points.device)
    order = torch.argsort(index % _THREADS, stable=True)
    return order[point_sets.farthest_points(points[:, :, order].transpose(1, 2), count)]


@torch.no_grad()
def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(B, S, N) of (B, 3, S) and (B, 3, N) points, summed in the order x, y, z."""
    dx, dy, dz = (a[:, :, None] - b[:, None] for a, b in zip(first.unbind(1), second.unbind(1), strict=True))
    return dx.square_().add_(dy.square_()).add_(dz.square_())


def ball_query(centres: Tensor, points: Tensor, radius: float, count: int) -> Tensor:
    """(B, S, count) indices of (B, 3, N) points nearer than a radius to (B, 3, S) centres, the lowest first."""
    limit = torch.tensor(radius, dtype=torch.float32).square().item()
    return first_inside(squared_distances(centres, points) < limit, count)


@torch.no_grad()
def voxel_coordinates(points: Tensor, resolution: int) -> Tensor:
    """(B, 3, N) places in 0 ... resolution - 1 of (B, 3, N) points: around their mean, the farthest half the grid away.

    Points without extent lie in the middle.
    """
    centred = points - points.mean(dim=2, keepdim=True)
    largest = centred.norm(dim=1, keepdim=True).amax(dim=2, keepdim=True)
    return ((centred / (2 * largest)).nan_to_num(0.0) + 0.5).mul_(resolution).clamp_(0, resolution - 1)


def average_voxels(features: Tensor, coordinates: Tensor, resolution: int) -> Tensor:
    """(B, C, r, r, r) means of the (B, C, N) features in each voxel, axes x, y, z; empty voxels are 0.

    A point is in the voxel whose number is nearest to its coordinates, the even one of two that are as near.
    """
    batch, channels, _ = features.shape
    index = _flat(coordinates.round().long(), resolution)[:, None]
    size = resolution**3
    empty = features.new_zeros(batch, channels, size)
    count = torch.zeros_like(empty[:, :1]).scatter_add_(2, index, torch.ones_like(coordinates[:, :1]))
    shares = features * count.gather(2, index).reciprocal()
    grid = empty.scatter_add(2, index.expand(-1, channels, -1), shares)
    return grid.view(batch, channels, resolution, resolution, resolution)


def read_voxels(grid: Tensor, coordinates: Tensor) -> Tensor:
    """(B, C, N) values of a grid (B, C, r, r, r) at (B, 3, N) coordinates, between eight voxels."""
    resolution = grid.shape[2]
    low = coordinates.floor()
    part = coordinates - low
    high = (low + (part > 0)).long()
    ends, shares = (low.long(), high), (1 - part, part)
    flat = grid.flatten(2)
    found: Tensor | None = None
    for corner in itertools.product((0, 1), repeat=3):
        place = torch.stack([ends[end][:, axis] for axis, end in enumerate(corner)], dim=1)
        x, y, z = (shares[end][:, axis] for axis, end in enumerate(corner))
        term = (x * y * z)[:, None] * gather(flat, _flat(place, resolution))
        found = term if found is None else found + term
    assert found is not None
    return found


def _flat(places: Tensor, resolution: int) -> Tensor:
    """(B, N) numbers of (B, 3, N) voxels."""
    x, y, z = places.unbind(1)
    return (x * resolution + y) * resolution + z


@torch.no_grad()
def three_nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (B, 3, N) of the nearest of (B, 3, S) centres to (B, 3, N) points, and weights (B, 3, N) that sum to 1.

    Ties: the lower index. Where there are fewer than three centres, the first one stands in from very far.
    """
    left = squared_distances(points, centres)
    distances, indices = [], []
    for _ in range(3):
        index = left.argmin(dim=2, keepdim=True)
        distance = left.gather(2, index)
        left.scatter_(2, index, torch.inf)
        gone = distance.isinf()
        distances.append(distance.masked_fill(gone, _FAR).clamp_(_NEAR, _FAR))
        indices.append(index.masked_fill(gone, 0))
    a, b, c = distances
    weights = torch.cat([b * c, a * c, a * b], dim=2)
    weights = weights / weights.sum(dim=2, keepdim=True)
    return torch.cat(indices, dim=2).transpose(1, 2), weights.transpose(1, 2)


def interpolate(points: Tensor, centres: Tensor, features: Tensor) -> Tensor:
    """(B, C, N) features at (B, 3, N) points, of the (B, C, S) features of (B, 3, S) centres."""
    index, weights = three_nearest(points, centres)
    first, second, third = (gather(features, index[:, k]) * weights[:, k, None] for k in range(3))
    return first + second + third
