"""Runs of the context networks of `mesh.lite`.

```text
first 3/4 of the steps in floats, last 1/4 with rounding ─► integer network
learning rate: half a cosine
```
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import Tensor, nn

from squeeze3d.training.context_mlp import ContextMLP
from squeeze3d.training.log import Say, silent
from squeeze3d.training.run import Run
from squeeze3d.training.schedules import HalfCosine

ROUNDED = 0.25
"""Share of the steps with rounded weights and activations."""
LEAST_RATE = 1e-6
"""What the learning rate falls to."""


class ContextRun(Run[ContextMLP]):
    """A run that makes the bits of cells fewer. Parameters as those of `Run`.

    `highest_rate` : learning rate at the start.
    """

    def __init__(
        self,
        folder: Path,
        build: Callable[[], ContextMLP],
        identity: dict[str, object],
        *,
        steps: int,
        seed: int,
        highest_rate: float,
        say: Say = silent,
    ) -> None:
        self._highest_rate = highest_rate
        super().__init__(folder, build, identity, steps=steps, seed=seed, weight_decay=1e-4, say=say)

    @abstractmethod
    def bits(self) -> Tensor:
        """Mean bits of a cell in the batch of the step at hand."""

    def losses(self) -> dict[str, Tensor]:
        """`bits_per_cell`."""
        self.model.rounding = self.step / self.steps >= 1 - ROUNDED
        return {"bits_per_cell": self.bits()}

    def rate(self, step: int) -> float:
        """Falls from the first step on."""
        return self._highest_rate * HalfCosine(self.steps)(step) + LEAST_RATE

    def clipped(self) -> Iterable[nn.Module]:
        """Nothing."""
        return ()
