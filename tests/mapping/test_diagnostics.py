"""Effective rank and condition number."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.errors import InputError
from squeeze3d.mapping.diagnostics import condition_number, diagnose, effective_rank


def spectrum(values: list[float], samples: int, size: int) -> np.ndarray:
    """Codes (samples, size) with the given singular values."""
    random = np.random.default_rng(0)
    left = np.linalg.qr(random.normal(size=(samples, len(values))))[0]
    right = np.linalg.qr(random.normal(size=(size, len(values))))[0]
    return (left * values) @ right.T


@pytest.mark.parametrize(("samples", "size"), [(50, 8), (8, 50)])
def test_effective_rank_is_equation_5(samples, size):
    codes = np.random.default_rng(1).normal(size=(samples, size)) + 0.3
    eigenvalues = np.linalg.eigvalsh(codes.T @ codes / samples)
    assert effective_rank(codes) == pytest.approx(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())
    covariance = np.linalg.eigvalsh(np.cov(codes, rowvar=False))
    assert effective_rank(codes, centred=True) == pytest.approx(covariance.sum() ** 2 / np.square(covariance).sum())


@pytest.mark.parametrize(("samples", "size"), [(40, 10), (10, 40)])
def test_equal_directions_count_fully(samples, size):
    assert effective_rank(spectrum([2.0] * 10, samples, size)) == pytest.approx(10)
    assert effective_rank(spectrum([2.0] * 3, samples, size)) == pytest.approx(3)
    assert effective_rank(spectrum([100.0, 0.1, 0.1], samples, size)) == pytest.approx(1, abs=1e-3)


def test_shared_offset_hides_variation_from_the_uncentred_figure_only():
    codes = np.random.default_rng(2).normal(size=(400, 6)) + 100
    figures = diagnose(codes)
    assert figures.effective_rank < 1.01
    assert figures.centred_effective_rank > 5.5


@pytest.mark.parametrize(("samples", "size"), [(40, 10), (6, 40)])
def test_condition_number_leaves_zeros_out(samples, size):
    assert condition_number(spectrum([8.0, 2.0, 0.5], samples, size)) == pytest.approx(16)
    assert diagnose(spectrum([8.0, 2.0, 0.5], samples, size)).condition_number == pytest.approx(16)


def test_scale_does_not_matter():
    codes = np.random.default_rng(3).normal(size=(20, 5))
    for factor in (1e-200, 1e200):
        assert effective_rank(codes * factor) == pytest.approx(effective_rank(codes))
        assert condition_number(codes * factor) == pytest.approx(condition_number(codes))


def test_codes_that_say_nothing():
    assert diagnose(np.zeros((4, 3))).effective_rank == 0
    assert diagnose(np.zeros((4, 3))).condition_number == 0
    assert diagnose(np.ones((1, 3), dtype=np.float32)).centred_effective_rank == 0


def test_diagnosing_leaves_the_codes_as_they_are():
    codes = np.ones((3, 2))
    diagnose(codes)
    assert (codes == 1).all()


@pytest.mark.parametrize("codes", [np.ones(3), np.ones((0, 3)), np.array([[1.0, np.nan]]), np.array([[np.inf, 1.0]])])
def test_refuses_codes_that_are_no_finite_matrix(codes):
    for figure in (effective_rank, condition_number):
        with pytest.raises(InputError):
            figure(codes)
