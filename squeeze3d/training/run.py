"""`Run`: what the trainings of embedded networks have in common.

```text
losses of a step ─► gradients ─► clipped ─► AdamW ─► running mean of the weights ─► now and then: report, checkpoint
RUN/  checkpoint.pt  log.jsonl
```

A run goes on where its last checkpoint stands. With more steps than before, a finished run goes on as well, on the
schedule of the larger number. In one process, with one number of threads, a run that was stopped and resumed ends with
the same bits as one that was not: the step decides samples and rate, and the checkpoint holds everything else.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from squeeze3d.errors import UsageError
from squeeze3d.files import make_folder
from squeeze3d.training.checkpoint import (
    Checkpoint,
    difference,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from squeeze3d.training.interrupts import held_back
from squeeze3d.training.log import Log, Say, silent

CHECKPOINT, LOG = "checkpoint.pt", "log.jsonl"
LARGEST_GRADIENT = 1.0
"""Norm that gradients are clipped to."""

Model = TypeVar("Model", bound=nn.Module)


class Run(ABC, Generic[Model]):
    """One run in a folder. A subclass says what is learnt, and how fast.

    Parameters
    ----------
    folder : created. A checkpoint in it is taken up.
    build : makes a model with random weights.
    identity : what makes the run this one; plain data.
    steps : in all.
    seed : of weights and samples.
    weight_decay : of AdamW.
    average : share of the past in the running mean of the weights; None: no mean, `mean` is the model itself.

    Raises UsageError if the folder holds another run, FormatError for a damaged checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        build: Callable[[], Model],
        identity: dict[str, object],
        *,
        steps: int,
        seed: int,
        weight_decay: float,
        average: float | None = None,
        say: Say = silent,
    ) -> None:
        make_folder(folder)
        self.folder, self.identity, self.steps, self.seed = folder, identity, steps, seed
        self.average, self.say, self.step = average, say, 0
        torch.manual_seed(seed)
        self.model = build()
        self.mean = self.model
        if average is not None:
            self.mean = build()
            self.mean.load_state_dict(self.model.state_dict())
        # Every step sets its rate.
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=weight_decay)
        if (folder / CHECKPOINT).exists():
            self._resume(load_checkpoint(folder / CHECKPOINT))
        self.log = Log(folder / LOG, after_step=self.step)

    @abstractmethod
    def rate(self, step: int) -> float:
        """Learning rate after so many steps."""

    @abstractmethod
    def losses(self) -> dict[str, Tensor]:
        """Parts of the loss of the step at hand, by name. Their sum is made smaller, their means are reported."""

    def measure(self) -> dict[str, float]:
        """Figures on held-back data for the report; none unless a subclass has some."""
        return {}

    def clipped(self) -> Iterable[nn.Module]:
        """Parts of the model whose gradients are clipped, each for itself."""
        return (self.model,)

    def random(self, *stream: int) -> np.random.Generator:
        """Random numbers of the step at hand: a resumed run sees what it would have seen."""
        return np.random.default_rng([self.seed, *stream, self.step])

    def go(self, *, every: int, until: int | None = None) -> None:
        """Train to the end, or to a step before it; report and save after every so many steps.

        Ctrl-C ends after the step at hand, with a checkpoint.
        """
        last = self.steps if until is None else min(until, self.steps)
        sums: dict[str, float] = {}
        count, started = 0, time.monotonic()
        with held_back() as interrupt:
            while self.step < last:
                for name, value in self._advance().items():
                    sums[name] = sums.get(name, 0.0) + value
                count += 1
                due = self.step % every == 0 or self.step == last
                if due:
                    means = {name: round(value / count, 5) for name, value in sums.items()}
                    self._report(means, time.monotonic() - started)
                    sums, count = {}, 0
                if due or interrupt.requested:
                    self.save()
                    interrupt.deliver()

    def save(self) -> None:
        """Write the checkpoint."""
        state = Checkpoint(
            step=self.step,
            model=self.model.state_dict(),
            optimisers=[self.optimiser.state_dict()],
            random=random_state(),
            standardiser={} if self.average is None else self.mean.state_dict(),
            identity=self.identity,
        )
        save_checkpoint(self.folder / CHECKPOINT, state)

    def _resume(self, state: Checkpoint) -> None:
        if state.identity != self.identity:
            raise UsageError(
                f"`{self.folder}` holds a run with another {difference(state.identity, self.identity)}",
                hint="give the same options, or another folder",
            )
        self.model.load_state_dict(state.model)
        if self.average is not None:
            self.mean.load_state_dict(state.standardiser)
        self.optimiser.load_state_dict(state.optimisers[0])
        restore_random_state(state.random)
        self.step = state.step

    def _advance(self) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(self.step)
        losses = self.losses()
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for part in self.clipped():
            nn.utils.clip_grad_norm_(part.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self.step += 1
        if self.average is not None:
            self._follow(self.average)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _follow(self, average: float) -> None:
        """Move the mean. At first it forgets faster: it starts at random weights."""
        weight = 1 - min(average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, weight)

    def _report(self, means: dict[str, float], seconds: float) -> None:
        measured = self.measure()
        figures = means | measured
        self.log.write({"kind": "validation" if measured else "train", "step": self.step, **figures})
        self.say(f"step {self.step} of {self.steps}, {seconds:.0f} s: {figures}")
