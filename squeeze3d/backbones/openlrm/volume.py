"""Volume rendering of planes: light along rays, differentiable with respect to the planes."""

from __future__ import annotations

import torch
from torch import Tensor

from squeeze3d.backbones.openlrm.cameras import cube_limits
from squeeze3d.backbones.openlrm.decoder import PlaneDecoder, density_of

OUTSIDE = torch.finfo(torch.float32).min / 8
"""Raw density of a sample outside of the cube: none."""
_EPSILON = 1e-10


def march(
    depths: Tensor, colours: Tensor, raw: Tensor, background: Tensor | float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (..., C), depth (..., 1) and weights (..., S - 1, 1) of rays.

    Colours and raw densities are averaged over the ends of each segment before they are used.

    Parameters
    ----------
    depths : (..., S, 1) distances of the samples, ascending.
    colours : (..., S, C).
    raw : (..., S, 1) densities before `density_of`.
    background : colour behind everything.
    """
    length = depths[..., 1:, :] - depths[..., :-1, :]
    colour, density, depth = ((each[..., 1:, :] + each[..., :-1, :]) / 2 for each in (colours, raw, depths))
    opacity = 1 - torch.exp(-density_of(density) * length)
    passed = torch.cumprod(1 - opacity + _EPSILON, dim=-2)
    weights = opacity * torch.cat([torch.ones_like(passed[..., :1, :]), passed[..., :-1, :]], dim=-2)
    total = weights.sum(dim=-2)
    seen = (weights * colour).sum(dim=-2) + background * (1 - total)
    # A ray that meets nothing has no depth: it ends with the last sample.
    found = torch.nan_to_num((weights * depth).sum(dim=-2) / total, nan=torch.inf)
    return seen, found.clamp(depths.min(), depths.max()), weights


def render_rays(
    decoder: PlaneDecoder,
    planes: Tensor,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    *,
    background: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Colours (R, 3), sRGB, and opacities (R, 1) of rays (R, 3) through planes (3, C, H, W).

    Samples are evenly spaced between the entry into the cube and the exit: the published renderer adds random places,
    even when it is not trained.
    """
    near, far = cube_limits(origins, directions)
    share = (torch.arange(samples, device=planes.device) + 0.5) / samples
    depths = (near[:, None] + (far - near)[:, None] * share)[..., None]
    points = origins[:, None] + directions[:, None] * depths
    raw, colours = decoder(planes[None], points.flatten(0, 1)[None])
    inside = (points.abs() <= 1).all(dim=-1, keepdim=True)
    raw = torch.where(inside, raw.view(*points.shape[:2], 1), OUTSIDE)
    colours = torch.where(inside, colours.view(*points.shape[:2], 3), 0.0)
    seen, _, weights = march(depths, colours, raw, background)
    return seen, weights.sum(dim=-2)
