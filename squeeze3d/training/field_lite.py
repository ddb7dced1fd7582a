"""Training of encoder and generator of `field.lite`.

```text
cubes ─► turned, recoloured ─► some patches hidden ─► encoder ─► features ─► head ─► latents, noise ─► generator ─► grid
loss = cross-entropy of opacity + colours where they can be seen + views along an axis + bits of the latents
```

The head is thrown away in the end. The noise keeps latents such that neighbours look alike, and the price on bits such
that only what helps is used. What is exported is a running mean of the weights, and a prior made of the latents of
training objects. A run goes on where its last checkpoint stands; a larger number of steps continues a
finished run.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze3d.backbones.field_lite import (
    CELLS,
    CHANNELS,
    EXEMPLARS,
    FACTORS,
    FEATURES,
    SIDE,
    EncoderNetwork,
    GeneratorNetwork,
    grid_error,
    image_error,
    near_surface,
    seen_by_encoder,
)
from squeeze3d.files import atomic_write, make_folder
from squeeze3d.training.averaged_run import AveragedRecipe, AveragedRun
from squeeze3d.training.field_lite_data import DESCRIPTION, FORMAT_VERSION, pack, read_cubes
from squeeze3d.training.half import write_half
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import packed_folder

ENCODER, GENERATOR = "field-lite-encoder", "field-lite-generator"
REPORT = 250
"""Steps between two measurements, which are also saved."""
PROCEDURAL = 2000
"""Objects of our own in data that `train` packs itself."""
VALIDATION = 64
"""Objects that a run is measured on."""
PRIOR = 4096
"""Latents, at most, that the prior is fitted to."""


@dataclass(frozen=True)
class Recipe(AveragedRecipe):
    """What decides the weights, besides the data."""

    steps: int = 6000
    hidden: float = 0.3
    """Share of samples that have patches hidden: between a tenth and six tenths of them."""
    noise: float = 0.6
    """Largest deviation of the noise on latents."""
    bit_weight: float = 6e-6
    """Price of a bit of a latent."""
    view_weight: float = 4.0
    views: int = 6
    """Samples of a batch that the views look at."""
    upright: float = 0.75
    """Share of samples that keep the second axis; others are turned any way."""


class Autoencoder(nn.Module):
    """Encoder, head and generator."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EncoderNetwork()
        self.head = nn.Linear(FEATURES, CHANNELS)
        self.generator = GeneratorNetwork()

    def latents(self, cubes: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, 9, 4, 4, 4) of (B, 32, 32, 32, 4) colours and opacities."""
        tokens = self.head(self.encoder(seen_by_encoder(cubes), hidden))
        return tokens.transpose(1, 2).unflatten(2, (SIDE, SIDE, SIDE)).float()


@dataclass(frozen=True, eq=False)
class Samples:
    """Objects to train on or to measure."""

    cubes: NDArray[np.uint8]
    """(N, 32, 32, 32, 4)."""
    weights: NDArray[np.uint8]
    """(N, 32, 32, 32) of colours."""

    @classmethod
    def of(cls, cubes: NDArray[np.uint8]) -> Samples:
        """Samples with their weights."""
        weights = [near_surface(cube[..., 3].astype(np.float32) / 255) for cube in cubes]
        return cls(cubes, np.stack([np.rint(255 * each).astype(np.uint8) for each in weights]))

    def take(
        self, rows: NDArray[np.integer], random: np.random.Generator | None, upright: float
    ) -> tuple[Tensor, Tensor]:
        """Cubes and weights of some objects as floats, turned and recoloured if there is a random generator."""
        cubes, weights = [], []
        for row in rows:
            cube, weight = self.cubes[row], self.weights[row]
            if random is not None:
                order, flips = symmetry(random, upright)
                cube, weight = turned(cube, order, flips), turned(weight, order, flips)
            cubes.append(cube)
            weights.append(weight)
        values = np.stack(cubes).astype(np.float32) / np.float32(255)
        if random is not None:
            recolour(values, random)
        return torch.from_numpy(values), torch.from_numpy(np.stack(weights).astype(np.float32) / np.float32(255))


def symmetry(random: np.random.Generator, upright: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Order of the axes, and axes to mirror, of one of the 48 symmetries of a cube; often one that keeps the second
    axis.
    """
    order: tuple[int, ...] = tuple(int(axis) for axis in random.permutation(3))
    axes: tuple[int, ...] = (0, 1, 2)
    if random.random() < upright:
        order, axes = ((0, 1, 2) if random.random() < 0.5 else (2, 1, 0)), (0, 2)
    return order, tuple(axis for axis in axes if random.random() < 0.5)


