"""Gram loss on and off, three forms: what each does to the code of the toy pair, and to its rate and distortion.

    python tests/pairs/study_gram.py OUT [--code-size 24] [--steps 3000] [--seeds 3]

Same data, seeds and number of steps for all. Prints a Markdown table: effective rank, condition number, latent error, and
the latent error at fixed sizes of the code, where a form that spreads information evenly should win.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import numpy as np
from toy_pair import TOY, ToyEncoder, ToyGenerator, pretrain

BUDGETS = (4, 6, 8, 12, 16)
"""Bytes of the code at which latent errors are compared."""
FORMS = (("off", 0.0), ("frobenius", 1e-6), ("frobenius", 1e-4), ("cosine", 1e-2), ("cosine", 1.0), ("cosine", 1e7),
         ("decorrelate", 1e-3), ("decorrelate", 1e-2), ("decorrelate", 1e-1))  # fmt: skip


def main() -> None:
    """Run the study."""
    import torch

    from squeeze3d.mapping.diagnostics import condition_number, effective_rank
    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.presets import preset
    from squeeze3d.training.rates import encode_split, fit_code_model
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
    load = lambda: (ToyEncoder(files, "cpu"), ToyGenerator(files, "cpu"))  # noqa: E731
    draw_dataset(pair, arguments.out / "data", describe(pair, arguments.samples), load)
    data = LatentPairs(arguments.out / "data")
    print(f"{arguments.samples} samples, code of {pair.code_size} numbers, {arguments.steps} steps, mean of "
          f"{arguments.seeds} seeds. Errors in % of the latents' variance, on held-back samples.\n")  # fmt: skip
    print("| gram term | weight | d_eff | centred d_eff | condition | latent error |"
          + "".join(f" at {size} B |" for size in BUDGETS))  # fmt: skip
    print("|---|---:" + "|---:" * (4 + len(BUDGETS)) + "|")
    for form, weight in FORMS:
        rows = []
        for seed in range(arguments.seeds):
            recipe = dataclasses.replace(preset("default"), dropout=0.0, lr=1e-2, gram=form, gram_weight=weight)
            run = train_mapping(
                pair, data, arguments.out / "run", RunConfig(recipe, steps=arguments.steps, seed=seed, device="cpu"),
                restart=True,
            )  # fmt: skip
            codes = encode_split(pair, data, "train", run.mapping)
            rates = tuple(8 * (size - 1.5) / pair.code_size for size in (3, *BUDGETS, 24))
            _, report = fit_code_model(pair, data, run.mapping, rates=rates)
            sizes = [row.bytes for row in report.rates]
            errors = np.interp(BUDGETS, sizes, np.log([row.latent_error for row in report.rates]))
            rows.append([
                effective_rank(codes), effective_rank(codes, centred=True), condition_number(codes),
                100 * report.latent_error, *(100 * np.exp(errors)),
            ])  # fmt: skip
        mean = np.mean(rows, axis=0)
        spread = np.std(rows, axis=0)
        cells = [f"{mean[0]:.2f}", f"{mean[1]:.2f}", f"{mean[2]:.3g}"]
        cells += [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean[3:], spread[3:], strict=True)]
        print(f"| {form} | {weight:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
