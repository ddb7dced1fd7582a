"""`train_mapping`: training a mapping network on a data set of latent pairs.

```text
data ─► micro-batch ─► forward half ─► code ─► reverse half ─► ẑ_G ─► loss ─► Muon, AdamW ─► log, checkpoint
                                        │                       └─► frozen generator (rendering loss only)
                                        └─► error of a quantiser (fine-tuning only)
RUN/  config.json  checkpoint.pt  log.jsonl  loss.png  mapping.safetensors
```

In one process on a CPU, with one number of threads, the weights follow from data, recipe, seed and number of steps
alone: a run that was stopped and resumed any number of times ends with the same bits as one that was not.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Generator as Yields
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from squeeze3d._version import __version__
from squeeze3d.codecs.pairs.networks import Networks
from squeeze3d.codecs.pairs.spec import Generator, PairSpec
from squeeze3d.errors import UsageError
from squeeze3d.files import atomic_write, make_folder
from squeeze3d.mapping.diagnostics import condition_number, effective_rank
from squeeze3d.mapping.losses import GramForm, MappingLoss, rendering_loss
from squeeze3d.mapping.networks import MappingNetwork, build_mapping, load_mapping, save_mapping
from squeeze3d.mapping.triplanes import LatentStandardiser, StandardiserFit, cell_weights
from squeeze3d.training.checkpoint import (
    Checkpoint,
    difference,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.evaluate import BATCH, LIMIT, mean_squares, target_variance
from squeeze3d.training.fabric import make_fabric
from squeeze3d.training.interrupts import Interrupt, held_back
from squeeze3d.training.interval import Interval
from squeeze3d.training.log import Entry, Log, read_log
from squeeze3d.training.optimisers import build_optimisers
from squeeze3d.training.plots import check_plots, plot_losses
from squeeze3d.training.presets import Recipe
from squeeze3d.training.schedules import Constant, LinearDecay
from squeeze3d.weights.cache import locate
from squeeze3d.weights.hashing import sha256_of

MAPPING = "mapping.safetensors"
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
CONFIG = "config.json"
LOSS_PLOT = "loss.png"


class Noise(Protocol):
    """What a quantiser does to codes (B, d), differentiable. A module, if it has tensors of its own."""

    def __call__(self, codes: Tensor, /) -> Tensor:
        """Codes with the quantiser's error."""

    def penalty(self, codes: Tensor) -> Tensor:
        """Scalar that is added to the loss: what writing the codes costs."""


