"""Gram loss on and off, three forms: what each does to the code of the toy pair, and to its rate and distortion.

    python tests/pairs/study_gram.py OUT [--code-size 24] [--steps 3000] [--seeds 3]

Same data, seeds and number of steps for all. Prints a Markdown table: effective rank, condition number, latent error,
and the latent error at fixed sizes of the code, with the code model's transform and with a quantiser for each number
alone, where a form that spreads information evenly should win.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from toy_pair import TOY, ToyEncoder, ToyGenerator, pretrain

BUDGETS = (6, 8, 12)
"""Bytes of the code at which latent errors are compared."""
FORMS = (
    ("off", 0.0),
    ("frobenius", 1e-6),
    ("frobenius", 1e-4),
    ("cosine", 1e-2),
    ("cosine", 1e7),
    ("decorrelate", 1e-3),
    ("decorrelate", 1e-2),
    ("decorrelate", 1e-1),
)


def main() -> None:
    """Run the study."""
    import torch

    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.presets import preset
    from squeeze3d.training.synthesis import describe, draw_dataset
    from squeeze3d.training.trainer import RunConfig, train_mapping

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--code-size", type=int, default=TOY.code_size)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    pair = dataclasses.replace(TOY, code_size=arguments.code_size)
    files = pretrain(arguments.out / "weights")
    description = describe(pair, arguments.samples)
    draw_dataset(
        pair, arguments.out / "data", description, lambda: (ToyEncoder(files, "cpu"), ToyGenerator(files, "cpu"))
    )
    data = LatentPairs(arguments.out / "data")
    print(
        f"{arguments.samples} samples, code of {pair.code_size} numbers, {arguments.steps} steps, {arguments.seeds} "
        "seeds: mean ± standard deviation. Errors in % of the latents' variance, on held-back samples.\n"
    )
    heads = [f"transform, {size} B" for size in BUDGETS] + [f"each alone, {size} B" for size in BUDGETS]
    print("| " + " | ".join(["gram term", "weight", "d_eff", "centred", "condition", "fp32", *heads]) + " |")
    print("|---" + "|---:" * (5 + len(heads)) + "|")
    for form, weight in FORMS:
        recipe = dataclasses.replace(preset("default"), dropout=0.0, lr=1e-2, gram=form, gram_weight=weight)
        rows = []
        for seed in range(arguments.seeds):
            config = RunConfig(recipe, steps=arguments.steps, seed=seed, device="cpu")
            run = train_mapping(pair, data, arguments.out / "run", config, restart=True)
            rows.append(list(figures(pair, data, run.mapping)))
        mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
        cells = [f"{mean[0]:.1f}", f"{mean[1]:.1f}", f"{mean[2]:.3g}"]
        cells += [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean[3:], spread[3:], strict=True)]
        print(f"| {form} | {weight:g} | " + " | ".join(cells) + " |", flush=True)


def figures(pair, data, mapping: Path) -> Iterator[float]:
    """Effective rank, the same of the centred codes, condition number, latent error, and at each budget twice."""
    from squeeze3d.mapping.code_fit import fit
    from squeeze3d.mapping.code_model import standardised
    from squeeze3d.mapping.diagnostics import condition_number, effective_rank
    from squeeze3d.mapping.networks import load_reverse
    from squeeze3d.mapping.sensitivity import sensitivity
    from squeeze3d.training.rates import encode_split, measure_rates

    codes = encode_split(pair, data, "train", mapping)
    seen = standardised(codes.astype(np.float64)).astype(np.float32)
    yield effective_rank(codes)
    yield effective_rank(codes, centred=True)
    yield condition_number(codes)
    weights = sensitivity(load_reverse(mapping, pair), seen[:256], probes=8)
    rates = tuple(8 * (size - 1.5) / pair.code_size for size in (3, *BUDGETS, 24))
    for transform in (True, False):
        model = fit(codes, standardise=True, sensitivity=weights, rates=rates, transform=transform)
        exact, rows = measure_rates(pair, data, mapping, model)
        if transform:
            yield 100 * exact
        errors = np.interp(BUDGETS, [row.bytes for row in rows], np.log([row.latent_error for row in rows]))
        yield from 100 * np.exp(errors)


if __name__ == "__main__":
    main()
