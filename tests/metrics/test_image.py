"""PSNR, masked PSNR, silhouettes, SSIM and MS-SSIM against independent implementations."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from squeeze3d.errors import UsageError
from squeeze3d.metrics import masked_psnr, ms_ssim, paper_ms_ssim, paper_psnr, psnr, scale_count, silhouette_iou, ssim
from squeeze3d.metrics.similarity import WEIGHTS

IMAGE_METRICS = [psnr, paper_psnr, ssim, ms_ssim, paper_ms_ssim]


def pictures(views: int = 2, height: int = 190, width: int = 205, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth coloured noise in [0, 1], and a disturbed copy with more noise in later views."""
    random = np.random.default_rng(seed)
    first = gaussian_filter(random.random((views, height, width, 3)), (0, 3, 3, 0))
    first = (first - first.min()) / np.ptp(first)
    noise = random.normal(0, 0.03, first.shape) * (1 + np.arange(views))[:, None, None, None]
    return first.astype(np.float32), np.clip(first + noise, 0, 1).astype(np.float32)


def as_bytes(images: np.ndarray) -> np.ndarray:
    return np.round(images * 255).astype(np.uint8)


def torch_images(images: np.ndarray):
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2)


class TestPsnr:
    def test_agrees_with_scikit_image(self):
        from skimage.metrics import peak_signal_noise_ratio

        a, b = pictures()
        expected = [
            peak_signal_noise_ratio(x.astype(float), y.astype(float), data_range=1) for x, y in zip(a, b, strict=True)
        ]
        score = psnr(a, b)
        assert score.views == pytest.approx(expected, abs=1e-9)
        pooled = peak_signal_noise_ratio(a.astype(float).ravel(), b.astype(float).ravel(), data_range=1)
        assert score.value == pytest.approx(pooled, abs=1e-9)

    def test_agrees_with_scikit_image_on_bytes(self):
        from skimage.metrics import peak_signal_noise_ratio

        a, b = map(as_bytes, pictures())
        assert psnr(a, b).value == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-9)

    def test_uniform_error_of_a_tenth_is_20_db(self):
        a = np.full((3, 8, 8, 3), 0.25)
        assert psnr(a, a + 0.1).value == pytest.approx(20)
        assert psnr(a, a + 0.1).views == pytest.approx((20, 20, 20))

    def test_bytes_and_floats_mix(self):
        a, b = pictures()
        mixed = psnr(as_bytes(a), as_bytes(b) / 255.0)
        assert mixed.value == pytest.approx(psnr(as_bytes(a), as_bytes(b)).value, abs=1e-9)

    def test_equal_views_are_infinite_and_do_not_hide_a_bad_one(self):
        a, _ = pictures(views=2)
        b = a.copy()
        b[1] = 1 - b[1]
        score = psnr(a, b)
        assert score.views[0] == math.inf
        assert score.value == pytest.approx(score.views[1] + 10 * math.log10(2))

    def test_pooled_value_is_at_most_the_mean_of_views(self):
        score = psnr(*pictures(views=5))
        assert score.value <= np.mean(score.views)

    def test_paper_kind_agrees_with_torchmetrics(self):
        from torchmetrics.functional.image import peak_signal_noise_ratio

        a, b = pictures(views=3)
        a = 0.2 + 0.5 * a
        b[1] = a[1]
        pairs = [(torch_images(b[k : k + 1]), torch_images(a[k : k + 1])) for k in (0, 2)]
        # Version 1.5.1, which the paper used, takes this range by default; later ones ask for it.
        expected = [peak_signal_noise_ratio(p, t, data_range=float(t.max() - t.min())) for p, t in pairs]
        score = paper_psnr(a, b)
        assert score.views[1] == math.inf
        assert score.value == pytest.approx(np.mean([float(e) for e in expected]), abs=1e-4)
        assert score.value < np.mean([psnr(a, b).views[k] for k in (0, 2)])

    def test_paper_kind_without_finite_views(self):
        flat = np.full((1, 4, 4, 3), 0.5)
        assert paper_psnr(flat, flat).value == math.inf
        assert math.isnan(paper_psnr(flat, flat + 0.1).value)


