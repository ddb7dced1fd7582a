"""Training of the local decoder of `mesh.lite`.

```text
cells ─► turned, scalars quantised by a random step or left out ─► network ─► 64 distances
loss = |distance|, clipped to +-0.6 cells + sign + differences of neighbouring sub-cells
```

A run goes on where its last checkpoint stands. What is exported is a running mean of the weights, so a run can be used
at any time; in the last part of the run the learning rate falls to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze3d.codecs.lite.field_net import OUTPUTS, SUB
from squeeze3d.codecs.lite.patches import COLUMNS, NEAR, STRUCTURE_COLUMNS
from squeeze3d.files import atomic_write
from squeeze3d.training.averaged_run import AveragedRecipe, AveragedRun
from squeeze3d.training.lite_data import UNIT, LiteData
from squeeze3d.training.lite_patches import SYMMETRIES, Pool, load_cells
from squeeze3d.training.log import Say, silent

WEIGHTS = "lite-field.safetensors"
CLIP = 0.6
"""Distances in cells beyond which the truth is not followed."""
TRAINED_STEPS = (0.0, 0.0, 0.45, 0.3, 0.15, 0.08)
"""Steps of the scalars, drawn at random; 0: no scalars."""
CHUNK = 256
"""Cells of a batch that share a symmetry and a step."""
BOXES_FULL = 27
CELLS = {32: 800, 64: 1200}
"""Cells of each object to train on, by resolution."""
VALIDATION_CELLS = {32: 50, 64: 75}
REPORT = 500
"""Steps between two measurements, which are also saved."""


@dataclass(frozen=True)
class Recipe(AveragedRecipe):
    """What decides the weights, besides the data."""

    width: int = 384
    depth: int = 2
    """Residual layers."""
    steps: int = 20_000
    batch: int = 1024
    warmup: int = 200
    average: float = 0.999
    sign_weight: float = 0.1
    """Weight of the cross-entropy of inside and outside."""
    thin: float = 1.0
    """How much more an inside sample counts in it than an outside one."""
    sharpness: float = 0.05
    """Distance in cells that counts as one unit of log-odds."""
    difference_weight: float = 0.2
    """Weight of the error of differences between neighbouring sub-cells."""
    near_weight: float = 0.0
    """What samples within 0.3 cells of the surface weigh more."""


class FieldModel(nn.Module):
    """See `squeeze3d.codecs.lite.field_net`. Box sums are shares here; `export` puts the factor into the weights."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        sizes = [COLUMNS, *[width] * (depth + 1), OUTPUTS]
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        for number, layer in enumerate(linear):
            # Residual layers start small, and so do the distances.
            nn.init.normal_(layer.weight, std=(0.4 if number else 1.4) / layer.in_features**0.5)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(linear)

    def forward(self, columns: Tensor) -> Tensor:
        """(N, 64) distances in cells of (N, 563) columns."""
        hidden = torch.relu(self.layers[0](columns))
        for layer in self.layers[1:-1]:
            hidden = hidden + torch.relu(layer(hidden))
        result: Tensor = self.layers[-1](hidden)
        return result


def make_columns(part: Pool, step: float) -> NDArray[np.float32]:
    """(N, 563) inputs of the model; with step 0 those of the scalars are 0."""
    columns = np.zeros((len(part), COLUMNS), dtype=np.float32)
    columns[:, :STRUCTURE_COLUMNS] = part.structure
    columns[:, len(NEAR) : STRUCTURE_COLUMNS] /= BOXES_FULL
    if step:
        middle = STRUCTURE_COLUMNS + part.distances.shape[1]
        # Surface cells hold distances of at most half a cell.
        largest = round(0.5 / step - 1e-6)
        columns[:, STRUCTURE_COLUMNS:middle] = (
            np.clip(np.rint(part.distances * (UNIT / step)), -largest, largest) * step
        )
        columns[:, middle:-1] = part.surface
        columns[:, -1] = step
    return columns


