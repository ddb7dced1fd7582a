"""Trains encoder and generator of `points.lite`.

```text
batch of clouds ─┬─► latent network ─► z_G + noise ─► PatchGenerator ─► points ─► distance to the cloud
                 └─► PointEncoder ─► z_E ─► linear head ─► where transport carries a template, and colours there
```

Two networks that learn apart, on the same batches. The generator learns to unfold latents; what reads latents from
clouds is thrown away, once it has told how latents are distributed. The encoder learns what goes where in a cloud; its
head is thrown away. Neither sees the other's latents: that is what the mapping network of a pair is for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze3d.backbones.cloud_distance import Target
from squeeze3d.backbones.points_lite import (
    COLOUR_SCALE,
    ENCODER_SHAPE,
    INPUT_POINTS,
    LATENT_POINTS,
    PATCH,
    PatchGenerator,
    PointEncoder,
    disc,
)
from squeeze3d.errors import InputError
from squeeze3d.files import make_folder
from squeeze3d.training.averaged_run import AveragedRecipe, AveragedRun
from squeeze3d.training.half import write_half
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import packed_folder
from squeeze3d.training.points_lite_data import DESCRIPTION, FORMAT_VERSION, Clouds, load_clouds, pack
from squeeze3d.training.points_lite_latents import LatentNetwork, fit_prior, make_template, ordered, transport

STEPS = 4000
PROCEDURAL = 1500
"""Procedural objects that are added to a folder of meshes."""
REPORT = 100
"""Steps between lines of the log, and between checkpoints."""
VALIDATION = 64
"""Held-back objects that are looked at."""
TEMPLATE_OBJECTS = 200
FACTORS, EXAMPLES = 400, 2000
"""Of the prior: directions, and latents that are kept."""
GREYED = 0.3
"""Share of recoloured objects that lose some of their saturation."""
ENCODER_FILE, GENERATOR_FILE = "points-lite-encoder.safetensors", "points-lite-generator.safetensors"


@dataclass(frozen=True)
class Recipe(AveragedRecipe):
    """What decides the weights, besides data and number of steps."""

    patch: int = 16
    """Points of each patch that a step looks at."""
    lr: float = 2e-3
    warmup: int = 50
    decay: float = 0.5
    noise: float = 0.06
    """Largest standard deviation of the noise on latents; that of a sample is drawn."""
    jitter: float = 0.01
    """The same of what the encoder sees, in the frame."""
    precision: str = "32"


class Networks(nn.Module):
    """All networks that take part."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = LatentNetwork()
        self.generator = PatchGenerator()
        self.encoder = PointEncoder()
        self.head = nn.Linear(int(np.prod(ENCODER_SHAPE)), LATENT_POINTS * 6)


@dataclass(frozen=True, eq=False)
class Batch:
    """Clouds as the networks see them."""

    clouds: Tensor
    """(B, POINTS, 7) places, colours - 1/2, +-1 with and without colours."""
    carried: Tensor
    """(B, LATENT_POINTS, 6) places and scaled colours of the centres, in the template's order."""


def make_batch(
    data: Clouds, rows: NDArray[np.integer], template: NDArray[np.float32], rng: np.random.Generator | None
) -> Batch:
    """Some objects, changed at random if there is a generator of random numbers."""
    clouds = np.empty((len(rows), data.places.shape[1], 7), dtype=np.float32)
    carried = np.empty((len(rows), LATENT_POINTS, 6), dtype=np.float32)
    for number, row in enumerate(rows):
        places, colours = data.places[row], data.colours[row].astype(np.float32) / 255 - 0.5
        coloured = bool(data.coloured[row])
        if rng is not None:
            places = _moved(places, rng)
            colours = _tinted(colours, rng)
            coloured &= rng.random() < 0.9
        clouds[number, :, :3] = places
        clouds[number, :, 3:6] = colours if coloured else 0.0
        clouds[number, :, 6] = 1.0 if coloured else -1.0
        centres = clouds[number, :LATENT_POINTS, :6]
        carried[number] = centres[transport(template, centres[:, :3])]
    carried[..., 3:] *= COLOUR_SCALE
    return Batch(torch.from_numpy(clouds), torch.from_numpy(carried))


