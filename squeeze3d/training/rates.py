"""Fitting the code model of a trained mapping network, and measuring what each of its rates costs and loses.

```text
training split ─► forward half ─► codes ─► sensitivity of the reverse half ─► fit ─► code model
validation split ─► forward half ─► quantise, write, read ─► reverse half ─► latent error per rate
```
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d._version import __version__
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.errors import UsageError
from squeeze3d.files import atomic_write
from squeeze3d.mapping.code_fit import RATES, fit, rate_curve
from squeeze3d.mapping.code_model import CodeModel, standardised
from squeeze3d.mapping.networks import ignores_shift_and_scale, load_forward, load_reverse
from squeeze3d.mapping.sensitivity import sensitivity
from squeeze3d.training.dataset import LatentPairs, Split, spread
from squeeze3d.training.evaluate import BATCH, LIMIT, target_variance
from squeeze3d.training.plots import plot_rates
from squeeze3d.training.trainer import check_data
from squeeze3d.weights.hashing import sha256_of

CODE, RATE_TABLE, RATE_PLOT = "code.safetensors", "rate.json", "rate.png"
FIT_LIMIT = 16_384
"""Training codes that a fit looks at."""
PROBES = 4
"""Random directions for each code, at least, that a sensitivity is estimated from."""
OVERSAMPLING = 4
"""Random directions in all, per number of the code, at least: fewer leave directions of the code unseen."""
LARGEST_TRANSFORM = 2048
"""Longest code that is decorrelated. For 8,192 numbers the transform alone would be a file of 270 MB, and the
eigenvectors of each fold would take hours."""

Stage = Callable[[str, float], None]
"""Called with what is being done and how far that is, 0 to 1."""


@dataclass(frozen=True)
class RateRow:
    """One rate on the validation split, averaged over codes."""

    rate: int
    bits_per_dimension: float
    """Ideal bits for each number of the code."""
    bytes: float
    """Measured length of a stream with nothing but the code."""
    latent_error: float
    """Relative to the variance of the latents."""
    increase: float
    """Of the latent error over that of the code as it is, as a fraction of the latter."""
    surprise: float
    """Largest of all codes, see `CodeModel.surprise`."""


@dataclass(frozen=True)
class CodeReport:
    """What a code model does to codes it has not seen."""

    mapping: str
    """SHA-256 of the mapping network's file."""
    targets: tuple[float, ...]
    """Bits per number that were asked for, ascending."""
    code_size: int
    coefficients: int
    """Numbers that are written, after those that say nothing were left out."""
    training_codes: int
    validation_codes: int
    latent_error: float
    """Without quantisation."""
    rates: tuple[RateRow, ...]
    """Coarsest first."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {**asdict(self), "targets": list(self.targets), "rates": [asdict(row) for row in self.rates]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CodeReport:
        """Inverse of `to_json`; raises TypeError for anything else."""
        rows = tuple(RateRow(**row) for row in data.get("rates", ()))
        return cls(**{**data, "targets": tuple(data.get("targets", ())), "rates": rows})


def fit_code_model(
    pair: PairSpec,
    data: LatentPairs,
    mapping: str | Path,
    *,
    rates: Sequence[float] = RATES,
    seed: int = 0,
    device: str = "cpu",
    stage: Stage = lambda name, fraction: None,
) -> tuple[CodeModel, CodeReport]:
    """Fit the code model of a mapping network on the training split, and measure it on the validation split.

    Codes of more than 2,048 numbers are written as they are, see `LARGEST_TRANSFORM`.

    Parameters
    ----------
    mapping : file of the network, in the published layout.
    rates : bits per number of the code.
    device : as torch calls it.

    Raises
    ------
    UsageError : the data are of another pair. InputError : too few codes. FormatError : a damaged file.
    """
    check_data(pair, data)
    if pair.architecture_options.get("skip"):
        raise UsageError(f"the mapping network of {pair.id} sends more than its code: a code model cannot serve it")
    stage("codes", 0.0)
    codes = encode_split(pair, data, "train", mapping, device=device, limit=FIT_LIMIT, stage=stage)
    reverse = load_reverse(mapping, pair, device)
    standardise = ignores_shift_and_scale(pair.architecture)
    small = pair.code_size <= LARGEST_TRANSFORM
    weights = None
    if small:
        stage("sensitivity", 0.0)
        chosen = codes[spread(np.arange(len(codes)), LIMIT)]
        if standardise:
            chosen = standardised(chosen.astype(np.float64)).astype(np.float32)
        weights = sensitivity(reverse, chosen, probes=probes_for(len(chosen), pair.code_size), seed=seed)
    stage("fit", 0.0)
    model = fit(codes, standardise=standardise, sensitivity=weights, rates=rates, transform=small, seed=seed)
    error, rows = measure_rates(pair, data, mapping, model, device=device, stage=stage)
    report = CodeReport(
        mapping=sha256_of(mapping),
        targets=tuple(sorted(map(float, rates))),
        code_size=model.size,
        coefficients=model.coefficients,
        training_codes=len(codes),
        validation_codes=min(len(data.indices("validation")), LIMIT),
        latent_error=error,
        rates=rows,
    )
    return model, report


def probes_for(codes: int, size: int) -> int:
    """Random directions for each of some codes of `size` numbers."""
    return max(PROBES, math.ceil(OVERSAMPLING * size / codes))


def measure_rates(
    pair: PairSpec,
    data: LatentPairs,
    mapping: str | Path,
    model: CodeModel,
    *,
    device: str = "cpu",
    stage: Stage = lambda name, fraction: None,
) -> tuple[float, tuple[RateRow, ...]]:
    """Latent error of the code as it is, and each rate of a code model, on the validation split."""
    codes = encode_split(pair, data, "validation", mapping, device=device, limit=LIMIT, stage=stage)
    reverse = load_reverse(mapping, pair, device)
    variance = target_variance(data)

    def latent_error(decoded: NDArray[np.float32]) -> float:
        total, row = 0.0, 0
        for _, targets in data.batches("validation", BATCH, limit=LIMIT):
            with torch.inference_mode():
                part = torch.from_numpy(decoded[row : row + len(targets)]).to(device)
                errors = (reverse(part) - torch.from_numpy(targets).to(device)).square().flatten(1).mean(dim=1)
            total += float(errors.double().sum())
            row += len(targets)
        return total / row / variance

    plain = latent_error(codes)
    rows = []
    for point in rate_curve(model, codes, latent_error):
        assert point.latent_error is not None
        increase = point.latent_error / plain - 1 if plain > 0 else 0.0
        rows.append(RateRow(point.rate, point.bits, point.bytes, point.latent_error, increase, point.surprise))
        stage("rates", len(rows) / model.rates)
    return plain, tuple(rows)


def encode_split(
    pair: PairSpec,
    data: LatentPairs,
    part: Split,
    mapping: str | Path,
    *,
    device: str = "cpu",
    limit: int | None = None,
    stage: Stage = lambda name, fraction: None,
) -> NDArray[np.float32]:
    """(N, d) codes of a part of a data set, or of an even choice of at most `limit` samples."""
    forward = load_forward(mapping, pair, device)
    count = min(len(data.indices(part)), limit or len(data))
    codes = np.empty((count, pair.code_size), dtype=np.float32)
    row = 0
    for inputs, _ in data.batches(part, BATCH, limit=limit):
        with torch.inference_mode():
            codes[row : row + len(inputs)] = forward(torch.from_numpy(inputs).to(device)).float().cpu().numpy()
        row += len(inputs)
        stage("codes", row / count)
    return codes


def stored_report(code: Path, mapping: Path, rates: Sequence[float]) -> CodeReport | None:
    """Report of a code model that was fitted before to this network and these rates; None if there is none."""
    try:
        report = CodeReport.from_json(json.loads(code.with_name(RATE_TABLE).read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    fits = report.mapping == sha256_of(mapping) and report.targets == tuple(sorted(map(float, rates)))
    return report if fits and code.is_file() else None


def save_code_model(model: CodeModel, report: CodeReport, path: Path) -> None:
    """Write a code model, and beside it the table and the plot of its rates.

    Of `code.safetensors` these are `rate.json` and `rate.png`.
    """
    model.save(path, {"report": json.dumps(report.to_json(), sort_keys=True), "version": __version__})
    text = json.dumps(report.to_json(), indent=2, sort_keys=True) + "\n"
    atomic_write(path.with_name(RATE_TABLE), text.encode(), overwrite=True)
    plot_rates(report.rates, report.latent_error, path.with_name(RATE_PLOT))
