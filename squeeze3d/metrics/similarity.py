"""Structural similarity, at one scale (SSIM) and at several (MS-SSIM).

```text
views ─► 11x11 Gaussian means, variances, covariance ─► l·cs per pixel ─► mean          (last scale)
  └─► 2x2 mean, every second pixel ─► next scale          cs per pixel ─► mean          (the others)
```

With Gaussian-weighted (sigma 1.5) means m, variances v and covariance c of the reference x and the test y, and
C1 = 0.01², C2 = 0.03² for values in [0, 1]:

    l  = (2 m_x m_y + C1) / (m_x² + m_y² + C1),    cs = (2 c + C2) / (v_x + v_y + C2)
    SSIM    = mean of l·cs
    MS-SSIM = product over scales j < M of max(mean cs_j, 0)^w_j, times max(mean l·cs at scale M, 0)^w_M

Sources: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment" (2004); Wang, Simoncelli, Bovik, "Multi-scale
structural similarity" (2003), which also gives the weights.

Choices the papers leave open:
- **Colour.** Each sRGB-encoded channel is filtered on its own; means run over pixels and channels alike.
- **Borders.** Only windows that lie wholly inside the image count. torchmetrics, and with it the Squeeze3D paper,
  continues the last scale by reflection instead: `paper_ms_ssim`.
- **Odd sizes.** Halving drops the last row or column.
- **Small images.** A scale is used if its window fits: the shorter side, halved and rounded down once per scale,
  must be at least 11 pixels. Five scales need 176 pixels. Below that, `ms_ssim` uses as many scales as fit, with
  the first weights divided by their sum, and the result says how many. Scores over fewer scales are stricter on fine
  detail and must not be compared with scores over five. Below 11 pixels there is no score: UsageError.
- **Negative correlation.** A mean below zero counts as zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import UsageError
from squeeze3d.metrics.results import SsimScores
from squeeze3d.metrics.views import Views, check_views, unit_floats

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales, finest first. They sum to 1.0001, as published."""
WINDOW = 11
"""Width of the Gaussian window in pixels."""

_RADIUS = WINDOW // 2
_TAPS = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / 1.5) ** 2)
_TAPS /= _TAPS.sum()
_C1, _C2 = 0.01**2, 0.03**2


def ssim(reference: Views, test: Views) -> SsimScores:
    """SSIM at full resolution; `value` is the mean of `views`."""
    return _score(reference, test, (1.0,))


def ms_ssim(reference: Views, test: Views) -> SsimScores:
    """MS-SSIM over up to five scales; `value` is the mean of `views`. `scales` says how many fitted."""
    return _score(reference, test, WEIGHTS)


def paper_ms_ssim(reference: Views, test: Views) -> SsimScores:
    """MS-SSIM by the settings of the Squeeze3D paper (torchmetrics), for comparison with it only.

    At the last scale, the images continue beyond their borders by reflection, so that windows centred near the border
    count too.
    """
    return _score(reference, test, WEIGHTS, reflect_last=True)


def scale_count(height: int, width: int) -> int:
    """Scales that `ms_ssim` uses for images of a size; 0 if not even one window fits."""
    side = min(height, width)
    return sum((side >> k) >= WINDOW for k in range(len(WEIGHTS)))


def _score(reference: Views, test: Views, weights: tuple[float, ...], *, reflect_last: bool = False) -> SsimScores:
    reference, test = check_views(reference, test)
    height, width = reference.shape[1:3]
    scales = min(scale_count(height, width), len(weights))
    if scales == 0:
        raise UsageError(
            f"views of {width} x {height} pixels are too small: structural similarity needs {WINDOW} pixels a side",
            hint="render larger views",
        )
    used = weights[:scales]
    if scales < len(weights):
        used = tuple(w / math.fsum(used) for w in used)
    views = tuple(_one(a, b, used, reflect_last) for a, b in zip(reference, test, strict=True))
    return SsimScores(math.fsum(views) / len(views), views, scales)


def _one(reference: Views, test: Views, weights: tuple[float, ...], reflect_last: bool) -> float:
    # Channels first: rows of one channel are contiguous, and one channel at a time stays in the processor's cache.
    x, y = (np.ascontiguousarray(unit_floats(image).transpose(2, 0, 1)) for image in (reference, test))
    score = 1.0
    for scale, weight in enumerate(weights):
        last = scale == len(weights) - 1
        if last and reflect_last:
            border = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS))
            x, y = np.pad(x, border, mode="reflect"), np.pad(y, border, mode="reflect")
        means = [_channel(a, b, with_luminance=last) for a, b in zip(x, y, strict=True)]
        mean = math.fsum(means) / len(means)
        # A plain SSIM may be negative; powers of the multi-scale kind need a floor.
        score *= max(mean, 0.0) ** weight if weight != 1 else mean
        if not last:
            x, y = _halve(x), _halve(y)
    return score


def _channel(x: NDArray[np.float64], y: NDArray[np.float64], *, with_luminance: bool) -> float:
    """Mean of cs, or of l·cs, of two (H, W) images."""
    mean_x, mean_y = _blur(x), _blur(y)
    product = mean_x * mean_y
    squares = np.square(mean_x, out=mean_x)
    squares += np.square(mean_y, out=mean_y)
    # Only the sum of the variances is needed, so one filter pass serves both.
    variances = _blur(x * x + y * y)
    variances -= squares
    covariance = _blur(x * y)
    covariance -= product
    covariance *= 2
    covariance += _C2
    variances += _C2
    covariance /= variances
    if with_luminance:
        product *= 2
        product += _C1
        squares += _C1
        covariance *= product / squares
    return float(covariance.mean())


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window at every place where it lies inside; (H - 10, W - 10)."""
    return _filter_rows(_filter_rows(image).T).T


def _filter_rows(image: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(image) - 2 * _RADIUS
    result = image[_RADIUS : _RADIUS + count] * _TAPS[_RADIUS]
    pair = np.empty_like(result)
    for k in range(_RADIUS):
        np.add(image[k : k + count], image[2 * _RADIUS - k : 2 * _RADIUS - k + count], out=pair)
        pair *= _TAPS[k]
        result += pair
    return result


def _halve(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape[1] // 2 * 2, image.shape[2] // 2 * 2
    image = image[:, :height, :width]
    rows = image[:, 0::2] + image[:, 1::2]
    halved: NDArray[np.float64] = (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4
    return halved
