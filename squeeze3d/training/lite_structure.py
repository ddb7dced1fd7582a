"""Training of the structure network of `mesh.lite`.

```text
grids ─► turned, sampled (a new pool every ROUND steps) ─► ContextMLP ─► bits per cell
         first 3/4 of the steps in floats, last 1/4 with rounding ─► integer network ─► bytes of the validation split
```

The folder of a run holds `checkpoint.pt`, `log.jsonl` and `lite-structure.safetensors`. The same run again goes on from
the checkpoint; with more steps the learning rate rises again and the run gets longer.
"""

from __future__ import annotations

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
from squeeze3d.training.context_mlp import ContextMLP, cost
from squeeze3d.training.context_run import ContextRun
from squeeze3d.training.lite_contexts import Samples, sample
from squeeze3d.training.lite_data import FIELDS, STRUCTURES, LiteData, Split
from squeeze3d.training.log import Say, silent

Grid = NDArray[np.bool_]

LENGTH = 40_000
"""Steps of a run."""
ROUND = 4000
"""Steps on one pool of samples."""
REPORT = 500
"""Steps between two lines of the log, and two checkpoints."""


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


class StructureRun(ContextRun):
    """A run on grids of the training split.

    Raises UsageError if there are none, or as `Run`.
    """

    def __init__(self, folder: Path, recipe: Recipe, grids: Sequence[Grid], *, steps: int, say: Say = silent) -> None:
        if not grids:
            raise UsageError("there are no grids to train on", hint="check the folder of the data")
        self.recipe, self._grids = recipe, grids
        self._pool: list[Samples] = []
        self._pool_number = -1
        super().__init__(
            folder,
            lambda: ContextMLP(FEATURES, recipe.hidden, groups=len(OCTANTS), common=DYNAMIC),
            {"inputs": FEATURES, **asdict(recipe)},
            steps=steps,
            seed=recipe.seed,
            highest_rate=recipe.rate,
            say=say,
        )

    def validate(self, grids: Sequence[Grid]) -> float:
        """Mean bytes of whole grids with the integer network; noted in the log."""
        net = self.export()
        mean = float(np.mean([structure_bits(grid, net) for grid in grids])) / 8
        self.log.write({"kind": "validation", "step": self.step, "bytes": mean})
        return mean

    def export(self) -> ContextNet:
        """The integer network as it is now."""
        return check_net(self.model.export())

    def bits(self) -> torch.Tensor:
        """Mean bits of a cell in the batch of the step at hand."""
        contexts, outcomes = self._batch()
        return cost(self.model(contexts)[..., 0], outcomes).mean()

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        number = self.step // ROUND
        if number != self._pool_number:
            random = np.random.default_rng([self.recipe.seed, 1, number])
            chosen = random.permutation(np.resize(random.permutation(len(self._grids)), self.recipe.pool))
            self._pool = sample((self._grids[at] for at in chosen), random, count=self.recipe.per_grid)
            self._pool_number = number
        random = self.random(2)
        size = self.recipe.batch // len(OCTANTS)
        contexts = np.empty((len(OCTANTS), size, FEATURES), dtype=np.uint8)
        outcomes = np.empty((len(OCTANTS), size), dtype=np.uint8)
        for group, samples in enumerate(self._pool):
            at = random.integers(len(samples.outcomes), size=size)
            contexts[group], outcomes[group] = samples.unpacked(at), samples.outcomes[at]
        return torch.from_numpy(contexts).float(), torch.from_numpy(outcomes).float()


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
    run = StructureRun(folder, recipe, grids, steps=steps or LENGTH, say=say)
    run.go(every=REPORT)
    about = {"steps": str(run.step), "recipe": str(asdict(recipe)), "grids": str(len(grids))}
    if held := load_grids(data, "validation"):
        about["validation_bytes"] = f"{run.validate(held):.2f}"
        say(f"{about['validation_bytes']} bytes per grid of the validation split")
    save_net(folder / WEIGHTS, run.export(), about)
    return folder / WEIGHTS
