"""Targets made learnable: standardised latents, and weights for triplanes that follow the surface.

The latents of reconstruction models were not made to be predicted. Their channels differ widely in scale, and planes
hold strong noise where there is no surface (Wizadwongsa et al., "Taming Feed-forward Reconstruction Models as Latent
Encoders for 3D Generative Models", 2025). So channels are standardised over the data set, and cells onto which the
surface projects count more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, InputError

PLANES = ((0, 1), (0, 2), (2, 1))
"""Axes of the points along the width and the height of each plane, as InstantMesh and OpenLRM sample them."""
BACKGROUND = 0.1
"""Weight of a cell without surface, relative to one with."""
MARGIN = 1
"""Cells around the surface that count as surface: bilinear sampling reads neighbours."""

_SMALLEST_DEVIATION = 1e-6
_KEYS = ("standardiser.mean", "standardiser.std")


@dataclass(frozen=True)
class LatentStandardiser:
    """Mean and standard deviation of generator latents over a data set, one pair of numbers for each channel.

    Both tensors broadcast to the latent's shape, such as (3, C, 1, 1) for triplanes.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def standardise(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (B, *shape) with zero mean and unit variance in each channel over the data set."""
        return (latents - self.mean.to(latents)) / self.std.to(latents)

    def restore(self, latents: torch.Tensor) -> torch.Tensor:
        """Inverse of `standardise`."""
        return latents * self.std.to(latents) + self.mean.to(latents)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return dict(zip(_KEYS, (self.mean, self.std), strict=True))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> LatentStandardiser:
        """Inverse of `tensors`. Raises FormatError if one is missing, not finite or not a scale."""
        for key in _KEYS:
            if key not in tensors or not torch.isfinite(tensors[key]).all():
                raise FormatError(f"the standardiser's `{key}` is missing or not finite")
        mean, std = (tensors[key].to(torch.float32) for key in _KEYS)
        if mean.shape != std.shape or not (std > 0).all():
            raise FormatError("the standardiser's deviations are not positive, or not as many as its means")
        return cls(mean, std)


class StandardiserFit:
    """Gathers a `LatentStandardiser` batch by batch, in float64.

    Parameters
    ----------
    shape : of one latent.
    channel_axes : axes of the latent that keep statistics of their own. Default: plane and channel of (3, C, H, W)
        triplanes, the channel of other grids, each element of a vector.
    """

    def __init__(self, shape: Sequence[int], channel_axes: Sequence[int] | None = None) -> None:
        if channel_axes is None:
            channel_axes = (0, 1) if len(shape) == 4 and shape[0] == 3 else (0,)
        self._pooled = [0] + [axis + 1 for axis in range(len(shape)) if axis not in channel_axes]
        kept = [size if axis in channel_axes else 1 for axis, size in enumerate(shape)]
        self._count = 0
        self._mean = torch.zeros(kept, dtype=torch.float64)
        self._squares = torch.zeros(kept, dtype=torch.float64)

    def update(self, latents: torch.Tensor) -> None:
        """Take in latents (B, *shape)."""
        values = latents.detach().to("cpu", torch.float64)
        count = values.numel() // self._mean.numel()
        if count == 0:
            return
        # Chan's rule for merging means and sums of squares: no cancellation, whatever the offset of the data.
        mean = values.mean(dim=self._pooled, keepdim=True)
        squares = (values - mean).square().sum(dim=self._pooled, keepdim=True)[0]
        shift = mean[0] - self._mean
        total = self._count + count
        self._squares += squares + shift.square() * (self._count * count / total)
        self._mean += shift * (count / total)
        self._count = total

    def finish(self) -> LatentStandardiser:
        """Statistics of everything taken in. A channel that never changes keeps a deviation of 1e-6.

        Raises InputError if there was nothing, or it was not finite.
        """
        if self._count == 0:
            raise InputError("no latents to take means and deviations of")
        std = (self._squares / self._count).sqrt().clamp(min=_SMALLEST_DEVIATION)
        if not (torch.isfinite(self._mean).all() and torch.isfinite(std).all()):
            raise InputError("latents of the data set are not finite")
        return LatentStandardiser(self._mean.float(), std.float())


def surface_cells(
    points: NDArray[np.floating],
    resolution: tuple[int, int],
    half_extent: float,
    *,
    planes: Sequence[tuple[int, int]] = PLANES,
) -> NDArray[np.bool_]:
    """(planes, H, W) cells of triplanes that a point falls into.

    A point p falls into column floor((p_w / half_extent + 1) W / 2) and row floor((p_h / half_extent + 1) H / 2) of a
    plane that shows the axes w and h.

    Parameters
    ----------
    points : (N, 3) samples of the surface, enough to leave no holes. Those outside of the box are left out.
    resolution : (H, W).
    half_extent : half the side of the cube that the planes span.

    Raises InputError if no point is inside of the box.
    """
    height, width = resolution
    scaled = np.asarray(points, dtype=np.float64) / half_extent
    scaled = scaled[(np.abs(scaled) <= 1).all(axis=1)]
    if not len(scaled):
        raise InputError("no point of the surface is inside of the box that the planes span")
    hit = np.zeros((len(planes), height, width), dtype=np.bool_)
    for plane, (along_width, along_height) in enumerate(planes):
        columns = np.minimum(((scaled[:, along_width] + 1) * (width / 2)).astype(np.int64), width - 1)
        rows = np.minimum(((scaled[:, along_height] + 1) * (height / 2)).astype(np.int64), height - 1)
        hit[plane, rows, columns] = True
    return hit


def cell_weights(cells: torch.Tensor, *, background: float = BACKGROUND, margin: int = MARGIN) -> torch.Tensor:
    """Weights (B, planes, 1, H, W) of cells (B, planes, H, W), mean 1 in each sample, for `reconstruction_loss`.

    Before the mean is made 1, a cell weighs 1 if it is set or at most `margin` rows and columns away from one that is,
    else `background`. A sample without any set cell weighs 1 everywhere.
    """
    near = torch.nn.functional.max_pool2d((cells != 0).float(), 2 * margin + 1, stride=1, padding=margin)
    weights = background + (1 - background) * near
    mean = weights.mean(dim=(1, 2, 3), keepdim=True)
    # Without any set cell and with a background of 0 there is no mean to divide by.
    return torch.where(mean > 0, weights / mean, torch.ones_like(weights))[:, :, None]


def surface_weights(
    points: NDArray[np.floating],
    resolution: tuple[int, int],
    half_extent: float,
    *,
    planes: Sequence[tuple[int, int]] = PLANES,
    background: float = BACKGROUND,
    margin: int = MARGIN,
) -> torch.Tensor:
    """Weights (planes, 1, H, W) of one asset: `cell_weights` of its `surface_cells`, which say the rest."""
    cells = torch.from_numpy(surface_cells(points, resolution, half_extent, planes=planes))
    return cell_weights(cells[None], background=background, margin=margin)[0]
