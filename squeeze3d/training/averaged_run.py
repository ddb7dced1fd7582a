"""Runs that keep a running mean of the weights, and the part of their recipes that is the same.

```text
learning rate: rises in the warm-up, stays, falls to 0 at the end        gradients clipped
```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from squeeze3d.training.log import Say, silent
from squeeze3d.training.run import Model, Run
from squeeze3d.training.schedules import WarmupDecay


@dataclass(frozen=True)
class AveragedRecipe:
    """What decides the weights, whatever is trained. Recipes add to it and have defaults of their own."""

    batch: int = 16
    lr: float = 1.5e-3
    """Largest learning rate."""
    warmup: int = 100
    """Steps in which the learning rate rises."""
    decay: float = 0.4
    """Last share of the run in which the learning rate falls to 0."""
    average: float = 0.995
    """Share of the past in the running mean of the weights, which is what is kept."""
    precision: str = "bf16"
    """Of products of matrices: `bf16` or `32`."""
    seed: int = 0


class AveragedRun(Run[Model]):
    """A run by such a recipe. Other parameters as those of `Run`."""

    def __init__(
        self,
        folder: Path,
        build: Callable[[], Model],
        identity: dict[str, object],
        recipe: AveragedRecipe,
        *,
        steps: int,
        say: Say = silent,
    ) -> None:
        self._schedule = WarmupDecay(steps, recipe.warmup, recipe.decay)
        self._lr, self._precision = recipe.lr, recipe.precision
        super().__init__(
            folder,
            build,
            identity,
            steps=steps,
            seed=recipe.seed,
            weight_decay=1e-2,
            average=recipe.average,
            say=say,
        )

    def rate(self, step: int) -> float:
        """Rises in the warm-up, stays, and falls to 0 at the end."""
        return self._lr * self._schedule(step)

    def autocast(self) -> torch.autocast:
        """Context in which networks compute in the precision of the recipe."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._precision == "bf16")
