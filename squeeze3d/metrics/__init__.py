"""Metrics: how much two assets differ, in pictures, as surfaces, as point clouds.

Names are resolved on first use, so importing the package costs nothing. A metric that needs something this machine
lacks returns `Unavailable` with the reason; it is never skipped or replaced.

| module | metrics |
|---|---|
| `image` | PSNR, object-masked PSNR, silhouette overlap |
| `similarity` | SSIM, MS-SSIM |
| `perceptual` | FLIP, LPIPS |
| `surface` | chamfer, Hausdorff, F-score, normal consistency, all of them on visible parts too |
| `points` | D1, D2, colour PSNR |
| `pcqm`, `pointssim` | PCQM, PointSSIM; import these functions from the modules, whose names they share |
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from squeeze3d.metrics.image import masked_psnr, paper_psnr, psnr, silhouette_iou
    from squeeze3d.metrics.perceptual import flip, lpips
    from squeeze3d.metrics.points import compare_points
    from squeeze3d.metrics.results import SsimScores, Unavailable, ViewScores
    from squeeze3d.metrics.similarity import ms_ssim, paper_ms_ssim, scale_count, ssim
    from squeeze3d.metrics.surface import (
        Chamfer,
        FScore,
        Hausdorff,
        NormalConsistency,
        SurfaceDistances,
        SurfaceScores,
        chamfer,
        f_score,
        hausdorff,
        measure,
        normal_consistency,
        surface_scores,
        visible,
    )

# No name here may be a module's too: importing that module would hide it.
_HOMES = {
    "squeeze3d.metrics.image": ("masked_psnr", "paper_psnr", "psnr", "silhouette_iou"),
    "squeeze3d.metrics.perceptual": ("flip", "lpips"),
    "squeeze3d.metrics.points": ("compare_points",),
    "squeeze3d.metrics.results": ("SsimScores", "Unavailable", "ViewScores"),
    "squeeze3d.metrics.similarity": ("ms_ssim", "paper_ms_ssim", "scale_count", "ssim"),
    "squeeze3d.metrics.surface": (
        "Chamfer",
        "FScore",
        "Hausdorff",
        "NormalConsistency",
        "SurfaceDistances",
        "SurfaceScores",
        "chamfer",
        "f_score",
        "hausdorff",
        "measure",
        "normal_consistency",
        "surface_scores",
        "visible",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Chamfer",
    "FScore",
    "Hausdorff",
    "NormalConsistency",
    "SsimScores",
    "SurfaceDistances",
    "SurfaceScores",
    "Unavailable",
    "ViewScores",
    "chamfer",
    "compare_points",
    "f_score",
    "flip",
    "hausdorff",
    "lpips",
    "masked_psnr",
    "measure",
    "ms_ssim",
    "normal_consistency",
    "paper_ms_ssim",
    "paper_psnr",
    "psnr",
    "scale_count",
    "silhouette_iou",
    "ssim",
    "surface_scores",
    "visible",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'squeeze3d.metrics' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
