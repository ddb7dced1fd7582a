"""A small data set, and how to train on it in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cloud_pair import CLOUD, CloudEncoder, CloudGenerator

from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.presets import preset
from squeeze3d.training.synthesis import describe, draw_dataset
from squeeze3d.training.trainer import RunConfig, Tick, TrainingResult, train_mapping

Train = Callable[..., TrainingResult]

FAST: dict[str, Any] = {"batch_size": 16, "dropout": 0.1, "optimiser": "adam"}
"""On a CPU, a step of Muon takes ten times as long as one of Adam."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small matrices are fastest on one thread, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> LatentPairs:
    """300 samples."""
    folder = tmp_path_factory.mktemp("pairs")
    draw_dataset(CLOUD, folder, describe(CLOUD, 300, seed=1), lambda: (CloudEncoder(), CloudGenerator()))
    return LatentPairs(folder)


@pytest.fixture
def train(pairs: LatentPairs, tmp_path: Path) -> Train:
    """`train(folder="run", steps=..., progress=..., pair=..., restart=..., **recipe)`."""

    def run(
        folder: str = "run",
        *,
        steps: int = 20,
        seed: int = 0,
        pair: Any = CLOUD,
        progress: Callable[[Tick], None] = lambda tick: None,
        restart: bool = False,
        every: int = 5,
        **changes: Any,
    ) -> TrainingResult:
        recipe = dataclasses.replace(preset("default"), **{**FAST, **changes})
        config = RunConfig(
            recipe, steps=steps, seed=seed, device="cpu", log_every=every, validate_every=2 * every, save_every=every
        )
        return train_mapping(pair, pairs, tmp_path / folder, config, progress=progress, restart=restart)

    return run
