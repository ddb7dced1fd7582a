"""Points to the feature of PointNet++. State dictionaries have the keys of the published file.

```text
points (B, 3, N) ─► farthest points ─► centres ─┐
                                                ├─► within the radius ─► place less centre, features ─► 1x1 convolutions
features (B, C, N) ─────────────────────────────┘                                                       └─► maximum
```
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.backbones.point_sets import farthest_points, first_inside, gather

FEATURE = 1024
"""Numbers of a feature."""
CLASSES = 40
_EPSILON = 1e-5


def ball_query(centres: Tensor, points: Tensor, radius: float, count: int) -> Tensor:
    """(B, S, count) indices of (B, 3, N) points no farther than a radius from (B, 3, S) centres, the lowest first.

    Squared distances are those of the expanded formula: near the sphere, another one puts other points inside.
    """
    squared = -2 * (centres.transpose(1, 2) @ points)
    squared = squared + centres.square().sum(dim=1)[:, :, None] + points.square().sum(dim=1)[:, None]
    return first_inside(squared <= radius**2, count)


class FrozenNorm(nn.Module):
    """Batch normalisation with the statistics of training."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) of the same shape."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=_EPSILON)


class SetAbstraction(nn.Module):
    """Groups of points to one feature each; without a radius, all points are one group."""

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        *,
        centres: int = 1,
        radius: float | None = None,
        neighbours: int = 0,
    ) -> None:
        """`channels` of the features that come beside the places."""
        super().__init__()
        self.centres, self.radius, self.neighbours = centres, radius, neighbours
        inputs = [3 + channels, *widths[:-1]]
        self.mlp_convs = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(inputs, widths, strict=True))
        self.mlp_bns = nn.ModuleList(FrozenNorm(width) for width in widths)

    def forward(self, points: Tensor, features: Tensor | None, first: int = 0) -> tuple[Tensor, Tensor]:
        """Centres (B, 3, S) and features (B, C', S) of (B, 3, N) points with features (B, C, N).

        `first` is where farthest point sampling starts.
        """
        centres, grouped = self._groups(points, features, first)
        for convolution, norm in zip(self.mlp_convs, self.mlp_bns, strict=True):
            grouped = functional.relu(norm(convolution(grouped)))
        return centres, grouped.amax(dim=-1)

    def _groups(self, points: Tensor, features: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
        """Centres, and groups (B, 3 + C, S, K)."""
        if self.radius is None:
            together = points if features is None else torch.cat([points, features], dim=1)
            return torch.zeros_like(points[:, :, :1]), together[:, :, None]
        centres = gather(points, farthest_points(points.transpose(1, 2), self.centres, first))
        index = ball_query(centres, points, self.radius, self.neighbours)
        relative = gather(points, index) - centres[..., None]
        return centres, relative if features is None else torch.cat([relative, gather(features, index)], dim=1)


class PointNet2(nn.Module):
    """The published classifier up to its feature. In evaluation mode, always."""

    def __init__(self, *, whole: bool = False) -> None:
        """`whole` adds the layers that tell classes, which the feature does not need."""
        super().__init__()
        self.sa1 = SetAbstraction(0, (64, 64, 128), centres=512, radius=0.2, neighbours=32)
        self.sa2 = SetAbstraction(128, (128, 128, 256), centres=128, radius=0.4, neighbours=64)
        self.sa3 = SetAbstraction(256, (256, 512, FEATURE))
        if whole:
            self.fc1, self.bn1 = nn.Linear(FEATURE, 512), FrozenNorm(512)
            self.fc2, self.bn2 = nn.Linear(512, 256), FrozenNorm(256)
            self.fc3 = nn.Linear(256, CLASSES)

    def forward(self, points: Tensor, first: int = 0) -> Tensor:
        """(B, N, 3) points on the unit sphere's scale to (B, 1024), none negative.

        `first` is where farthest point sampling starts, on both levels.
        """
        centres, features = self.sa1(points.transpose(1, 2), None, first)
        centres, features = self.sa2(centres, features, first)
        _, features = self.sa3(centres, features)
        found: Tensor = features[:, :, 0]
        return found

    def classes(self, feature: Tensor) -> Tensor:
        """(B, 40) logarithms of probabilities of a feature (B, 1024). Only of a `whole` network."""
        hidden = functional.relu(self.bn1(self.fc1(feature)))
        hidden = functional.relu(self.bn2(self.fc2(hidden)))
        return functional.log_softmax(self.fc3(hidden), dim=-1)