@dataclass(frozen=True)
class RunConfig:
    """How one run is carried out."""

    recipe: Recipe
    steps: int | None = None
    """None: the epochs of the recipe. Another number may be given when a run is resumed; the schedule follows it."""
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    """Per node, one process each."""
    nodes: int = 1
    log_every: int = 50
    """Steps between lines of the log."""
    validate_every: int = 500
    save_every: int = 1000
    """Steps between checkpoints."""
    save_seconds: float = 300.0
    """Longest time between checkpoints, for one process."""

    def __post_init__(self) -> None:
        """Raise UsageError for numbers out of range."""
        for name in ("devices", "nodes", "log_every", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', ' ')} must be at least 1")
        if self.steps is not None and self.steps < 1:
            raise UsageError("a run has at least 1 step")
        if not 0 <= self.seed < 1 << 62:
            raise UsageError("the seed must lie in 0..2**62 - 1")


@dataclass(frozen=True)
class Start:
    """Weights to begin with instead of random ones, and perhaps an error to train with: fine-tuning."""

    mapping: Path
    noise: Noise | None
    about: dict[str, Any]
    """Plain data that tells this start from others."""


@dataclass(frozen=True)
class Tick:
    """Where a run is."""

    step: int
    steps: int
    seconds_left: float
    entries: tuple[Entry, ...] = ()
    """Lines that were added to the log just now."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to."""

    folder: Path
    steps: int
    resumed_from: int
    """Steps that were there before; equal to `steps` if none was left to do."""
    latent_error: float
    """On the validation split, relative to the variance of the latents."""
    parameters: int
    is_main: bool
    """Whether this is the process that writes and speaks."""

    @property
    def mapping(self) -> Path:
        """The trained network."""
        return self.folder / MAPPING


def train_mapping(
    pair: PairSpec,
    data: LatentPairs,
    folder: str | Path,
    config: RunConfig,
    *,
    start: Start | None = None,
    restart: bool = False,
    progress: Callable[[Tick], None] = lambda tick: None,
) -> TrainingResult:
    """Train a mapping network, or go on with the run that the folder holds.

    Signals that end the program take effect between two steps, after a checkpoint was written.

    Parameters
    ----------
    restart : forget what the folder holds.
    progress : called after every step, in the process that writes.

    Raises
    ------
    UsageError : the folder holds a run of another configuration, the data are of another pair or lack what the recipe
        asks for, the pair cannot do it, or training diverges.
    InputError, FormatError : a checkpoint or a shard is damaged. OutputError : the folder cannot be written.
    MissingExtraError : the `train` extra is not installed. MissingWeightsError : a rendering loss needs the generator.
    """
    check_plots()
    check_data(pair, data)
    check_terms(pair, data, config.recipe)
    if config.recipe.standardise_targets and pair.architecture == "conv3d":
        raise UsageError(
            "a convolutional mapping network cannot be trained on standardised targets",
            hint="leave out `--standardise-targets`",
        )
    if start is not None and pair.architecture_options.get("skip"):
        raise UsageError(f"the mapping network of {pair.id} sends more than its code: it cannot be fine-tuned")
    fabric = make_fabric(config.device, devices=config.devices, nodes=config.nodes, precision=config.recipe.precision)
    # The random numbers of the caller are none of our business.
    with torch.random.fork_rng(devices=[fabric.device] if fabric.device.type == "cuda" else []):
        run = _Run(fabric, pair, data, Path(folder), config, start)
        run.prepare(None if restart else run.find_checkpoint())
        return run.finish(progress)


def check_data(pair: PairSpec, data: LatentPairs) -> None:
    """Raise UsageError if a data set is not of a pair."""
    description = data.description
    if description.pair != pair.id:
        raise UsageError(
            f"the data set in `{data.folder}` is of pair {description.pair}, not {pair.id}",
            hint=f"draw one: `sq3d train dataset --pair {pair.id}`",
        )
    if (description.encoder_shape, description.generator_shape) != (pair.encoder_shape, pair.generator_shape):
        raise UsageError(f"the latents in `{data.folder}` do not have the shapes that {pair.id} has now")


def check_terms(pair: PairSpec, data: LatentPairs, recipe: Recipe) -> None:
    """Raise UsageError if a recipe asks for a term of the loss that the pair or the data set cannot serve."""
    if recipe.spatial_weights is not None:
        extent = pair.planes_half_extent
        if extent is None:
            raise UsageError(
                f"the generator latents of {pair.id} are not feature planes in space",
                hint="leave out `--spatial-weights`",
            )
        if data.description.planes_half_extent != extent:
            raise UsageError(
                f"the data set in `{data.folder}` does not tell where surfaces meet the planes of {pair.id}",
                hint="draw it again in another folder with `sq3d train dataset`, or leave out `--spatial-weights`",
            )
    if recipe.render_weight and not pair.refine_steps:
        raise UsageError(
            f"{pair.id} cannot measure how far what a latent generates is from an asset",
            hint="leave out `--render-weight`",
        )


def has_run(folder: str | Path) -> bool:
    """Whether a folder holds a run that can be resumed."""
    return (Path(folder) / CHECKPOINT).exists()


_Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8] | None]
"""Encoder latents, generator latents and, with spatial weights, cells that the surface meets."""


class _Noisy(nn.Module):
    """A mapping network with an error added to its codes, as one module: several processes share gradients that way."""

    def __init__(self, network: MappingNetwork, noise: Noise) -> None:
        super().__init__()
        self.network = network
        self.noise = noise

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        code = self.network.forward_map(latent)
        return self.network.reverse_map(self.noise(code)), code