def _moved(places: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turned, mirrored and stretched, in the frame again. Half of all objects only by whole quarters."""
    matrix = np.eye(3)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
        matrix[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
        matrix = np.diag(np.exp(rng.uniform(-0.25, 0.25, 3))) @ matrix
    if rng.random() < 0.5:
        matrix[0] *= -1
    if rng.random() < 0.25:
        # Scans often have another axis upright.
        matrix = matrix[[0, 2, 1]] * np.array([[1.0], [-1.0], [1.0]])
    moved = places @ matrix.T
    low, high = moved.min(axis=0), moved.max(axis=0)
    framed: NDArray[np.float32] = ((moved - (low + high) / 2) / (float((high - low).max()) / 2)).astype(np.float32)
    return framed


def _tinted(colours: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, 3) colours - 1/2 with other channels, contrast and brightness; half of all objects keep theirs.

    Neutral colours stay nearly neutral: most objects have some, and a tint of their own for each would teach pastels.
    """
    if rng.random() < 0.5:
        return colours
    channels = colours[:, rng.permutation(3)]
    if rng.random() < GREYED:
        channels = channels + rng.random() * (channels.mean(axis=1, keepdims=True) - channels)
    tinted = channels * rng.uniform(0.6, 1.2) + rng.uniform(-0.2, 0.2) + rng.uniform(-0.05, 0.05, 3)
    clipped: NDArray[np.float32] = np.clip(tinted, -0.5, 0.5).astype(np.float32)
    return clipped


class PointsRun(AveragedRun[Networks]):
    """A run on clouds.

    Raises InputError if there are none to train on or none to validate on, or as `Run`.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, train: Clouds, validation: Clouds, *, steps: int, say: Say = silent
    ) -> None:
        if not len(train) or not len(validation):
            raise InputError("there are no objects to train on, or none to validate on", hint="give more objects")
        self.recipe, self.train = recipe, train
        some = np.random.default_rng(recipe.seed).permutation(len(train))[:TEMPLATE_OBJECTS]
        self.template = make_template(train.places[np.sort(some), :LATENT_POINTS], recipe.seed)
        self.validation = validation.part(range(min(VALIDATION, len(validation))))
        super().__init__(
            folder,
            Networks,
            {**asdict(recipe), "objects": len(train)},
            recipe,
            steps=steps,
            say=say,
        )

    def losses(self) -> dict[str, Tensor]:
        """`generator`: distance to the clouds; `encoder`: of its head, squared."""
        recipe, model = self.recipe, self.model
        rng = self.random()
        batch = make_batch(self.train, rng.integers(len(self.train), size=recipe.batch), self.template, rng)
        on_disc = disc()[torch.from_numpy(np.sort(rng.permutation(PATCH)[: recipe.patch]))]
        with self.autocast():
            latents = model.latents(batch.clouds)
            sigma = recipe.noise * torch.rand(len(latents), 1, 1)
            places, colours = model.generator(latents + sigma * torch.randn_like(latents), on_disc)
            seen = batch.clouds[:, :INPUT_POINTS].clone()
            seen[..., :3] += recipe.jitter * torch.rand(len(seen), 1, 1) * torch.randn_like(seen[..., :3])
            carried = model.head(model.encoder(seen).flatten(1)).view_as(batch.carried)
        found = zip(targets(batch.clouds), places.float(), colours.float(), strict=True)
        generator = torch.stack([target(p, c) for target, p, c in found]).mean()
        return {"generator": generator, "encoder": (carried.float() - batch.carried).square().mean()}

    def clipped(self) -> Iterable[nn.Module]:
        """The networks that are learnt apart; the head's gradient stays as it is."""
        return self.model.latents, self.model.generator, self.model.encoder

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Errors of the mean networks on held-back objects.

        `geometry` and `colour` of the generator, see `squeeze3d.backbones.cloud_distance`; `carried`: of the encoder's
        head, relative to the variance.
        """
        sums = np.zeros(4)
        mean = self.mean
        for start in range(0, len(self.validation), 16):
            rows = np.arange(start, min(start + 16, len(self.validation)))
            batch = make_batch(self.validation, rows, self.template, None)
            places, colours = mean.generator(mean.latents(batch.clouds), disc()[:: PATCH // 16])
            for target, p, c in zip(targets(batch.clouds), places, colours, strict=True):
                sums[:2] += [float(part) for part in target.parts(p, c)]
            carried = mean.head(mean.encoder(batch.clouds[:, :INPUT_POINTS]).flatten(1)).view_as(batch.carried)
            sums[2] += float((carried - batch.carried).square().sum())
            sums[3] += float((batch.carried - torch.from_numpy(self._carried_mean)).square().sum())
        count = len(self.validation)
        return {
            "geometry": round(float(sums[0] / count), 5),
            "colour": round(float(sums[1] / count), 5),
            "carried": round(float(sums[2] / max(sums[3], 1e-9)), 5),
        }

    @property
    def _carried_mean(self) -> NDArray[np.float32]:
        return np.concatenate([self.template, np.zeros_like(self.template)], axis=1)

    @torch.no_grad()
    def prior(self) -> dict[str, Tensor]:
        """Tensors of the prior: how the latents of training objects are distributed, in the template's order."""
        latents = []
        for start in range(0, len(self.train), 16):
            rows = np.arange(start, min(start + 16, len(self.train)))
            batch = make_batch(
                self.train, rows, self.template, np.random.default_rng([self.recipe.seed, 1 << 40, start])
            )
            latents.append(ordered(self.mean.latents(batch.clouds), self.template))
        return fit_prior(torch.cat(latents), factors=FACTORS, examples=EXAMPLES, seed=self.recipe.seed)

    def export(self, folder: Path) -> None:
        """Write encoder and generator, in half precision."""
        make_folder(folder)
        write_half(self.mean.encoder.state_dict(), folder / ENCODER_FILE)
        write_half({**self.mean.generator.state_dict(), **self.prior()}, folder / GENERATOR_FILE)


def targets(clouds: Tensor) -> list[Target]:
    """What (B, N, 7) clouds ask of generated ones."""
    return [
        Target(cloud[:, :3].numpy(), (cloud[:, 3:6] + 0.5).numpy() if cloud[0, 6] > 0 else None) for cloud in clouds
    ]


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
    """Train encoder and generator, or go on with the run in `output`.

    Parameters
    ----------
    data : folder of meshes (.glb), which are packed into `output/data` together with procedural ones; or a folder that
        `squeeze3d.training.points_lite_data.pack` wrote.
    steps : None: 4,000. A larger number than before goes on with a finished run.
    export : folder for the weights; they are in `output` in any case.
    leave_out : names of objects that training must not see, such as those that results are measured on.
    say : gets a line of progress now and then.

    Raises
    ------
    UsageError : `output` holds another run or other objects, or packed data hold objects to leave out.
    InputError : there are no objects. FormatError : a file is damaged.
    """
    data = packed_folder(
        data, output, DESCRIPTION, FORMAT_VERSION, pack, procedural=PROCEDURAL, leave_out=leave_out, say=say
    )
    chosen, held = load_clouds(data).split()
    say(f"{len(chosen)} objects to train on, {len(held)} to validate on")
    with torch.random.fork_rng(devices=[]):
        run = PointsRun(output, Recipe(seed=seed), chosen, held, steps=steps or STEPS, say=say)
        run.go(every=REPORT)
        run.export(output)
        if export is not None and export != output:
            run.export(export)
