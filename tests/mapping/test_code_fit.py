"""Fitting code models: targets met on new codes, gains of transform and sensitivity, honest lengths, odd inputs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.errors import InputError, UsageError
from squeeze3d.mapping import code_basis
from squeeze3d.mapping.code_bank import ALPHABET, evaluate, learn_bank
from squeeze3d.mapping.code_basis import karhunen_loeve_basis
from squeeze3d.mapping.code_fit import fit, rate_curve
from squeeze3d.mapping.code_model import CodeModel, standardised

SIZE = 32
RATES = (0.7, 1.5, 3.0)


@cache
def world(size=SIZE):
    """Mixing matrix of correlated codes, their offset, and a sensitivity that does not share its axes."""
    rng = np.random.default_rng(7)
    spectrum = 3.0 * (1 + np.arange(size)) ** -1.0
    mixing = np.linalg.qr(rng.normal(size=(size, size)))[0] * spectrum
    turned = np.linalg.qr(rng.normal(size=(size, size)))[0] * np.geomspace(1, 0.03, size)
    return mixing, rng.normal(size=size), turned @ turned.T


def codes(count, seed=0, size=SIZE):
    mixing, offset, _ = world(size)
    return np.random.default_rng(seed).normal(size=(count, size)) @ mixing.T + offset


@cache
def model(**options):
    options = {"standardise": False, "rates": RATES} | options
    if options.pop("weighted", False):
        options["sensitivity"] = world()[2]
    return fit(codes(1000), **options)


def weighted_error(model, rate, new):
    """Mean latent error under the sensitivity, and mean bits per number."""
    symbols = [model.quantise(code, rate) for code in new]
    lost = np.array([model.dequantise(s, rate) for s in symbols]) - new
    bits = np.mean([model.bits(s, rate) for s in symbols]) / model.size
    return np.einsum("ni,ij,nj->n", lost, world()[2], lost).mean(), bits


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [True, False])
def test_new_codes_take_the_bits_that_were_asked_for(transform):
    found = [point.bits for point in rate_curve(model(transform=transform), codes(300, 1))]
    np.testing.assert_allclose(found, RATES, rtol=0.04)


def test_new_codes_lose_what_was_asked_for():
    fitted = model(unit="error", rates=(0.001, 0.1, 0.01))
    found = [point.error for point in rate_curve(fitted, codes(300, 1))]
    np.testing.assert_allclose(found, (0.1, 0.01, 0.001), rtol=0.1)


def test_rate_zero_is_the_coarsest():
    fitted = model(rates=(3.0, 0.7, 1.5))
    np.testing.assert_array_equal(fitted.steps, model().steps)


def test_the_curve_counts_bytes_and_passes_decoded_codes_on():
    seen = []
    new = codes(20, 1)
    points = list(rate_curve(model(), new, lambda decoded: seen.append(decoded) or 0.5))
    for point, decoded in zip(points, seen, strict=True):
        assert point.latent_error == 0.5
        assert 1 <= point.bytes - point.bits * SIZE / 8 <= 3.5
        direct = [model().dequantise(model().quantise(code, point.rate), point.rate) for code in new]
        np.testing.assert_array_equal(decoded, direct)
    assert [point.error for point in points] == sorted((point.error for point in points), reverse=True)


def test_the_same_codes_give_the_same_model():
    again = fit(codes(1000), standardise=False, rates=RATES)
    for name in ("mean", "analysis", "synthesis", "steps", "rows", "shifts", "counts", "lengths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model(), name))


# --- gains --------------------------------------------------------------------------------------------------


def decibels(better, worse, rate, new):
    """How much less latent error a model makes than another, at equal bits."""
    (error, bits), (other_error, other_bits) = weighted_error(better, rate, new), weighted_error(worse, rate, new)
    return 10 * np.log10(other_error / error) + 6.02 * (other_bits - bits)


@pytest.mark.parametrize("rate", [1, 2])
def test_the_transform_beats_the_identity_by_more_than_two_decibels(rate):
    assert decibels(model(), model(transform=False), rate, codes(200, 1)) > 2


@pytest.mark.parametrize("rate", [1, 2])
def test_the_sensitivity_gains_more_than_two_decibels_on_top(rate):
    assert decibels(model(weighted=True), model(), rate, codes(200, 1)) > 2


def test_the_transform_codes_a_gaussian_within_two_decibels_of_the_bound():
    mixing, _, weights = world()
    values, vectors = np.linalg.eigh(weights)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    variances = np.linalg.eigvalsh(root @ mixing @ mixing.T @ root)
    for rate in range(len(RATES)):
        error, bits = weighted_error(model(weighted=True), rate, codes(300, 1))
        # Reverse water-filling: the level at which the bound takes these bits.
        levels = np.geomspace(variances.max(), variances.min() / 1e6, 20_000)
        needed = np.maximum(0, 0.5 * np.log2(variances[None] / levels[:, None])).sum(axis=1) / SIZE
        bound = np.minimum(variances, levels[np.searchsorted(needed, bits)]).sum()
        assert 0 < 10 * np.log10(error / bound) < 2


def test_a_floor_keeps_directions_that_few_probes_missed():
    probes = np.random.default_rng(3).normal(size=(SIZE // 4, SIZE))
    fitted = fit(codes(1000), standardise=False, rates=(3.0,), sensitivity=probes.T @ probes)
    new = codes(100, 1)
    decoded = np.array([fitted.dequantise(fitted.quantise(code, 0), 0) for code in new])
    assert ((decoded - new) ** 2).sum() < 0.01 * ((new - new.mean(axis=0)) ** 2).sum()


def test_optimised_rounding_saves_bits_at_the_same_error():
    new = codes(200, 1)
    fitted = model(weighted=True)
    for rate in (0, 1):
        pairs = []
        for rdo in (True, False):
            symbols = [fitted.quantise(code, rate, rdo=rdo) for code in new]
            bits = np.mean([fitted.bits(s, rate) for s in symbols])
            lost = [
                ((fitted.analyse(c) - fitted.coefficient_values(s, rate)) / fitted.steps[rate])
                for c, s in zip(new, symbols, strict=True)
            ]
            pairs.append((bits, np.mean(np.square(lost))))
        (bits, error), (plain_bits, plain_error) = pairs
        # More error is only fair for more saved bits than the step would have to give.
        assert bits < plain_bits - 0.5 * np.count_nonzero(fitted.rows[rate] >= 0) * np.log2(error / plain_error) * 0.5


# --- lengths ------------------------------------------------------------------------------------------------


def test_lengths_are_those_of_new_codes():
    new = codes(300, 1)
    for rate in range(len(RATES)):
        lengths = [model().bits(model().quantise(code, rate), rate) for code in new]
        assert np.mean(lengths) == pytest.approx(float(model().lengths[rate, 0]), rel=0.03)
        assert np.std(lengths) == pytest.approx(float(model().lengths[rate, 1]), rel=0.2)


@pytest.mark.parametrize("count", [150, 1000])
def test_outliers_are_surprising_and_new_codes_are_not(count):
    size = 96
    fitted = fit(codes(count, size=size), standardise=True, rates=(1.5, 3.0))
    strange = np.random.default_rng(2).normal(size=(20, size))
    for rate in range(2):
        assert max(fitted.surprise(fitted.quantise(code, rate), rate) for code in codes(100, 1, size)) < 4
        assert min(fitted.surprise(fitted.quantise(code, rate), rate) for code in strange) > 6


def test_fewer_codes_than_numbers_still_give_a_model_that_holds():
    fitted = fit(codes(SIZE // 2), standardise=False, rates=RATES)
    for point, target in zip(rate_curve(fitted, codes(200, 1)), RATES, strict=True):
        assert point.bits == pytest.approx(target, rel=0.3)
        assert point.error < 0.9


# --- odd inputs ---------------------------------------------------------------------------------------------


def test_strange_codes_survive_the_stream_of_a_fitted_model():
    for scale in (0, 1, 100, 1e6):
        for rate in range(len(RATES)):
            symbols = model().quantise(codes(1, 5)[0] * scale, rate)
            encoder = SymbolEncoder()
            model().encode(encoder, symbols, rate)
            np.testing.assert_array_equal(model().decode(SymbolDecoder(encoder.finish()), rate), symbols)


def test_a_fitted_model_survives_its_file(tmp_path):
    model().save(tmp_path / "code.safetensors")
    loaded = CodeModel.load(tmp_path / "code.safetensors")
    for code in codes(10, 1):
        for rate in range(len(RATES)):
            symbols = model().quantise(code, rate)
            np.testing.assert_array_equal(loaded.quantise(code, rate), symbols)
            np.testing.assert_array_equal(loaded.dequantise(symbols, rate), model().dequantise(symbols, rate))


def test_wide_coefficients_send_their_low_bits_raw():
    fitted = fit(codes(200), standardise=False, rates=(9.0,))
    assert fitted.shifts.max() > 3
    (point,) = rate_curve(fitted, codes(100, 1))
    assert point.bits == pytest.approx(9, rel=0.04)
    assert point.error < 1e-4


def test_directions_without_variance_are_left_out():
    flat = codes(300)
    flat[:, 10:] = flat[:, :1]
    fitted = fit(flat, standardise=False, rates=(1.0,))
    assert fitted.coefficients <= 10
    symbols = fitted.quantise(flat[0], 0)
    np.testing.assert_allclose(fitted.dequantise(symbols, 0)[10:], fitted.dequantise(symbols, 0)[0], atol=0.01)


def test_codes_that_are_all_the_same_cost_nothing():
    for standardise in (False, True):
        fitted = fit(np.tile(codes(1), (20, 1)), standardise=standardise, rates=(1.0, 2.0))
        symbols = fitted.quantise(codes(1)[0], 0)
        assert fitted.bits(symbols, 0) == 0
        expected = standardised(codes(1)[0]) if standardise else codes(1)[0]
        np.testing.assert_allclose(fitted.dequantise(symbols, 0), expected, rtol=1e-5)


@pytest.mark.parametrize("transform", [True, False])
def test_codes_of_one_number_work(transform):
    numbers = np.random.default_rng(0).laplace(size=(500, 1)) * 5 + 3
    fitted = fit(numbers, standardise=False, rates=(2.0, 4.0), transform=transform)
    for point, bits in zip(rate_curve(fitted, numbers), (2, 4), strict=True):
        assert point.bits == pytest.approx(bits, rel=0.06)


def test_skewed_numbers_get_skewed_tables_without_a_transform():
    numbers = np.random.default_rng(0).exponential(size=(500, 8))
    fitted = fit(numbers, standardise=False, rates=(2.0,), transform=False)
    counts = fitted.counts[fitted.rows[0, 0]].astype(int)
    middle = len(counts) // 2 - 1
    assert counts[middle + 4] > 10 * (counts[middle - 4] + 1)


def test_the_bank_is_no_larger_than_asked():
    rng = np.random.default_rng(0)
    values = [rng.laplace(size=(400, 60)) * np.geomspace(0.01, 300, 60)]
    wide, _ = learn_bank(values, tables=64, symmetric=True)
    narrow, (context,) = learn_bank(values, tables=5, symmetric=True)
    assert wide.shape[0] > 5
    assert narrow.shape == (5, ALPHABET)
    assert set(context.rows) <= {-1, 0, 1, 2, 3, 4}
    assert (context.rows[:2] == -1).all()


def test_the_bank_comes_close_to_the_entropy_of_a_laplacian():
    rng = np.random.default_rng(0)
    values = rng.laplace(size=(2000, 16)) * 4
    counts, (context,) = learn_bank([values], tables=8, symmetric=True)
    bits, errors = evaluate(rng.laplace(size=(2000, 16)) * 4, counts, context, weight=0.0)
    # Differential entropy log2(2 e b), and a step of 1.
    assert bits.mean() / 16 == pytest.approx(np.log2(2 * np.e * 4), abs=0.03)
    assert errors.mean() / 16 == pytest.approx(1 / 12, rel=0.05)


def test_shrinkage_gains_where_codes_are_few(monkeypatch):
    new, gains = codes(60, 1), []
    for seed in range(2, 6):
        options = {"standardise": False, "rates": (3.0,), "sensitivity": world()[2]}
        shrunk = fit(codes(24, seed), **options)
        with monkeypatch.context() as patch:
            patch.setattr(code_basis, "SHRINKAGE", 0.0)
            gains.append(decibels(shrunk, fit(codes(24, seed), **options), 0, new))
    assert np.mean(gains) > 0.5


def test_shrinkage_vanishes_where_codes_are_many():
    many = codes(20_000) - world()[1]
    np.testing.assert_allclose(code_basis.shrunk_covariance(many), many.T @ many / len(many), atol=0.002)
    assert np.linalg.eigvalsh(code_basis.shrunk_covariance(many[:8]))[0] > 1e-3


def test_coefficients_are_uncorrelated_and_the_way_back_is_exact():
    centred = codes(2000) - codes(2000).mean(axis=0)
    basis = karhunen_loeve_basis(centred, np.eye(SIZE))
    values = basis.metric(centred)
    assert np.abs(np.corrcoef(values.T) - np.eye(SIZE)).max() < 0.05
    assert (np.diff((values**2).mean(axis=0)) <= 1e-6).all()
    back = (centred @ basis.analysis.T.astype(float)) @ basis.synthesis.T.astype(float)
    np.testing.assert_allclose(back, centred, atol=0.01)


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_rejects_codes_that_are_not_finite_or_huge(bad):
    broken = codes(20)
    broken[3, 4] = bad
    with pytest.raises(InputError) as caught:
        fit(broken, standardise=False)
    assert caught.value.hint


@pytest.mark.parametrize("shape", [(20,), (15, 4), (20, 0), (2, 20, 3)])
def test_rejects_codes_of_another_shape(shape):
    with pytest.raises(InputError, match="one row per asset"):
        fit(np.zeros(shape), standardise=False)


@pytest.mark.parametrize("rates", [(), (0.0,), (-1.0,), (np.nan,), (25.0,), (1.0,) * 65])
def test_rejects_rates_that_make_no_sense(rates):
    with pytest.raises(UsageError):
        fit(codes(20), standardise=False, rates=rates)


@pytest.mark.parametrize(
    "sensitivity",
    [np.eye(SIZE + 1), np.full((SIZE, SIZE), np.nan), -np.eye(SIZE), np.zeros((SIZE, SIZE)), np.eye(SIZE) - 1.0],
    ids=["shape", "nan", "negative", "zero", "indefinite"],
)
def test_rejects_sensitivities_that_are_none(sensitivity):
    with pytest.raises(InputError, match="sensitivity"):
        fit(codes(20), standardise=False, sensitivity=sensitivity)
