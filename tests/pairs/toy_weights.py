"""Weights of the toy pair, from nothing: encoder and generator, data set, mapping network, code model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from toy_pair import TOY, ToyEncoder, ToyGenerator, pretrain

from squeeze3d.codecs.pairs.spec import PairSpec

SAMPLES = 768
STEPS = 1500


def train_toy(folder: Path, pair: PairSpec = TOY, *, samples: int = SAMPLES, steps: int = STEPS) -> Path:
    """Train everything and return the folder with the weights, laid out as the weights directory is."""
    import torch

    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.presets import preset
    from squeeze3d.training.rates import fit_code_model, save_code_model
    from squeeze3d.training.synthesis import describe, draw_dataset
    from squeeze3d.training.trainer import RunConfig, train_mapping

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        weights = folder / "weights"
        files = pretrain(weights)
        data = folder / "data"
        draw_dataset(
            pair, data, describe(pair, samples), lambda: (ToyEncoder(files, "cpu"), ToyGenerator(files, "cpu"))
        )
        pairs = LatentPairs(data)
        recipe = dataclasses.replace(preset("default"), dropout=0.0, lr=1e-2)
        run = train_mapping(pair, pairs, folder / "run", RunConfig(recipe, steps=steps, device="cpu"))
        run.mapping.rename(weights / "toy-mapping.safetensors")
        model, report = fit_code_model(pair, pairs, weights / "toy-mapping.safetensors")
        save_code_model(model, report, folder / "run" / "code.safetensors")
        (folder / "run" / "code.safetensors").rename(weights / "toy-code.safetensors")
        return weights
    finally:
        torch.set_num_threads(threads)
