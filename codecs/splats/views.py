"""Splats drawn in a way that can be differentiated, and how much of each the views show.

The renderer of `squeeze3d.render.splats` in PyTorch, for small pictures: where a pixel is larger than those that are
measured, splats are blurred by a pixel and keep what they cover, so that a small picture is the large one scaled down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.backbones.threads import one_thread
from squeeze3d.codecs.splats.gaussians import MIN_ALPHA, Gaussians, to_splats
from squeeze3d.render.camera import Camera
from squeeze3d.render.fragments import fragments
from squeeze3d.render.splats import sh_basis

FULL_ROWS = 512
"""Rows of the pictures that are measured, before they are scaled down to 256."""
_BLUR = 0.3
"""Variance that renderers add, in pixels of those pictures."""
_BOX = 1 / 12
"""Variance of a pixel."""
_MAX_ALPHA = 0.99
_DARK = 1e-4


@dataclass(frozen=True, eq=False)
class Parameters:
    """Tensors that splats are drawn from."""

    centres: Tensor
    """(N, 3)."""
    odds: Tensor
    """(N,) logit of opacity."""
    logs: Tensor
    """(N, 3)."""
    turns: Tensor
    """(N, 4) quaternions of any length."""
    colours: Tensor
    """(N, 3, 1 + K)."""

    @classmethod
    def of(cls, gaussians: Gaussians) -> Parameters:
        """Tensors of some splats."""
        splats = to_splats(gaussians)
        parts = (gaussians.centres, splats.opacity, gaussians.logs, splats.rotations, gaussians.colours)
        return cls(*(torch.as_tensor(np.ascontiguousarray(part), dtype=torch.float32) for part in parts))

    def gaussians(self) -> Gaussians:
        """Inverse of `of`; axes are in order of length again."""
        with torch.no_grad():
            axes = _rotations(self.turns).double().numpy()
            logs = self.logs.double().numpy()
            order = np.argsort(-logs, axis=1, kind="stable")
            axes = np.take_along_axis(axes, order[:, None, :], axis=2)
            axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
            return Gaussians(
                self.centres.double().numpy(),
                torch.sigmoid(self.odds).double().numpy(),
                np.take_along_axis(logs, order, axis=1),
                axes,
                self.colours.double().numpy(),
            )


def drawn(parameters: Parameters, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """A view on white and what it is made of.

    Returns
    -------
    (rows * columns, 3) picture; (F,) splats of its fragments and (F,) the shares of pixels that they have.
    """
    seen = _project(parameters, camera)
    with torch.no_grad():
        reach = torch.sqrt(2 * torch.log(seen.alpha / MIN_ALPHA).clamp_min(0))
        spans = (reach * torch.sqrt(seen.xx), reach * torch.sqrt(seen.yy))
        places = [t.double().numpy() for t in (seen.x, seen.y, *spans)]
    owners, rows, columns = _fragments(places, camera.resolution)
    dx = columns + 0.5 - seen.x[owners]
    dy = rows + 0.5 - seen.y[owners]
    determinant = seen.xx * seen.yy - seen.xy * seen.xy
    a, b, c = seen.yy / determinant / 2, seen.xy / determinant, seen.xx / determinant / 2
    power = (a[owners] * dx - b[owners] * dy) * dx + c[owners] * dy * dy
    alpha = (seen.alpha[owners] * torch.exp(-power)).clamp_max(_MAX_ALPHA)
    pixels = (rows * camera.resolution[1] + columns).long()
    kept = torch.nonzero(alpha.detach() >= MIN_ALPHA)[:, 0]
    order = kept[torch.sort(pixels[kept], stable=True).indices]
    alpha, pixels, owners = alpha[order], pixels[order], owners[order]
    passed = torch.log1p(-alpha).double()
    before = torch.cumsum(passed, 0) - passed
    starts = torch.searchsorted(pixels, pixels)
    light = torch.exp(before - before[starts]).float()
    shares = torch.where(light > _DARK, light * alpha, torch.zeros(()))
    count = camera.resolution[0] * camera.resolution[1]
    colours = (seen.colours[owners] - 1) * shares[:, None]
    picture = torch.ones((count, 3)).index_add(0, pixels, colours)
    return picture.clamp(0, 1), seen.numbers[owners], shares


@dataclass(frozen=True, eq=False)
class _Seen:
    """Splats in front of a camera, near to far."""

    numbers: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor
    alpha: Tensor
    colours: Tensor


def _project(parameters: Parameters, camera: Camera) -> _Seen:
    eye, axes = (torch.as_tensor(part, dtype=torch.float32) for part in (camera.eye, camera.axes))
    with torch.no_grad():
        depth = (parameters.centres - eye) @ axes[2]
        visible = (depth > 1e-3 * depth.abs().max()) & (torch.sigmoid(parameters.odds) >= MIN_ALPHA)
        numbers = torch.nonzero(visible)[:, 0]
        numbers = numbers[torch.sort(depth[numbers], stable=True).indices]
    offset = parameters.centres[numbers] - eye
    view = offset @ axes.T
    height, width = camera.resolution
    half_x, half_y = camera.half_extents
    scale = height / (2 * half_y) / view[:, 2]
    factors = _rotations(parameters.turns[numbers]) * torch.exp(parameters.logs[numbers])[:, None, :]
    right, up, forward = ((axis[None, :, None] * factors).sum(dim=1) for axis in axes)
    tilt_x = (view[:, 0] / view[:, 2]).clamp(-1.3 * half_x, 1.3 * half_x)[:, None]
    tilt_y = (view[:, 1] / view[:, 2]).clamp(-1.3 * half_y, 1.3 * half_y)[:, None]
    first = scale[:, None] * (right - tilt_x * forward)
    second = -scale[:, None] * (up - tilt_y * forward)
    blur = _BLUR * (height / FULL_ROWS) ** 2
    xx, yy = (first * first).sum(dim=1) + blur, (second * second).sum(dim=1) + blur
    xy = (first * second).sum(dim=1)
    sharp = (xx * yy - xy * xy).clamp_min(blur * blur)
    xx, yy = xx + _BOX, yy + _BOX
    share = torch.sqrt(sharp / (xx * yy - xy * xy))
    colours = parameters.colours[numbers]
    shown = colours[:, :, 0]
    if colours.shape[2] > 1:
        direction = (offset / offset.norm(dim=1, keepdim=True)).detach().double().numpy()
        basis = torch.as_tensor(sh_basis(direction, colours.shape[2])[:, 1:], dtype=torch.float32)
        shown = shown + (colours[:, :, 1:] * basis[:, None, :]).sum(dim=2)
    return _Seen(
        numbers=numbers,
        x=width / 2 + scale * view[:, 0],
        y=height / 2 - scale * view[:, 1],
        xx=xx,
        xy=xy,
        yy=yy,
        alpha=torch.sigmoid(parameters.odds[numbers]) * share,
        colours=shown.clamp_min(0),
    )


def _fragments(places: list[NDArray[np.float64]], resolution: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    x, y, reach_x, reach_y = places
    parts = [(part.owners, part.rows, part.columns) for part in fragments(x, y, reach_x, reach_y, resolution)]
    if not parts:
        return tuple(torch.zeros(0, dtype=torch.long) for _ in range(3))  # type: ignore[return-value]
    owners, rows, columns = (torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True))
    return owners, rows, columns


def _rotations(quaternions: Tensor) -> Tensor:
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=1).T
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    return torch.stack(rows, dim=1)


class Views:
    """Pictures of an original, drawn when they are first asked for."""

    def __init__(self, original: Gaussians, cameras: tuple[Camera, ...]) -> None:
        self.cameras = cameras
        self._original = Parameters.of(original)
        self._pictures: dict[int, Tensor] = {}

    def picture(self, view: int) -> Tensor:
        """(rows * columns, 3) one of them."""
        if view not in self._pictures:
            with torch.no_grad(), one_thread():
                self._pictures[view] = drawn(self._original, self.cameras[view])[0]
        return self._pictures[view]

    def error(self, gaussians: Gaussians) -> float:
        """Mean squared error of a channel in [0, 1], over all views."""
        return _distance(self._drawn(gaussians), [self.picture(view) for view in range(len(self.cameras))])

    def difference(self, one: Gaussians, other: Gaussians) -> float:
        """Mean squared difference between two that are not the original."""
        return _distance(self._drawn(one), self._drawn(other))

    def shares(self) -> NDArray[np.float64]:
        """(N,) pixels that each splat of the original fills, over some of the views."""
        total = torch.zeros(len(self._original.odds), dtype=torch.float64)
        with torch.no_grad(), one_thread():
            for camera in self.cameras[::SHARED]:
                _, owners, shares = drawn(self._original, camera)
                total.index_add_(0, owners, shares.double())
        return total.numpy()

    def _drawn(self, gaussians: Gaussians) -> list[Tensor]:
        with torch.no_grad(), one_thread():
            parameters = Parameters.of(gaussians)
            return [drawn(parameters, camera)[0] for camera in self.cameras]


SHARED = 4
"""One of so many views tells how much is seen of each splat."""


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    return float(np.mean([float(((a - b) ** 2).mean()) for a, b in zip(one, other, strict=True)]))