class TestMaskedPsnr:
    def test_agrees_with_a_loop(self):
        a, b = pictures(views=3, height=20, width=17)
        random = np.random.default_rng(1)
        m, n = random.random((2, 3, 20, 17)) < 0.3
        total, count, views = 0.0, 0, []
        for k in range(3):
            part, pixels = 0.0, 0
            for i in range(20):
                for j in range(17):
                    if m[k, i, j] or n[k, i, j]:
                        pixels += 3
                        part += sum((float(a[k, i, j, c]) - float(b[k, i, j, c])) ** 2 for c in range(3))
            total, count = total + part, count + pixels
            views.append(-10 * math.log10(part / pixels))
        score = masked_psnr(a, b, m, n)
        assert score.value == pytest.approx(-10 * math.log10(total / count), abs=1e-9)
        assert score.views == pytest.approx(views, abs=1e-9)

    def test_full_masks_give_plain_psnr(self):
        a, b = map(as_bytes, pictures())
        full = np.ones(a.shape[:3], dtype=bool)
        assert masked_psnr(a, b, full, full).value == pytest.approx(psnr(a, b).value, abs=1e-9)

    def test_background_padding_changes_plain_psnr_only(self):
        a, b = pictures()
        mask = np.ones(a.shape[:3], dtype=bool)
        wide = ((0, 0), (30, 30), (30, 30))
        a2, b2 = (np.pad(i, (*wide, (0, 0)), constant_values=1) for i in (a, b))
        mask2 = np.pad(mask, wide)
        assert masked_psnr(a2, b2, mask2, mask2).value == pytest.approx(masked_psnr(a, b, mask, mask).value, abs=1e-9)
        assert psnr(a2, b2).value > psnr(a, b).value + 1

    def test_view_without_object_has_no_difference(self):
        a, b = pictures()
        empty = np.zeros(a.shape[:3], dtype=bool)
        score = masked_psnr(a, b, empty, empty)
        assert score.value == math.inf
        assert score.views == (math.inf, math.inf)

    def test_refuses_masks_of_another_size(self):
        a, b = pictures()
        mask = np.ones((2, 4, 4), dtype=bool)
        with pytest.raises(UsageError, match="sizes must agree"):
            masked_psnr(a, b, mask, mask)


class TestSilhouettes:
    def test_agrees_with_a_loop(self):
        m, n = np.random.default_rng(3).random((2, 3, 9, 7)) < 0.4
        both = either = 0
        views = []
        for k in range(3):
            pairs = list(zip(m[k].ravel(), n[k].ravel(), strict=True))
            b, e = sum(x and y for x, y in pairs), sum(x or y for x, y in pairs)
            both, either = both + b, either + e
            views.append(b / e)
        score = silhouette_iou(m, n)
        assert score.value == pytest.approx(both / either)
        assert score.views == pytest.approx(views)

    def test_extremes(self):
        m = np.zeros((2, 4, 4), dtype=bool)
        m[0, 1:3] = True
        assert silhouette_iou(m, m).value == 1
        assert silhouette_iou(m, m).views == (1, 1)
        assert silhouette_iou(m, ~m).value == 0

    def test_refuses_coverage_and_shapes(self):
        m = np.zeros((2, 4, 4), dtype=bool)
        with pytest.raises(UsageError, match="must be Boolean"):
            silhouette_iou(m, m.astype(float))
        with pytest.raises(UsageError, match="must agree"):
            silhouette_iou(m, m[:1])
        with pytest.raises(UsageError, match=r"\(views, height, width\)"):
            silhouette_iou(m[0], m[0])


def slow_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """One view, from the textbook formulas and SciPy's filter, whose taps end at the same 5 pixels."""

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, (1.5, 1.5, 0), truncate=3.5)[5:-5, 5:-5]

    score = 1.0
    for scale, weight in enumerate(WEIGHTS):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        term = (2 * cov + 0.0009) / (vx + vy + 0.0009)
        if scale == 4:
            term = term * (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001)
        score *= term.mean() ** weight
        h, w = x.shape[0] // 2, x.shape[1] // 2
        x, y = (i[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).mean(axis=(1, 3)) for i in (x, y))
    return score


