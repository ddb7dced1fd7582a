"""Image metrics that compare pixel by pixel: PSNR, PSNR on the object, silhouette overlap.

Views are sRGB-encoded, so that errors count about as much as an eye sees them, and the three colour channels count
alike. The peak is 1 (255 for 8-bit values). Peak signal-to-noise ratio follows

    PSNR = 10 log10(1 / MSE),   MSE = mean of (reference - test)^2 over pixels and channels,

in dB, and is infinite where nothing differs.
"""

from __future__ import annotations

import math

import numpy as np

from squeeze3d.errors import UsageError
from squeeze3d.metrics.results import ViewScores
from squeeze3d.metrics.views import Masks, Views, check_masks, check_views, unit_floats


def psnr(reference: Views, test: Views) -> ViewScores:
    """PSNR of all views.

    `value` pools: it is the PSNR of the mean squared error over the pixels of all views, as if they were one picture,
    so one bad view cannot hide behind many good ones. It is never more than the mean of `views`.
    """
    reference, test = check_views(reference, test)
    errors = [_mse(a, b) for a, b in zip(reference, test, strict=True)]
    return ViewScores(_decibels(math.fsum(errors) / len(errors)), tuple(_decibels(e) for e in errors))


def masked_psnr(reference: Views, test: Views, reference_mask: Masks, test_mask: Masks) -> ViewScores:
    """PSNR over the pixels where either silhouette shows the object.

    A plain PSNR rises with the share of empty background; this one does not. A pixel that only one of the two objects
    covers counts with the difference between object and background. `value` pools pixels as in `psnr`: a view in which
    the object covers more pixels weighs more. A view in which neither shows the object has no difference: infinite.
    """
    reference, test = check_views(reference, test)
    reference_mask, test_mask = check_masks(reference_mask, test_mask)
    if reference_mask.shape != reference.shape[:3]:
        raise UsageError(f"masks have shape {reference_mask.shape}, views {reference.shape}; sizes must agree")
    totals, counts = [], []
    for a, b, m, n in zip(reference, test, reference_mask, test_mask, strict=True):
        union = m | n
        totals.append(float(np.square(unit_floats(a[union]) - unit_floats(b[union])).sum()))
        counts.append(3 * int(np.count_nonzero(union)))
    views = tuple(_decibels(total / max(count, 1)) for total, count in zip(totals, counts, strict=True))
    return ViewScores(_decibels(math.fsum(totals) / max(sum(counts), 1)), views)


def paper_psnr(reference: Views, test: Views) -> ViewScores:
    """PSNR by the settings behind the mesh table of the Squeeze3D paper, for comparison with it only.

    Its code leaves the data range to torchmetrics, which takes max(reference) - min(reference) of each view instead
    of 1, averages decibels over views, and drops views without a finite PSNR. The result is lower than `psnr` for
    renderings that lack black or white. `views` keeps the values that the mean drops. If all views are dropped,
    `value` is infinite when they are identical and NaN otherwise (every reference view is of one colour).

    Its MS-SSIM is `similarity.paper_ms_ssim`, its LPIPS is `perceptual.lpips`; for radiance fields, its PSNR is the
    mean of `psnr(...).views`.
    """
    reference, test = check_views(reference, test)
    views = []
    for a, b in zip(reference, test, strict=True):
        span, error = float(np.ptp(unit_floats(a))), _mse(a, b)
        if error == 0:
            views.append(math.inf)
        else:
            views.append(10 * math.log10(span**2 / error) if span > 0 else -math.inf)
    finite = [v for v in views if math.isfinite(v)]
    if finite:
        value = math.fsum(finite) / len(finite)
    else:
        value = math.inf if min(views) == math.inf else math.nan
    return ViewScores(value, tuple(views))


def silhouette_iou(reference_mask: Masks, test_mask: Masks) -> ViewScores:
    """Intersection over union of silhouettes, in [0, 1].

    `value` pools: the pixels in both silhouettes, over all views, divided by the pixels in either. Two empty
    silhouettes agree: 1.
    """
    first, second = check_masks(reference_mask, test_mask)
    both = np.count_nonzero(first & second, axis=(1, 2))
    either = np.count_nonzero(first | second, axis=(1, 2))
    views = tuple(_share(int(b), int(e)) for b, e in zip(both, either, strict=True))
    return ViewScores(_share(int(both.sum()), int(either.sum())), views)


def _mse(a: Views, b: Views) -> float:
    if a.dtype == np.uint8 and b.dtype == np.uint8:
        # Integers keep the sum exact and small.
        difference = a.astype(np.int32) - b.astype(np.int32)
        return int(np.square(difference).sum(dtype=np.int64)) / (difference.size * 255.0**2)
    return float(np.square(unit_floats(a) - unit_floats(b)).mean())


def _decibels(error: float) -> float:
    return math.inf if error == 0 else -10 * math.log10(error)


def _share(both: int, either: int) -> float:
    return both / either if either else 1.0
