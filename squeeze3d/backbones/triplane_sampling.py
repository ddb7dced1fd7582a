"""Looking up triplanes: three planes of features that span the cube [-1, 1]^3, and networks that read them.

```text
                ┌► plane 0 at (x, y) ┐
point (x, y, z) ┼► plane 1 at (x, z) ┼► features, plane by plane ─► linear ─► ReLU ─► ... ─► linear ─► values
                └► plane 2 at (z, y) ┘
```

Lookup is bilinear. Cells are centred, so that the outermost centres lie half a cell inside of the cube; beyond them
values fade to zero, and stay zero from half a cell outside of it.

Lookup and the first linear layer are both linear, so they may change places: planes that are multiplied by the layer
once (`folded`) are looked up and added. On a lattice there is more to gain. Each plane sees n^2 places of an n^3
lattice, and what is left to do for a point is to add three rows (`lattice_planes`). For 48 channels this takes a
384^3 lattice of a network with four layers from ten minutes to below one on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.mapping.triplanes import PLANES

_CPU_BLOCK, _BLOCK = 1 << 13, 1 << 17
"""Points of a lattice that go through the layers at once: on a CPU as many as stay in its caches, and elsewhere."""


def sample_planes(planes: Tensor, points: Tensor) -> Tensor:
    """Features (B, N, 3 C) of points (B, N, 3) in planes (B, 3, C, H, W): those of plane 0, of plane 1, of plane 2."""
    return _looked_up(planes, points).flatten(1, 2).transpose(1, 2)


def folded(planes: Tensor, weight: Tensor) -> Tensor:
    """Planes (B, 3, O, H, W) whose sum at a point (`sample_sum`) is what a linear layer makes of the point's features.

    Parameters
    ----------
    planes : (B, 3, C, H, W).
    weight : (O, 3 C) of the layer, whose bias is left out.
    """
    return torch.einsum("opc,bpchw->bpohw", weight.unflatten(1, (3, -1)), planes)


def sample_sum(planes: Tensor, points: Tensor) -> Tensor:
    """(B, N, O) sums over the planes of what points (B, N, 3) find in planes (B, 3, O, H, W)."""
    return _looked_up(planes, points).sum(dim=1).transpose(1, 2)


def _looked_up(planes: Tensor, points: Tensor) -> Tensor:
    """(B, 3, C, N)."""
    places = torch.stack([points[..., axes] for axes in PLANES], dim=1)
    found = functional.grid_sample(
        planes.flatten(0, 1), places.flatten(0, 1)[:, None], mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return found[:, :, 0].unflatten(0, planes.shape[:2])


def lattice_planes(planes: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the points of a lattice find: `xy`, `xz` and `yz`, each (n, n, C).

    Point (i, j, k) finds xy[i, j] in plane 0, xz[i, k] in plane 1 and yz[j, k] in plane 2.

    Parameters
    ----------
    planes : (3, C, H, W).
    places : (n,) coordinates of the lattice along every axis.
    """
    _, _, height, width = planes.shape
    rows, columns = interpolation(places, height), interpolation(places, width)
    # The first letter of each result is the axis that comes first in (x, y, z): plane 2 is (z, y), the others (x, ...).
    xy, xz = torch.einsum("ah,pchw,bw->pbac", rows, planes[:2], columns).unbind()
    return xy, xz, torch.einsum("ah,chw,bw->abc", rows, planes[2], columns)


def interpolation(places: Tensor, size: int) -> Tensor:
    """(n, size) weights of the cells along a side of a plane for coordinates (n,), where the plane spans -1 to 1."""
    cell = ((places + 1) * size - 1) / 2
    return (1 - (cell[:, None] - torch.arange(size, device=places.device)).abs()).clamp(min=0)


def lattice_values(planes: Tensor, layers: Sequence[nn.Linear], places: Tensor, *, channel: int = 0) -> Tensor:
    """(n, n, n) values, on the CPU, that a network finds at the points of a lattice, indexed [x, y, z].

    Without gradients. Memory: the result, three planes of n^2 rows, and a block of rows for each thread. The values are
    the same for any number of threads.

    Parameters
    ----------
    planes : (3, C, H, W).
    layers : linear layers with a ReLU between each two; the first reads 3 C features, plane by plane.
    places : (n,) coordinates of the lattice along every axis.
    channel : number of the last layer's output that is wanted.
    """
    count, on_cpu = len(places), planes.device.type == "cpu"
    values = torch.empty((count, count, count))
    rows = max(1, (_CPU_BLOCK if on_cpu else _BLOCK) // count)
    first, *middle, last = layers
    with torch.no_grad():
        xy, xz, yz = lattice_planes(folded(planes[None], first.weight)[0], places)
        xz = xz + first.bias
        weight, bias = last.weight[channel], last.bias[channel]

    def fill(i: int) -> None:
        with torch.no_grad():  # which holds for one thread only
            for start in range(0, count, rows):
                part = slice(start, start + rows)
                hidden = (yz[part] + xz[i]).add_(xy[i, part, None]).relu_().flatten(0, 1)
                for layer in middle:
                    hidden = layer(hidden).relu_()
                values[i, part] = torch.addmv(bias, hidden, weight).view(-1, count)

    _run(fill, count, torch.get_num_threads() if on_cpu else 1)
    return values


def _run(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call `work` with 0 to count - 1, on so many threads.

    Torch's own threads meet after every layer of every block, and wait for each other actively: where another program
    takes one of two cores, that is seven times as slow as one thread. These do not wait.
    """
    if threads == 1:
        for i in range(count):
            work(i)
        return
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in pool.map(work, range(count)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
