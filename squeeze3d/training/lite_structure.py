"""Training of the structure network of `mesh.lite`.

```text
grids ─► turned, sampled (a new pool every ROUND steps) ─► ContextMLP ─► bits per cell
         first 3/4 of the steps in floats, last 1/4 with rounding ─► integer network ─► bytes of the validation split
```

The folder of a run holds `checkpoint.pt`, `log.jsonl` and `lite-structure.safetensors`. The same run again goes on from
the checkpoint; with more steps the learning rate rises again and the run gets longer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.codecs.lite.context_net import ContextNet, save_net
from squeeze3d.codecs.lite.pyramid import DYNAMIC, FEATURES, OCTANTS
from squeeze3d.codecs.lite.structure import WEIGHTS, check_net, structure_bits
from squeeze3d.errors import UsageError
from squeeze3d.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from squeeze3d.training.context_mlp import ContextMLP, cost
from squeeze3d.training.interrupts import held_back
from squeeze3d.training.lite_contexts import Samples, sample
from squeeze3d.training.lite_data import FIELDS, STRUCTURES, LiteData, Split
from squeeze3d.training.log import Log, Say, silent

Grid = NDArray[np.bool_]

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
LENGTH = 40_000
"""Steps of a run."""
ROUND = 4000
"""Steps on one pool of samples."""
REPORT = 500
"""Steps between two lines of the log."""
SAVE = 2000
"""Steps between two checkpoints."""
ROUNDED = 0.25
"""Share of the steps with rounded weights and activations."""


@dataclass(frozen=True)
class Recipe:
    """What makes a run this one, its length apart."""

    hidden: tuple[int, ...] = (128, 32)
    """Widths of the hidden layers."""
    batch: int = 2048
    """Cells in a step, an equal part for each octant."""
    rate: float = 3e-3
    """Largest learning rate."""
    per_grid: int = 1500
    """Cells of each grid in a pool."""
    pool: int = 1000
    """Grids in a pool."""
    seed: int = 0


class StructureTraining:
    """One run.

    Parameters
    ----------
    grids : training split.
    folder : of the run; created. A checkpoint in it is taken up.
    """

    def __init__(self, grids: Sequence[Grid], folder: Path, recipe: Recipe, *, steps: int, say: Say = silent) -> None:
        if not grids:
            raise UsageError("there are no grids to train on", hint="check the folder of the data")
        self.recipe, self.steps, self.step = recipe, steps, 0
        self._grids, self._folder, self._say = grids, folder, say
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.model = ContextMLP(FEATURES, recipe.hidden, groups=len(OCTANTS), common=DYNAMIC)
        self._optimiser = torch.optim.AdamW(self.model.parameters(), lr=recipe.rate, weight_decay=1e-4)
        self._pool: list[Samples] = []
        self._pool_number = -1
        path = folder / CHECKPOINT
        if path.exists():
            self._load(path)
        self._log = Log(folder / LOG, after_step=self.step)

    def run(self) -> None:
        """Train to the end. Ctrl-C ends after the step at hand, with a checkpoint."""
        total, seen, started = 0.0, 0, time.monotonic()
        with held_back() as interrupt:
            while self.step < self.steps:
                total += self._train_step()
                seen += 1
                self.step += 1
                last = self.step == self.steps
                if self.step % REPORT == 0 or last:
                    bits = total / seen
                    seconds = round(time.monotonic() - started, 1)
                    self._log.write({"kind": "train", "step": self.step, "bits_per_cell": bits, "seconds": seconds})
                    self._say(f"step {self.step} of {self.steps}: {bits:.5f} bits per cell, {seconds} s")
                    total, seen = 0.0, 0
                if self.step % SAVE == 0 or last or interrupt.requested:
                    self._save()
                    interrupt.deliver()

    def validate(self, grids: Sequence[Grid]) -> float:
        """Mean bytes of whole grids with the integer network; noted in the log."""
        net = self.export()
        mean = float(np.mean([structure_bits(grid, net) for grid in grids])) / 8
        self._log.write({"kind": "validation", "step": self.step, "bytes": mean})
        return mean

    def export(self) -> ContextNet:
        """The integer network as it is now."""
        return check_net(self.model.export())

    def _train_step(self) -> float:
        progress = self.step / self.steps
        self.model.rounding = progress >= 1 - ROUNDED
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.rate * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
        contexts, outcomes = self._batch()
        loss = cost(self.model(contexts)[..., 0], outcomes).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        return loss.item()

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        number = self.step // ROUND
        if number != self._pool_number:
            random = np.random.default_rng([self.recipe.seed, 1, number])
            chosen = random.permutation(np.resize(random.permutation(len(self._grids)), self.recipe.pool))
            self._pool = sample((self._grids[at] for at in chosen), random, count=self.recipe.per_grid)
            self._pool_number = number
        random = np.random.default_rng([self.recipe.seed, 2, self.step])
        size = self.recipe.batch // len(OCTANTS)
        contexts = np.empty((len(OCTANTS), size, FEATURES), dtype=np.uint8)
        outcomes = np.empty((len(OCTANTS), size), dtype=np.uint8)
        for group, samples in enumerate(self._pool):
            at = random.integers(len(samples.outcomes), size=size)
            contexts[group], outcomes[group] = samples.unpacked(at), samples.outcomes[at]
        return torch.from_numpy(contexts).float(), torch.from_numpy(outcomes).float()

    def _identity(self) -> dict[str, object]:
        return {"inputs": FEATURES, **asdict(self.recipe)}

    def _save(self) -> None:
        checkpoint = Checkpoint(
            self.step, self.model.state_dict(), [self._optimiser.state_dict()], random_state(), {}, self._identity()
        )
        save_checkpoint(self._folder / CHECKPOINT, checkpoint)

    def _load(self, path: Path) -> None:
        checkpoint = load_checkpoint(path)
        if checkpoint.identity != self._identity():
            raise UsageError(
                f"`{path}` belongs to a run with another recipe", hint="give the same options, or another folder"
            )
        self.model.load_state_dict(checkpoint.model)
        self._optimiser.load_state_dict(checkpoint.optimisers[0])
        restore_random_state(checkpoint.random)
        self.step = checkpoint.step


def load_grids(folder: Path, split: Split) -> list[Grid]:
    """All grids of a split, of every resolution that is there.

    Raises InputError for a folder without data, FormatError for a damaged file.
    """
    data = LiteData(folder)
    return [grid.occupied for side in sorted((*FIELDS, *STRUCTURES)) for grid in data.structures(side, split)]


def train_structure(
    data: Path, folder: Path, *, recipe: Recipe | None = None, steps: int | None = None, say: Say = silent
) -> Path:
    """Train on packed data, or go on with the run in a folder; returns the file of the network.

    Raises InputError or FormatError for data that cannot be read, UsageError if the folder holds another run.
    """
    recipe = recipe or Recipe()
    grids = load_grids(data, "train")
    say(f"{len(grids)} grids to train on")
    run = StructureTraining(grids, folder, recipe, steps=steps or LENGTH, say=say)
    run.run()
    about = {"steps": str(run.step), "recipe": str(asdict(recipe)), "grids": str(len(grids))}
    if held := load_grids(data, "validation"):
        about["validation_bytes"] = f"{run.validate(held):.2f}"
        say(f"{about['validation_bytes']} bytes per grid of the validation split")
    save_net(folder / WEIGHTS, run.export(), about)
    return folder / WEIGHTS