def turned(grid: NDArray[np.uint8], order: tuple[int, ...], flips: tuple[int, ...]) -> NDArray[np.uint8]:
    """A grid with its first three axes in another order, some mirrored."""
    result: NDArray[np.uint8] = np.flip(grid.transpose(*order, *range(3, grid.ndim)), flips)
    return result


def recolour(cubes: NDArray[np.float32], random: np.random.Generator) -> None:
    """Exchange and stretch the colour channels of cubes in place."""
    for cube in cubes:
        if random.random() < 0.5:
            cube[..., :3] = cube[..., random.permutation(3)]
        if random.random() < 0.5:
            scale, shift = random.uniform(0.6, 1.2, 3), random.uniform(-0.1, 0.1, 3)
            cube[..., :3] = np.clip(cube[..., :3] * scale.astype(np.float32) + shift.astype(np.float32), 0, 1)
        # Colour is 0 where nothing is.
        cube[..., :3] *= cube[..., 3:] > 0


def bits(latents: Tensor) -> Tensor:
    """Mean bits of latents at a precision of about 1."""
    return 0.5 * torch.log2(1 + latents.square()).flatten(1).sum(dim=1).mean()


class AutoencoderRun(AveragedRun[Autoencoder]):
    """A run on cubes. More steps, or other weights of the loss, go on with it."""

    def __init__(self, folder: Path, recipe: Recipe, train: Samples, validation: Samples, *, say: Say = silent) -> None:
        self.recipe, self.train = recipe, train
        self.validation = Samples(validation.cubes[:VALIDATION], validation.weights[:VALIDATION])
        super().__init__(
            folder,
            Autoencoder,
            {"batch": recipe.batch, "seed": recipe.seed, "objects": len(train.cubes)},
            recipe,
            steps=recipe.steps,
            say=say,
        )

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Errors of the mean network on the validation split, without noise."""
        sums: dict[str, float] = {}
        count = len(self.validation.cubes)
        for start in range(0, count, 16):
            rows = np.arange(start, min(start + 16, count))
            cubes, weights = self.validation.take(rows, None, 1.0)
            latents = self.mean.latents(cubes)
            found = self.mean.generator(latents)
            there, wanted = found[..., 3] > 0, cubes[..., 3] > 0.5
            iou = (there & wanted).flatten(1).sum(dim=1) / (there | wanted).flatten(1).sum(dim=1).clamp(min=1)
            image = image_error(found, cubes)
            parts = {
                "error": grid_error(found, cubes, weights),
                "iou": iou,
                "psnr": -10 * torch.log10(image),
                "bits": bits(latents).expand(len(rows)),
            }
            for name, values in parts.items():
                sums[name] = sums.get(name, 0.0) + float(values.sum())
        return {name: round(value / count, 5) for name, value in sums.items()}

    def losses(self) -> dict[str, Tensor]:
        """`loss`: all terms of it."""
        recipe, random = self.recipe, self.random()
        noise_source = torch.Generator().manual_seed(int(random.integers(1 << 62)))
        rows = random.integers(len(self.train.cubes), size=recipe.batch)
        cubes, weights = self.train.take(rows, random, recipe.upright)
        shares = random.uniform(0.1, 0.6, recipe.batch) * (random.random(recipe.batch) < recipe.hidden)
        hidden = torch.rand(recipe.batch, CELLS, CELLS, CELLS, generator=noise_source)
        hidden = hidden < torch.from_numpy(shares.astype(np.float32))[:, None, None, None]
        strength = torch.rand(recipe.batch, 1, 1, 1, 1, generator=noise_source) * recipe.noise
        with self.autocast():
            latents = self.model.latents(cubes, hidden)
            found = self.model.generator(latents + strength * torch.randn(latents.shape, generator=noise_source))
        found = found.float()
        loss = grid_error(found, cubes, weights).mean() + recipe.bit_weight * bits(latents)
        some, axis = slice(recipe.views), (int(random.integers(3)),)
        return {"loss": loss + recipe.view_weight * image_error(found[some], cubes[some], axis).mean()}

    def export(self, folder: Path) -> None:
        """Write `field-lite-encoder.safetensors` and `field-lite-generator.safetensors`, half precision."""
        make_folder(folder)
        prior = fit_prior(self._latents())
        write_half(self.mean.encoder.state_dict(), folder / f"{ENCODER}.safetensors")
        write_half({**self.mean.generator.state_dict(), **prior}, folder / f"{GENERATOR}.safetensors")

    @torch.no_grad()
    def _latents(self) -> Tensor:
        """(N, 576) of training objects, each as it is and turned."""
        random = np.random.default_rng(self.recipe.seed)
        count = len(self.train.cubes)
        rows = np.concatenate([np.arange(count), random.integers(count, size=max(0, PRIOR - count))])[:PRIOR]
        parts = []
        for start in range(0, len(rows), 64):
            chosen = rows[start : start + 64]
            cubes, _ = self.train.take(chosen, None if start < count else random, self.recipe.upright)
            parts.append(self.mean.latents(cubes).flatten(1))
        return torch.cat(parts)


def fit_prior(latents: Tensor, *, seed: int = 0) -> dict[str, Tensor]:
    """Some of the latents (N, 576), and the main directions of all times their deviations."""
    chosen = torch.randperm(len(latents), generator=torch.Generator().manual_seed(seed))
    # Fewer latents than exemplars are taken again and again.
    exemplars = latents[chosen[torch.arange(EXEMPLARS) % len(latents)]]
    _, sizes, directions = torch.linalg.svd(latents - latents.mean(dim=0), full_matrices=False)
    scaled = directions * (sizes / max(1, len(latents) - 1) ** 0.5)[:, None]
    factors = torch.zeros(FACTORS, latents.shape[1])
    factors[: len(scaled)] = scaled[:FACTORS]
    return {"prior.exemplars": exemplars, "prior.factors": factors}


def train(
    data: Path,
    output: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    export: Path | None = None,
    leave_out: Collection[str] = (),
    say: Say = silent,
) -> None:
    """Train, or go on with the run in a folder, and export encoder and generator.

    Parameters
    ----------
    data : a folder of meshes (.glb), which are packed into `output/data` first, with 2,000 objects of our own; or a
        folder that `squeeze3d.training.field_lite_data.pack` wrote.
    output : folder of the run.
    steps : in all; None: those of the recipe. More continue a finished run, with the schedule of the larger number.
    export : folder for the two files; None: `output`.
    leave_out : names of objects that training must not see, such as those that results are measured on.
    say : gets a line of progress now and then.

    Raises
    ------
    UsageError : the folder holds a run of other data, or packed data hold objects to leave out.
    InputError, FormatError : no data, or damaged files.
    """
    data = packed_folder(
        data, output, DESCRIPTION, FORMAT_VERSION, pack, procedural=PROCEDURAL, leave_out=leave_out, say=say
    )
    recipe = Recipe(seed=seed) if steps is None else Recipe(steps=steps, seed=seed)
    train_split, held = (Samples.of(read_cubes(data, validation=validation).values) for validation in (False, True))
    say(f"{len(train_split.cubes)} objects to train on, {len(held.cubes)} to validate on")
    make_folder(output)
    atomic_write(output / "config.json", _config(recipe, data), overwrite=True)
    run = AutoencoderRun(output, recipe, train_split, held, say=say)
    run.go(every=REPORT)
    run.export(export or output)


def _config(recipe: Recipe, data: Path) -> bytes:
    return (json.dumps({"recipe": asdict(recipe), "data": str(data)}, indent=2) + "\n").encode()