def make_batch(pool: Pool, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (N, 563) and true distances (N, 64), in cells, of random cells."""
    inputs, targets = [], []
    for _ in range(max(1, size // CHUNK)):
        part = pool.take(rng.integers(len(pool), size=CHUNK), int(rng.integers(SYMMETRIES)))
        inputs.append(make_columns(part, float(rng.choice(TRAINED_STEPS))))
        targets.append(part.fine)
    truth = np.concatenate(targets).astype(np.float32) * np.float32(UNIT)
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(truth)


def field_loss(found: Tensor, truth: Tensor, recipe: Recipe) -> Tensor:
    """Loss of (N, 64) distances in cells.

    Where the truth is beyond +-0.6, anything beyond on the same side is right.
    """
    clipped = truth.clamp(-CLIP, CLIP)
    near = (clipped.abs() < CLIP / 2).float()
    found_here = _follow(found, clipped)
    weights = 1 + recipe.near_weight * near
    loss = ((found_here - clipped).abs() * weights).sum() / weights.sum()
    if recipe.sign_weight:
        inside = (truth < 0).float()
        weight = 1 + (recipe.thin - 1) * inside
        entropy = nn.functional.binary_cross_entropy_with_logits(
            -found / recipe.sharpness, torch.sigmoid(-truth / recipe.sharpness), weight=weight
        )
        loss = loss + recipe.sign_weight * entropy
    if recipe.difference_weight:
        loss = loss + recipe.difference_weight * _difference_error(found_here, clipped)
    return loss


def _follow(found: Tensor, clipped: Tensor) -> Tensor:
    found = torch.where(clipped >= CLIP, found.clamp(max=CLIP), found)
    return torch.where(clipped <= -CLIP, found.clamp(min=-CLIP), found)


def _difference_error(found: Tensor, clipped: Tensor) -> Tensor:
    """Mean error of the differences between neighbouring sub-cells, in sub-cells."""
    error = (found - clipped).view(-1, SUB, SUB, SUB)
    parts = [error.diff(dim=axis).abs().mean() for axis in (1, 2, 3)]
    return torch.stack(parts).mean() * SUB


@torch.no_grad()
def validate(model: nn.Module, batches: Sequence[tuple[float, Tensor, Tensor]]) -> dict[str, float]:
    """Errors by step: `l1` clipped, `near` within 0.3 cells, `thick` share of inside samples found outside, and back
    (`fat`), `slope` of differences.
    """
    result: dict[str, float] = {}
    for step, columns, truth in batches:
        found = model(columns).float()
        clipped = truth.clamp(-CLIP, CLIP)
        error = (_follow(found, clipped) - clipped).abs()
        near = clipped.abs() < CLIP / 2
        inside = truth < 0
        figures = {
            "l1": error.mean(),
            "near": error[near].mean(),
            "thin": (found[inside] >= 0).float().mean(),
            "fat": (found[~inside] < 0).float().mean(),
            "slope": _difference_error(_follow(found, clipped), clipped),
        }
        result |= {f"{name}@{step:g}": round(float(value), 5) for name, value in figures.items()}
    return result


def validation_batches(pool: Pool, steps: Sequence[float] = (0.0, 0.3, 0.15)) -> list[tuple[float, Tensor, Tensor]]:
    """The whole pool, once for each step."""
    truth = torch.from_numpy(pool.fine.astype(np.float32) * np.float32(UNIT))
    return [(step, torch.from_numpy(make_columns(pool, step)), truth) for step in steps]


class FieldRun(AveragedRun[FieldModel]):
    """A run on cells; the network, `lite-field.safetensors`, is written with each checkpoint."""

    def __init__(self, folder: Path, recipe: Recipe, train: Pool, validation: Pool, *, say: Say = silent) -> None:
        self.recipe, self.train = recipe, train
        self.batches = validation_batches(validation)
        super().__init__(
            folder,
            lambda: FieldModel(recipe.width, recipe.depth),
            {"width": recipe.width, "depth": recipe.depth},
            recipe,
            steps=recipe.steps,
            say=say,
        )

    def measure(self) -> dict[str, float]:
        """Errors of the mean network on the validation split."""
        return validate(self.mean, self.batches)

    def losses(self) -> dict[str, Tensor]:
        """`loss`: that of `field_loss`."""
        columns, truth = make_batch(self.train, self.recipe.batch, self.random())
        with self.autocast():
            found = self.model(columns)
        return {"loss": field_loss(found.float(), truth, self.recipe)}

    def save(self) -> None:
        """Write the checkpoint and the network."""
        super().save()
        export(self.mean, self.folder / WEIGHTS)


def export(model: FieldModel, path: Path) -> None:
    """Write a model as `squeeze3d.codecs.lite.field_net` reads it: float16, box sums as whole numbers."""
    from safetensors.numpy import save

    tensors = {}
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().numpy().copy()
        if name == "layers.0.weight":
            array[:, len(NEAR) : STRUCTURE_COLUMNS] /= BOXES_FULL
        tensors[name] = array.astype(np.float16)
    atomic_write(path, save(tensors), overwrite=True)


def train_field(data: Path, folder: Path, *, recipe: Recipe | None = None, say: Say = silent) -> Path:
    """Train on packed data, or go on with the run in a folder; returns the file of the network.

    Raises InputError or FormatError for data that cannot be read, UsageError if the folder holds another run.
    """
    recipe = recipe or Recipe()
    packed = LiteData(data)
    train = load_cells(packed, "train", CELLS, seed=recipe.seed)
    held = load_cells(packed, "validation", VALIDATION_CELLS, seed=recipe.seed)
    say(f"{len(train)} cells to train on, {len(held)} to validate on")
    FieldRun(folder, recipe, train, held, say=say).go(every=REPORT)
    return folder / WEIGHTS