class _Run:
    def __init__(
        self, fabric: Any, pair: PairSpec, data: LatentPairs, folder: Path, config: RunConfig, start: Start | None
    ) -> None:
        self.fabric, self.pair, self.data, self.folder, self.config = fabric, pair, data, folder, config
        self.recipe, self.start = config.recipe, start
        self.is_main = fabric.global_rank == 0
        samples = len(data.indices("train")) // fabric.world_size
        if samples < 1:
            raise UsageError(f"{fabric.world_size} processes are too many for {samples} samples")
        self.batch = min(self.recipe.batch_size, samples)
        self.per_epoch = samples // self.batch
        """Micro-batches of each process; what is left over of an epoch waits for another shuffle."""
        self.steps = config.steps or math.ceil(self.recipe.epochs * self.per_epoch / self.recipe.accumulate)
        identity = {
            "pair": pair.id,
            "architecture": [pair.architecture, pair.code_size, dict(pair.architecture_options)],
            "data": data.description.fields(),
            "recipe": self.recipe.settings(),
            "seed": config.seed,
            "start": None if start is None else start.about,
        }
        if self.recipe.render_weight:
            identity["generator"] = {name: sha256_of(locate(name)) for name in pair.generator_weights}
        # Through JSON, so that it compares with what a checkpoint holds.
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    def find_checkpoint(self) -> Checkpoint | None:
        """Checkpoint of this run; raises UsageError if the folder holds another run."""
        if not has_run(self.folder):
            return None
        found = load_checkpoint(self.folder / CHECKPOINT)
        if found.identity != self.identity:
            raise UsageError(
                f"`{self.folder}` holds a run with another {difference(found.identity, self.identity)}",
                hint="choose another folder, or start over with `--force`",
            )
        return found

    def prepare(self, resumed: Checkpoint | None) -> None:
        """Make network and optimisers, with the state of a checkpoint if there is one."""
        recipe, device = self.recipe, self.fabric.device
        torch.manual_seed(self.config.seed)
        self.network = self._build()
        self.standardiser = self._standardiser(resumed)
        self.network.to(device).train()
        self.optimisers = build_optimisers(
            self.network.parameters(), recipe.optimiser, lr=recipe.lr, adamw_lr=recipe.adamw_lr
        )
        if recipe.optimiser == "muon":
            for group in self.optimisers[0].param_groups:
                group["weight_decay"] = recipe.weight_decay
        self.rates = [[group["lr"] for group in each.param_groups] for each in self.optimisers]
        self.schedule: Callable[[int], float] = Constant()
        if recipe.decay is not None:
            self.schedule = LinearDecay(recipe.lr, recipe.final_lr, max(1, round(recipe.decay * self.steps)))
        self.noise = None if self.start is None else self.start.noise
        module = self.network if self.noise is None else _Noisy(self.network, self.noise)
        self.module = self.fabric.setup_module(module)
        # The generator is a term of the loss: where there is none, its weights need not be here.
        self.generator: Generator | None = (
            Networks(self.pair, str(device), b"").generator if recipe.render_weight else None
        )
        self.loss = MappingLoss(None if recipe.gram == "off" else GramForm(recipe.gram), recipe.gram_weight)
        self.first = 0
        if resumed is not None:
            self.first = resumed.step
            self.network.load_state_dict(resumed.model)
            for optimiser, state in zip(self.optimisers, resumed.optimisers, strict=True):
                optimiser.load_state_dict(state)
        if self.fabric.world_size > 1:
            # Each process drops other units. Their random states are not kept: only one process resumes bit by bit.
            torch.manual_seed(self.config.seed + (self.first << 20) + self.fabric.global_rank)
        elif resumed is not None:
            restore_random_state(resumed.random)

    def finish(self, progress: Callable[[Tick], None]) -> TrainingResult:
        """Do the steps that are left, and write the results."""
        # One answer for all processes: they wait for each other at the end.
        if self._agreed(self.first < self.steps or not self._is_written()):
            if self.is_main:
                make_folder(self.folder)
                self.variance = target_variance(self.data)
                self.log = Log(self.folder / LOG, after_step=self.first)
                self._write_config()
            with held_back() as interrupt:
                with contextlib.closing(self._batches()) as batches:
                    stopped = self._train(batches, interrupt, progress)
                if stopped:
                    interrupt.deliver()
                    # The signal reached another process.
                    raise KeyboardInterrupt
                self._write_results()
                interrupt.deliver()
        return TrainingResult(
            folder=self.folder,
            steps=max(self.first, self.steps),
            resumed_from=self.first,
            latent_error=self._last_error(),
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            is_main=self.is_main,
        )

    def _build(self) -> MappingNetwork:
        pair = self.pair
        network = build_mapping(
            pair.architecture,
            encoder_shape=pair.encoder_shape,
            generator_shape=pair.generator_shape,
            code_size=pair.code_size,
            dropout=self.recipe.dropout,
            **pair.architecture_options,
        )
        if self.start is not None:
            network.load_published_state_dict(load_mapping(self.start.mapping, pair).published_state_dict())
        return network

    def _standardiser(self, resumed: Checkpoint | None) -> LatentStandardiser | None:
        if not self.recipe.standardise_targets:
            return None
        if resumed is not None:
            return LatentStandardiser.from_tensors(resumed.standardiser)
        fit = StandardiserFit(self.pair.generator_shape)
        for _, latents in self.data.batches("train", BATCH, limit=LIMIT):
            fit.update(torch.from_numpy(latents))
        standardiser = fit.finish()
        if self.start is not None:
            # The start gives plain latents.
            self.network.fold_output(1 / standardiser.std, -standardiser.mean / standardiser.std)
        return standardiser

    def _batches(self) -> Yields[_Batch, None, None]:
        """Micro-batches from the first step on, each read while the one before is worked on."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        first, last = (steps * self.recipe.accumulate for steps in (self.first, self.steps))
        order: tuple[int, Any] = (-1, None)

        def read(number: int) -> _Batch:
            nonlocal order
            epoch, position = divmod(number, self.per_epoch)
            if order[0] != epoch:
                order = epoch, self.data.order(epoch, self.config.seed)
            begin = (position * world + rank) * self.batch
            chosen = order[1][begin : begin + self.batch]
            cells = None if self.recipe.spatial_weights is None else self.data.read_surface(chosen)
            return *self.data.read(chosen), cells

        with ThreadPoolExecutor(1) as reader:
            waiting = reader.submit(read, first)
            for number in range(first, last):
                batch = waiting.result()
                waiting = reader.submit(read, number + 1)
                yield batch

    def _train(self, batches: Iterator[_Batch], interrupt: Interrupt, progress: Callable[[Tick], None]) -> bool:
        """Do the steps that are left; whether it was asked to stop before they were done."""
        config, world = self.config, self.fabric.world_size
        interval = Interval()
        began = saved = time.monotonic()
        for done in range(self.first + 1, self.steps + 1):
            self._step(done - 1, batches, interval)
            last = done == self.steps
            stop = self._agreed(interrupt.requested)
            due = done % config.save_every == 0 or (world == 1 and time.monotonic() - saved >= config.save_seconds)
            log = last or done % config.log_every == 0
            if due or stop or log:
                self._check_finite(done, interval)
            entries = []
            if log:
                entries.append(self._training_entry(done, interval))
                interval = Interval()
            if self.is_main:
                if last or done % config.validate_every == 0:
                    entries.append(self._validation_entry(done))
                for entry in entries:
                    self.log.write(entry)
                if due or stop or last:
                    self._save(done)
                    saved = time.monotonic()
                pace = (time.monotonic() - began) / (done - self.first)
                progress(Tick(done, self.steps, pace * (self.steps - done), tuple(entries)))
            if stop:
                return True
        return False

    def _step(self, step: int, batches: Iterator[_Batch], interval: Interval) -> None:
        factor, accumulate = self.schedule(step), self.recipe.accumulate
        for optimiser, rates in zip(self.optimisers, self.rates, strict=True):
            optimiser.zero_grad(set_to_none=True)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        for micro in range(accumulate):
            encoder, generator, cells = next(batches)
            inputs, latent = (torch.from_numpy(each).to(self.fabric.device) for each in (encoder, generator))
            targets = latent if self.standardiser is None else self.standardiser.standardise(latent)
            # Gradients of several processes need to meet once per step only.
            apart = self.fabric.world_size > 1 and micro < accumulate - 1
            with self.fabric.no_backward_sync(self.module, enabled=apart):
                outputs, codes = self.module(inputs)
                parts = self._weighted(cells)(outputs.float(), targets, codes.float())
                total = parts.total if self.noise is None else parts.total + self.noise.penalty(codes)
                rendering = None
                if self.generator is not None and micro == 0 and step % self.recipe.render_every == 0:
                    rendering = self._rendering(self.generator, outputs.float(), latent)
                    # Once for a step, however many micro-batches it has.
                    total = total + accumulate * self.recipe.render_weight * rendering
                self.fabric.backward(total / accumulate)
            interval.add(total, parts, codes, rendering)
        for optimiser in self.optimisers:
            optimiser.step()

    def _weighted(self, cells: NDArray[np.uint8] | None) -> MappingLoss:
        """The loss, with weights for the elements of this batch."""
        if cells is None:
            return self.loss
        assert self.recipe.spatial_weights is not None
        on_device = torch.from_numpy(cells).to(self.fabric.device)
        return replace(self.loss, element_weights=cell_weights(on_device, background=self.recipe.spatial_weights))

    def _rendering(self, generator: Generator, outputs: Tensor, targets: Tensor) -> Tensor:
        """Rendering loss of the first samples of a batch; batches are shuffled, so over time all have their turn."""
        samples = self.recipe.render_samples
        outputs = outputs[:samples]
        latents = outputs if self.standardiser is None else self.standardiser.restore(outputs)
        return rendering_loss(generator, latents, targets[:samples])

    def _agreed(self, one: bool) -> bool:
        """Whether it is so for any process: all must do the same number of steps."""
        if self.fabric.world_size == 1:
            return one
        flag = torch.tensor(float(one), device=self.fabric.device)
        return bool(self.fabric.all_reduce(flag, reduce_op="sum") > 0)

    def _check_finite(self, step: int, interval: Interval) -> None:
        if not interval.is_finite():
            raise UsageError(
                f"training diverged before step {step}: the loss is not finite",
                hint="use a smaller `--lr`; a checkpoint from before is kept",
            )

    def _training_entry(self, step: int, interval: Interval) -> Entry:
        codes = interval.codes()
        return {
            "kind": "train",
            "step": step,
            "epoch": self._epoch(step),
            **interval.means(),
            "lr": self.recipe.lr * self.schedule(step - 1),
            "d_eff": effective_rank(codes),
            "d_eff_centred": effective_rank(codes, centred=True),
            "condition": condition_number(codes),
            "samples_per_second": interval.samples_per_second() * self.fabric.world_size,
        }

    def _validation_entry(self, step: int) -> Entry:
        """Errors on the validation split. Nothing random is drawn, so validating leaves no trace in the weights."""
        standardiser = self.standardiser
        self.network.eval()

        def errors(predict: Callable[[Tensor], Tensor], target: Callable[[Tensor], Tensor]) -> float:
            return mean_squares(predict, self.data, "validation", device=self.fabric.device, target=target)

        if standardiser is None:
            loss = plain = errors(lambda inputs: self.network(inputs)[0], lambda latents: latents)
        else:
            loss = errors(lambda inputs: self.network(inputs)[0], standardiser.standardise)
            plain = errors(lambda inputs: standardiser.restore(self.network(inputs)[0]), lambda latents: latents)
        self.network.train()
        return {
            "kind": "validation",
            "step": step,
            "epoch": self._epoch(step),
            "reconstruction": loss,
            "latent_error": plain / self.variance,
        }

    def _epoch(self, step: int) -> float:
        return round(step * self.recipe.accumulate / self.per_epoch, 3)

    def _last_error(self) -> float:
        entries = read_log(self.folder / LOG) if self.is_main and (self.folder / LOG).exists() else []
        errors = [entry.get("latent_error") for entry in entries if entry.get("kind") == "validation"]
        return float(errors[-1]) if errors and errors[-1] is not None else math.nan

    def _save(self, step: int) -> None:
        save_checkpoint(
            self.folder / CHECKPOINT,
            Checkpoint(
                step=step,
                model=self.network.state_dict(),
                optimisers=[optimiser.state_dict() for optimiser in self.optimisers],
                random=random_state(),
                standardiser={} if self.standardiser is None else self.standardiser.tensors(),
                identity=self.identity,
            ),
        )

    def _write_config(self) -> None:
        config = {
            "version": __version__,
            "steps": self.steps,
            "processes": self.fabric.world_size,
            "device": str(self.fabric.device.type),
            **self.identity,
        }
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        atomic_write(self.folder / CONFIG, text.encode(), overwrite=True)

    def _about(self) -> dict[str, str]:
        """Metadata of the trained network."""
        training = {**self.identity, "steps": max(self.first, self.steps)}
        return {"pair": self.pair.id, "training": json.dumps(training, sort_keys=True), "version": __version__}

    def _is_written(self) -> bool:
        """Whether the network in the folder is the one of the last step; a run may end between the two files."""
        try:
            with safe_open(self.folder / MAPPING, framework="np") as file:
                return (file.metadata() or {}).get("training") == self._about()["training"]
        except (OSError, SafetensorError):
            return False

    def _write_results(self) -> None:
        """Write the network in its published form, and the plot. The network is not trained any further."""
        if self.is_main:
            if self.standardiser is not None:
                self.network.fold_output(self.standardiser.std, self.standardiser.mean)
            save_mapping(self.network, self.folder / MAPPING, self._about(), overwrite=True)
            plot_losses(read_log(self.folder / LOG), self.folder / LOSS_PLOT)
        self.fabric.barrier()
