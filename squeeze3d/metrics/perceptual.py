"""Image metrics modelled on human vision, by the reference implementations of their authors: FLIP and LPIPS.

Both lean on packages or weights that a machine may lack. Where one is missing, the result is `Unavailable` with the
reason. Nothing is downloaded, and no other metric takes the place.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import UsageError
from squeeze3d.metrics.results import Unavailable, ViewScores
from squeeze3d.metrics.views import Views, check_views, unit_floats

PIXELS_PER_DEGREE = 0.7 * 3840 / 0.7 * math.pi / 180
"""FLIP's standard viewing condition: a 4K screen 0.7 m wide, seen from 0.7 m; 67.02 pixels per degree."""
FILTER_DEGREES = 0.14
"""Radius of FLIP's widest filter, that of blue and yellow: three deviations of sqrt(0.04 / 2) / pi degrees."""
ALEXNET_WEIGHTS = "alexnet-owt-7be5be79.pth"
"""File in torch's cache that LPIPS needs. The last part of the name starts the SHA-256 of its content."""
LPIPS_SMALLEST = 31
"""Pixels a side below which AlexNet has no output."""


def flip(reference: Views, test: Views, *, pixels_per_degree: float = PIXELS_PER_DEGREE) -> ViewScores | Unavailable:
    """LDR-FLIP, in [0, 1]; 0 means that no difference is seen when flipping between the two. Lower is better.

    Andersson et al., "FLIP: A Difference Evaluator for Alternating Images" (2020), by the package `flip-evaluator`.
    A view scores the mean of its error map; `value` is the mean of `views`.

    `pixels_per_degree` states how the picture is viewed: fewer pixels per degree (larger or nearer) show more errors.
    """
    reference, test = check_views(reference, test)
    if not (math.isfinite(pixels_per_degree) and pixels_per_degree > 0):
        raise UsageError(f"pixels per degree must be positive, not {pixels_per_degree}")
    try:
        evaluate = importlib.import_module("flip_evaluator").evaluate
    except Exception as error:  # A broken binary may raise anything.
        return Unavailable(f"flip-evaluator cannot be loaded: {_line(error)}", "pip install flip-evaluator")
    settings = {"ppd": float(pixels_per_degree)}

    def score(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        part, share = _differing(a, b, math.ceil(2 * FILTER_DEGREES * pixels_per_degree))
        if not share:
            return 0.0
        found = evaluate(_pixels(a[part]), _pixels(b[part]), "LDR", applyMagma=False, parameters=dict(settings))
        return share * float(found[1])

    views = tuple(score(a, b) for a, b in zip(reference, test, strict=True))
    return ViewScores(math.fsum(views) / len(views), views)


def _differing(a: NDArray[np.float32], b: NDArray[np.float32], margin: int) -> tuple[tuple[slice, slice], float]:
    """Rectangle around all pixels that differ, and its share of the image.

    Pixels further away than two filters' reach see the same and have no error: the mean over the image is that over the
    rectangle times its share.
    """
    differs = (a != b).any(axis=2)
    rectangle = []
    for axis in (1, 0):
        found = np.flatnonzero(differs.any(axis=axis))
        if not len(found):
            return (slice(0), slice(0)), 0.0
        rectangle.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + margin + 1))
    part = rectangle[0], rectangle[1]
    return part, differs[part].size / differs.size


def lpips(reference: Views, test: Views) -> ViewScores | Unavailable:
    """LPIPS with AlexNet features, version 0.1; 0 for equal views, about 1 for unrelated ones. Lower is better.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), by the package
    `lpips` or, if that cannot be used, by torchmetrics, whose network and weights are the same. Inputs are scaled to
    [-1, 1]; `value` is the mean of `views`. These are the settings of the Squeeze3D paper.

    The AlexNet weights must be in torch's cache already; their checksum is verified.
    """
    reference, test = check_views(reference, test)
    if min(reference.shape[1:3]) < LPIPS_SMALLEST:
        height, width = reference.shape[1:3]
        raise UsageError(f"views of {width} x {height} pixels are too small: LPIPS needs {LPIPS_SMALLEST} a side")
    network = load_lpips()
    if isinstance(network, Unavailable):
        return network
    views = tuple(network(_pixels(a), _pixels(b)) for a, b in zip(reference, test, strict=True))
    return ViewScores(math.fsum(views) / len(views), views)


def load_lpips() -> LpipsNetwork | Unavailable:
    """A function from two (H, W, 3) float32 images in [0, 1] to their LPIPS, or why there is none.

    Cheap while something is missing: torch is imported only when packages and weights are in place.
    """
    candidates = [b for b in _BACKENDS if _installed(b.package) and _installed("torchvision")]
    if not candidates:
        missing = "torchvision" if any(_installed(b.package) for b in _BACKENDS) else "lpips"
        return Unavailable(f"the package {missing} is not installed", "pip install 'squeeze3d[lpips]'")
    weights = torch_checkpoints() / ALEXNET_WEIGHTS
    hint = (
        "once, online: python -c \"from torchvision.models import alexnet; alexnet(weights='IMAGENET1K_V1')\"; "
        f"or copy https://download.pytorch.org/models/{ALEXNET_WEIGHTS} there"
    )
    if not weights.is_file():
        return Unavailable(f"the AlexNet weights are not in the cache: {weights} does not exist", hint)
    if not _intact(weights, weights.stat().st_mtime_ns):
        return Unavailable(f"the AlexNet weights in {weights} are damaged (wrong checksum)", f"delete it; {hint}")
    reasons = []
    for backend in candidates:
        try:
            return backend.build()
        except Exception as error:  # Mismatched torch and torchvision builds raise RuntimeError on import.
            reasons.append(f"{backend.package} cannot be loaded: {_line(error)}")
    return Unavailable("; ".join(reasons), "pip install --force-reinstall 'squeeze3d[lpips]'")


def torch_checkpoints() -> Path:
    """Folder in which torch keeps downloaded weights; found without importing torch."""
    hub = getattr(sys.modules.get("torch"), "hub", None)
    if hub is not None:
        return Path(hub.get_dir()) / "checkpoints"
    cache_home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache_home, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


LpipsNetwork = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


class _Lpips:
    """The authors' package."""

    package = "lpips"

    @staticmethod
    @cache
    def build() -> LpipsNetwork:
        module = importlib.import_module("lpips")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It uses an old spelling of torchvision's options.
            network = module.LPIPS(net="alex", version="0.1", verbose=False)
        return lambda a, b: _run(lambda x, y: network(x, y, normalize=True), a, b)


class _Torchmetrics:
    """torchmetrics' copy of it."""

    package = "torchmetrics"

    @staticmethod
    @cache
    def build() -> LpipsNetwork:
        module = importlib.import_module("torchmetrics.image.lpip")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = module.LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
        return lambda a, b: _run(network, a, b)


_BACKENDS = (_Lpips, _Torchmetrics)


def _run(network: Callable[[Any, Any], Any], a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    import torch

    with torch.inference_mode():
        x, y = (torch.from_numpy(np.ascontiguousarray(i.transpose(2, 0, 1)))[None] for i in (a, b))
        return float(network(x, y))


def _installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


@cache
def _intact(path: Path, changed: int) -> bool:
    """Whether a file's SHA-256 starts as its name says. `changed` makes a replaced file count as a new one."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest.startswith(path.stem.rsplit("-", 1)[1])


def _pixels(view: Views) -> NDArray[np.float32]:
    return np.ascontiguousarray(unit_floats(view), dtype=np.float32)


def _line(error: Exception) -> str:
    """First line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