class TestSsim:
    def test_agrees_with_scikit_image(self):
        from skimage.metrics import structural_similarity

        a, b = pictures(height=40, width=53)
        expected = [
            structural_similarity(
                x.astype(float),
                y.astype(float),
                data_range=1,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for x, y in zip(a, b, strict=True)
        ]
        assert ssim(a, b).views == pytest.approx(expected, abs=1e-12)
        assert ssim(a, b).value == pytest.approx(np.mean(expected), abs=1e-12)
        assert ssim(a, b).scales == 1

    def test_negative_correlation_stays_negative(self):
        a, _ = pictures(height=40, width=40)
        assert ssim(a, 1 - a).value < 0
        assert ms_ssim(a, 1 - a).value == 0

    def test_agrees_with_the_textbook(self):
        a, b = pictures()
        expected = [slow_ms_ssim(x.astype(float), y.astype(float)) for x, y in zip(a, b, strict=True)]
        score = ms_ssim(a, b)
        assert score.views == pytest.approx(expected, abs=1e-9)
        assert score.value == pytest.approx(np.mean(expected), abs=1e-9)
        assert score.scales == 5

    def test_paper_kind_agrees_with_torchmetrics(self):
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        a, b = pictures(views=1)
        expected = multiscale_structural_similarity_index_measure(
            torch_images(b), torch_images(a), data_range=1.0, reduction="none"
        )
        assert paper_ms_ssim(a, b).views == pytest.approx(expected.numpy().reshape(-1), abs=1e-5)

    @pytest.mark.parametrize("metric", [ssim, ms_ssim, paper_ms_ssim])
    def test_equal_views_score_exactly_1(self, metric):
        a, _ = pictures()
        a[1] = 1.0  # A view of bare background.
        assert metric(a, a).views == (1.0, 1.0)
        assert metric(as_bytes(a), as_bytes(a)).value == 1.0

    @pytest.mark.parametrize("metric", [ssim, ms_ssim, psnr])
    def test_ignores_order_flips_and_channels(self, metric):
        a, b = pictures(height=192, width=192)
        score = metric(a, b).value
        assert metric(b, a).value == pytest.approx(score, abs=1e-12)
        assert metric(a[::-1], b[::-1]).value == pytest.approx(score, abs=1e-12)
        assert metric(a[:, ::-1, :, [2, 0, 1]], b[:, ::-1, :, [2, 0, 1]]).value == pytest.approx(score, abs=1e-12)
        assert metric(a.transpose(0, 2, 1, 3), b.transpose(0, 2, 1, 3)).value == pytest.approx(score, abs=1e-12)

    @pytest.mark.parametrize("metric", [ssim, ms_ssim])
    def test_more_noise_scores_lower(self, metric):
        views = metric(*pictures(views=4)).views
        assert list(views) == sorted(views, reverse=True)


class TestSmallImages:
    @pytest.mark.parametrize(
        ("side", "scales"), [(176, 5), (175, 4), (88, 4), (87, 3), (43, 2), (21, 1), (11, 1), (10, 0)]
    )
    def test_scales_that_fit(self, side, scales):
        assert scale_count(side, 500) == scale_count(500, side) == scales

    def test_fewer_scales_renormalise_the_weights(self):
        a, b = pictures(height=30, width=64)
        score = ms_ssim(a, b)
        assert score.scales == 2
        x, y = (i.reshape(2, 15, 2, 32, 2, 3).mean(axis=(2, 4)) for i in (a, b))
        first = [contrast(p, q) for p, q in zip(a.astype(float), b.astype(float), strict=True)]
        total = WEIGHTS[0] + WEIGHTS[1]
        expected = np.array(first) ** (WEIGHTS[0] / total) * np.array(ssim(x, y).views) ** (WEIGHTS[1] / total)
        assert score.views == pytest.approx(expected, abs=1e-6)

    def test_one_scale_is_ssim(self):
        a, b = pictures(height=16, width=16)
        assert ms_ssim(a, b) == ssim(a, b)
        assert ms_ssim(a, a).value == 1.0

    @pytest.mark.parametrize("metric", [ssim, ms_ssim, paper_ms_ssim])
    def test_refuses_images_below_one_window(self, metric):
        a, b = pictures(height=10, width=64)
        with pytest.raises(UsageError, match="64 x 10 pixels are too small"):
            metric(a, b)


def contrast(x: np.ndarray, y: np.ndarray) -> float:
    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, (1.5, 1.5, 0), truncate=3.5)[5:-5, 5:-5]

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    return float(((2 * cov + 0.0009) / (vx + vy + 0.0009)).mean())


@pytest.mark.parametrize("metric", IMAGE_METRICS)
class TestInputs:
    def test_refuses_other_shapes(self, metric):
        a, _ = pictures()
        with pytest.raises(UsageError, match="must agree"):
            metric(a, a[:1])
        for wrong in (a[0], a[..., :2], a[:0]):
            with pytest.raises(UsageError, match=r"reference views must have shape \(views, height, width, 3\)"):
                metric(wrong, wrong)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_refuses_values_that_are_not_finite(self, metric, value):
        a, b = pictures()
        b[1, 3, 4, 2] = value
        with pytest.raises(UsageError, match="test view 1 holds values that are not finite"):
            metric(a, b)

    def test_refuses_values_outside_the_unit_range(self, metric):
        a, _ = pictures()
        with pytest.raises(UsageError, match=r"must lie in \[0, 1\], but span \[0, 2\]"):
            metric(a, 2 * a)
        with pytest.raises(UsageError, match=r"must lie in \[0, 1\]"):
            metric(a, a - 0.1)

    def test_refuses_other_types(self, metric):
        a, _ = pictures()
        with pytest.raises(UsageError, match="not int64"):
            metric(a, (a * 255).astype(np.int64))

    def test_forgives_rounding(self, metric):
        a, b = pictures()
        bright = b + np.float32(3e-7)
        assert bright.max() > 1
        assert metric(a, bright).value == pytest.approx(metric(a, b).value, abs=1e-3)

    def test_leaves_inputs_alone(self, metric):
        a, b = pictures()
        a.setflags(write=False)
        b.setflags(write=False)
        metric(a, b)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, squeeze3d.metrics as m; m.psnr; m.lpips; "
        "print([n for n in ('torch', 'open3d', 'PIL', 'flip_evaluator', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_exists():
    import squeeze3d.metrics as metrics

    for name in metrics.__all__:
        assert callable(getattr(metrics, name))
    assert set(metrics.__all__) == set(metrics._HOME_OF)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        metrics.nonsense  # noqa: B018
