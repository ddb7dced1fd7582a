"""Code models of trained networks, and fine-tuning for their error."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_pair import CLOUD
from PIL import Image

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.errors import UsageError
from squeeze3d.mapping.code_model import CodeModel, standardised
from squeeze3d.mapping.networks import load_mapping
from squeeze3d.training import rates
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.finetune import QuantiserNoise, fine_tune, gentler, nearest_rate, price_of_bits
from squeeze3d.training.presets import preset
from squeeze3d.training.rates import (
    CodeReport,
    encode_split,
    fit_code_model,
    save_code_model,
    stored_report,
)
from squeeze3d.training.trainer import RunConfig, train_mapping

RATES = (1.0, 2.0, 4.0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """A network trained for a moment depends on the order of sums, which depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(pairs: LatentPairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained for a moment."""
    recipe = dataclasses.replace(preset("default"), dropout=0.0, lr=2e-2)
    config = RunConfig(recipe, steps=60, device="cpu", log_every=60)
    return train_mapping(CLOUD, pairs, tmp_path_factory.mktemp("trained"), config).mapping


@pytest.fixture(scope="module")
def fitted(trained: Path, pairs: LatentPairs) -> tuple[CodeModel, CodeReport]:
    return fit_code_model(CLOUD, pairs, trained, rates=RATES)


def test_finer_rates_cost_more_and_lose_less(fitted: tuple[CodeModel, CodeReport]) -> None:
    _, report = fitted
    bits = [row.bits_per_dimension for row in report.rates]
    errors = [row.latent_error for row in report.rates]
    assert bits == pytest.approx(RATES, rel=0.15)
    assert [row.bytes for row in report.rates] == sorted(row.bytes for row in report.rates)
    assert errors[0] > errors[1] > report.latent_error * 0.999
    assert abs(report.rates[-1].increase) < 0.02
    assert report.rates[0].increase == pytest.approx(errors[0] / report.latent_error - 1)


def test_reported_numbers_are_those_of_real_streams(
    fitted: tuple[CodeModel, CodeReport], trained: Path, pairs: LatentPairs
) -> None:
    model, report = fitted
    network = load_mapping(trained, CLOUD)
    inputs, targets = pairs.read(pairs.indices("validation"))
    lengths, decoded = [], []
    for code in network.forward_map(torch.from_numpy(inputs)).numpy():
        encoder = SymbolEncoder()
        model.encode(encoder, model.quantise(code, 1), 1)
        stream = encoder.finish()
        lengths.append(len(stream))
        decoded.append(model.dequantise(model.decode(SymbolDecoder(stream), 1), 1))
    latents = network.reverse_map(torch.from_numpy(np.stack(decoded))).numpy()
    _, everything = pairs.read(pairs.indices("train"))
    variance = everything.astype(np.float64).var(axis=0).mean()
    assert report.rates[1].bytes == pytest.approx(np.mean(lengths))
    assert report.rates[1].latent_error == pytest.approx(np.mean((latents - targets) ** 2) / variance, rel=1e-5)


def test_long_codes_are_written_as_they_are(trained: Path, pairs: LatentPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "LARGEST_TRANSFORM", CLOUD.code_size - 1)
    model, report = fit_code_model(CLOUD, pairs, trained, rates=RATES)
    assert model.analysis is None
    assert report.coefficients == CLOUD.code_size


def test_a_sensitivity_gets_four_probes_for_each_number_of_the_code() -> None:
    assert [rates.probes_for(codes, 2048) for codes in (16, 1024, 1 << 20)] == [512, 8, 4]


def test_saved_models_come_with_table_and_plot(
    fitted: tuple[CodeModel, CodeReport], trained: Path, tmp_path: Path
) -> None:
    model, report = fitted
    path = tmp_path / "code.safetensors"
    save_code_model(model, report, path)
    loaded = CodeModel.load(path)
    np.testing.assert_array_equal(loaded.counts, model.counts)
    assert CodeReport.from_json(json.loads((tmp_path / "rate.json").read_text())) == report
    pixels = np.asarray(Image.open(tmp_path / "rate.png").convert("RGB")).astype(int)
    assert (pixels[..., 2] > pixels[..., 0] + 80).sum() > 200
    assert stored_report(path, trained, RATES) == report
    assert stored_report(path, trained, (1.0, 2.0)) is None
    other = tmp_path / "other.safetensors"
    other.write_bytes(trained.read_bytes() + b" ")
    assert stored_report(path, other, RATES) is None


def test_the_same_codes_give_the_same_model(
    fitted: tuple[CodeModel, CodeReport], trained: Path, pairs: LatentPairs
) -> None:
    again, report = fit_code_model(CLOUD, pairs, trained, rates=RATES)
    assert report == fitted[1]
    for name in ("mean", "steps", "counts", "rows"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted[0], name))


def test_noise_has_the_size_of_the_quantisers_error(
    fitted: tuple[CodeModel, CodeReport], trained: Path, pairs: LatentPairs
) -> None:
    model, _ = fitted
    codes = encode_split(CLOUD, pairs, "train", trained)
    rate = 2
    noise = QuantiserNoise(model, rate)
    torch.manual_seed(1)
    noisy = noise(torch.from_numpy(codes)).numpy()
    written = np.stack([model.dequantise(model.quantise(code, rate, rdo=False), rate) for code in codes])
    plain = standardised(codes.astype(np.float64))
    sizes = [float(((each - plain) ** 2).mean()) for each in (noisy, written)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.3)


def test_noise_lets_gradients_through(fitted: tuple[CodeModel, CodeReport]) -> None:
    codes = torch.randn(4, CLOUD.code_size, requires_grad=True)
    QuantiserNoise(fitted[0], 1)(codes).square().sum().backward()
    assert codes.grad is not None
    assert codes.grad.abs().sum() > 0


def test_estimated_bits_are_the_mean_over_the_noise(
    fitted: tuple[CodeModel, CodeReport], trained: Path, pairs: LatentPairs
) -> None:
    model, _ = fitted
    codes = encode_split(CLOUD, pairs, "train", trained)
    random = np.random.default_rng(1)
    for rate in range(model.rates):
        estimate = QuantiserNoise(model, rate).bits(torch.from_numpy(codes)).mean()
        live = model.rows[rate] >= 0
        values = model.analyse(codes) / model.steps[rate]
        rounded = np.where(live, np.rint(values + random.uniform(-0.5, 0.5, values.shape)), 0).astype(np.int64)
        exact = np.mean([model.bits(symbols, rate) for symbols in rounded])
        assert float(estimate) == pytest.approx(exact, rel=0.05)


def test_bits_have_a_price_that_gradients_feel(
    fitted: tuple[CodeModel, CodeReport], trained: Path, pairs: LatentPairs
) -> None:
    model, report = fitted
    values = encode_split(CLOUD, pairs, "train", trained, limit=16)
    # Trained for a moment, the network may lose nothing at two bits: a thousandth of its error stands in then.
    added = [max(report.rates[rate].increase, 1e-3) * report.latent_error for rate in (0, 1)]
    prices = [price_of_bits(model, values, rate, error) for rate, error in enumerate(added)]
    assert prices[0] > prices[1] > 0
    codes = torch.from_numpy(values).requires_grad_(True)
    noise = QuantiserNoise(model, 1, price=prices[1])
    noise.penalty(codes).backward()
    assert codes.grad is not None
    cheaper = codes.detach() - 0.05 * codes.grad / codes.grad.abs().max()
    assert noise.penalty(cheaper) < noise.penalty(codes.detach())


def test_training_with_the_quantisers_error_makes_a_coarse_rate_better(
    trained: Path, fitted: tuple[CodeModel, CodeReport], pairs: LatentPairs, tmp_path: Path
) -> None:
    code = tmp_path / "code.safetensors"
    save_code_model(*fitted, code)
    config = RunConfig(preset("default"), steps=150, device="cpu", log_every=50, validate_every=150)
    before = trained.read_bytes()
    result = fine_tune(CLOUD, pairs, tmp_path / "tuned", config, mapping=trained, code=code, rate=0, report=fitted[1])
    _, report = fit_code_model(CLOUD, pairs, result.mapping, rates=RATES)
    assert report.rates[0].latent_error < fitted[1].rates[0].latent_error
    assert trained.read_bytes() == before
    again = fine_tune(CLOUD, pairs, tmp_path / "tuned", config, mapping=trained, code=code, rate=0, report=fitted[1])
    assert again.resumed_from == again.steps
    with pytest.raises(UsageError, match="another"):
        fine_tune(CLOUD, pairs, tmp_path / "tuned", config, mapping=trained, code=code, rate=1, report=fitted[1])


def test_fine_tuning_starts_from_the_trained_network(
    trained: Path, fitted: tuple[CodeModel, CodeReport], pairs: LatentPairs, tmp_path: Path
) -> None:
    code = tmp_path / "code.safetensors"
    save_code_model(*fitted, code)
    for standardise in (False, True):
        recipe = dataclasses.replace(preset("default"), lr=1e-12, adamw_lr=1e-12, standardise_targets=standardise)
        config = RunConfig(recipe, steps=1, device="cpu")
        folder = tmp_path / f"tuned-{standardise}"
        result = fine_tune(CLOUD, pairs, folder, config, mapping=trained, code=code, rate=0, report=fitted[1])
        assert result.latent_error == pytest.approx(fitted[1].latent_error, rel=1e-3)


def test_fine_tuning_is_gentler() -> None:
    recipe = gentler(preset("instantmesh"))
    assert recipe.lr == pytest.approx(5e-4)
    assert recipe.adamw_lr == pytest.approx(1.5e-4)
    assert recipe.final_lr == 1e-7
    assert recipe.decay == 1


def test_nearest_rate() -> None:
    assert [nearest_rate([1.0, 2.0, 4.0], wanted) for wanted in (0.1, 1.4, 1.6, 9.0)] == [0, 0, 1, 2]
