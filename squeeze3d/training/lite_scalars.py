"""Training of the context network of the scalars of `mesh.lite`.

```text
surface cells ─► turned, a pass and a step drawn at random ─► scalars of earlier passes ─► ContextMLP ─► bits per cell
                 first 3/4 of the steps in floats, last 1/4 with rounding ─► integer network
```

The folder of a run holds `checkpoint.pt`, `log.jsonl` and `lite-scalars.safetensors`. The same run again goes on from
the checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze3d.codecs.lite.context_net import ContextNet, cascade_bits, save_net
from squeeze3d.codecs.lite.patches import SCALARS
from squeeze3d.codecs.lite.scalars import INPUTS, LARGEST_INPUT, OUTPUTS, PASSES, UNITS, network_inputs
from squeeze3d.codecs.lite.steps import STEPS, SYMBOLS, quantise
from squeeze3d.errors import UsageError
from squeeze3d.training.context_mlp import ContextMLP, cost
from squeeze3d.training.context_run import ContextRun
from squeeze3d.training.lite_data import UNIT, LiteData
from squeeze3d.training.lite_patches import SYMMETRIES, Pool, load_cells
from squeeze3d.training.log import Say, silent

WEIGHTS = "lite-scalars.safetensors"
CHUNK = 128
"""Cells of a batch that share a symmetry, a pass and a step."""
LENGTH = 20_000
"""Steps of a run."""
REPORT = 500
"""Steps between two lines of the log, and two checkpoints."""
CELLS = {32: 500, 64: 700}
"""Cells of each object to train on, by resolution."""
VALIDATION_CELLS = {32: 50, 64: 75}
_MIDDLE = len(SCALARS) // 2


@dataclass(frozen=True)
class Recipe:
    """What makes a run this one, its length apart."""

    hidden: tuple[int, ...] = (128, 48)
    batch: int = 1024
    rate: float = 3e-3
    seed: int = 0


def known_offsets(number: int) -> NDArray[np.bool_]:
    """(93,) which cells around one of a pass are of an earlier pass."""
    order = {parity: place for place, parity in enumerate(PASSES)}
    own = np.array(PASSES[number])
    return np.array([order[tuple(parity)] < number for parity in ((SCALARS + own) & 1).tolist()])


def samples(part: Pool, number: int, step_index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Inputs (N, 565) of the network and symbols (N,) of cells as if in one pass."""
    known = part.surface & known_offsets(number)
    values = quantise(part.distances * UNIT, step_index)
    inputs = network_inputs(part.structure, values * known * UNITS[step_index], known, step_index)
    return inputs, values[:, _MIDDLE].astype(np.int64) + SYMBOLS[step_index] // 2


def decisions_of(symbols: NDArray[np.int64], step_index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Outcomes (N, 6) of the cascade of each symbol, and 1 where a decision is asked for, else 0."""
    values = symbols - SYMBOLS[step_index] // 2
    outcomes = np.zeros((len(values), OUTPUTS), dtype=np.float32)
    asked = np.zeros_like(outcomes)
    outcomes[:, 0], asked[:, 0] = values != 0, 1
    outcomes[:, 1], asked[:, 1] = values > 0, values != 0
    for magnitude in range(1, SYMBOLS[step_index] // 2):
        for side, sign in enumerate((1, -1)):
            outcomes[:, 2 * magnitude + side] = sign * values > magnitude
            asked[:, 2 * magnitude + side] = sign * values >= magnitude
    return outcomes, asked


class ScalarRun(ContextRun):
    """A run on cells of the training split.

    Raises UsageError if there are none, or as `Run`.
    """

    def __init__(self, folder: Path, recipe: Recipe, pool: Pool, *, steps: int, say: Say = silent) -> None:
        if not len(pool):
            raise UsageError("there are no cells to train on", hint="check the folder of the data")
        self.recipe, self._pool = recipe, pool
        super().__init__(
            folder,
            lambda: ContextMLP(INPUTS, recipe.hidden, OUTPUTS),
            {"inputs": INPUTS, **asdict(recipe)},
            steps=steps,
            seed=recipe.seed,
            highest_rate=recipe.rate,
            say=say,
        )

    def validate(self, pool: Pool) -> dict[str, float]:
        """Bits per cell of the integer network at each step of the scalars, mean over the passes; noted in the log."""
        net = self.export()
        figures = {}
        for index in range(1, len(STEPS)):
            bits = []
            for number in range(len(PASSES)):
                inputs, symbols = samples(pool, number, index)
                bits.append(cascade_bits(symbols, net.choose(inputs), SYMBOLS[index]).mean())
            figures[f"bits@{STEPS[index]:g}"] = round(float(np.mean(bits)), 5)
        self.log.write({"kind": "validation", "step": self.step, **figures})
        return figures

    def export(self) -> ContextNet:
        """The integer network as it is now."""
        return self.model.export(limit=LARGEST_INPUT)

    def bits(self) -> Tensor:
        """Mean bits of a cell in the batch of the step at hand."""
        inputs, outcomes, asked = self._batch()
        return (cost(self.model(inputs[None])[0], outcomes) * asked).sum() / len(inputs)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        random = self.random()
        parts = []
        for _ in range(max(1, self.recipe.batch // CHUNK)):
            part = self._pool.take(random.integers(len(self._pool), size=CHUNK), int(random.integers(SYMMETRIES)))
            index = int(random.integers(1, len(STEPS)))
            columns, symbols = samples(part, int(random.integers(len(PASSES))), index)
            parts.append((columns, *decisions_of(symbols, index)))
        inputs, outcomes, asked = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*parts, strict=True))
        return inputs, outcomes, asked


def train_scalars(
    data: Path, folder: Path, *, recipe: Recipe | None = None, steps: int | None = None, say: Say = silent
) -> Path:
    """Train on packed data, or go on with the run in a folder; returns the file of the network.

    Raises InputError or FormatError for data that cannot be read, UsageError if the folder holds another run.
    """
    recipe = recipe or Recipe()
    packed = LiteData(data)
    train = load_cells(packed, "train", CELLS, seed=recipe.seed, surface=True)
    held = load_cells(packed, "validation", VALIDATION_CELLS, seed=recipe.seed, surface=True)
    say(f"{len(train)} cells to train on, {len(held)} to validate on")
    run = ScalarRun(folder, recipe, train, steps=steps or LENGTH, say=say)
    run.go(every=REPORT)
    about = {"steps": str(run.step), "recipe": str(asdict(recipe))}
    if len(held):
        about["validation"] = str(run.validate(held))
        say(f"bits per cell by step of the scalars: {about['validation']}")
    save_net(folder / WEIGHTS, run.export(), about)
    return folder / WEIGHTS
