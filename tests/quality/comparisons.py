"""Comparisons without the slow figures, from few and small views."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.assets import Asset, Mesh, PointCloud, RadianceField, Splats
from squeeze3d.codecs.spec import Kind
from squeeze3d.metrics.results import Unavailable
from squeeze3d.quality import report
from squeeze3d.quality.measure import Reference
from squeeze3d.quality.report import Comparison, Figure, Side


def quick(
    original: Asset,
    other: Asset,
    *,
    names: tuple[str, str] = ("a.glb", "b.sq3"),
    resolution: int = 64,
    codec: str = "mesh.surface",
) -> Comparison:
    """What sheet and page take, with two figures."""
    reference = Reference(original, resolution=resolution, supersample=1)
    views = reference.render(other)
    measured = reference.compare(views, other)
    figures = (
        Figure("psnr", "PSNR", "Difference.", measured.psnr, float("inf"), "dB", 2),
        Figure("lpips", "LPIPS", "Difference.", Unavailable("no <weights>", "fetch them"), 0.0),
    )
    first, second = Side(names[0], original, 30_000), Side(names[1], other, 1_000, codec)
    return Comparison(first, second, Kind.of(original), reference, views, measured, figures)


def small_views(patch: pytest.MonkeyPatch) -> None:
    """Make `compare` use small views, which are many times as fast."""
    patch.setattr(report, "Reference", partial(Reference, resolution=64, supersample=1))


def moved(asset: Asset, amount: float = 0.02) -> Asset:
    """An asset a little worse than the given one."""
    if isinstance(asset, RadianceField):
        grid = asset.rgbsigma.copy()
        grid[..., :3] = np.clip(grid[..., :3] - 5 * amount, 0, 1)
        return replace(asset, rgbsigma=grid)
    numbers = random(3)

    def noisy(positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        step = amount * np.ptp(positions, axis=0).max()
        return (positions + step * numbers.uniform(-1, 1, positions.shape)).astype(np.float32)

    if isinstance(asset, Mesh):
        return replace(asset, primitives=tuple(replace(p, positions=noisy(p.positions)) for p in asset.primitives))
    assert isinstance(asset, PointCloud | Splats)
    return replace(asset, positions=noisy(asset.positions))
