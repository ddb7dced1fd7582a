"""Means over the steps between two lines of the log."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.mapping.losses import LossParts

CODES = 256
"""Latest codes that effective rank and condition number are measured on, in whole micro-batches."""


class Interval:
    """Gathers losses and codes. They stay on the device until they are asked for, which would make it wait."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._parts: list[torch.Tensor] = []
        self._renderings: list[torch.Tensor] = []
        self._codes: deque[torch.Tensor] = deque()
        self._samples = 0

    def add(
        self, total: torch.Tensor, parts: LossParts, codes: torch.Tensor, rendering: torch.Tensor | None = None
    ) -> None:
        """Take in one micro-batch: its loss with all terms, the parts of it, and the rendering loss if it had one."""
        self._parts.append(torch.stack([total.detach(), parts.reconstruction, parts.gram]))
        if rendering is not None:
            self._renderings.append(rendering.detach())
        self._samples += len(codes)
        self._codes.append(codes.detach())
        while len(self._codes) > 1 and sum(map(len, self._codes)) - len(self._codes[0]) >= CODES:
            self._codes.popleft()

    def means(self) -> dict[str, float]:
        """Mean `loss` and its parts before weights: `reconstruction`, `gram` and, where there was one, `rendering`."""
        values = torch.stack(self._parts).double().mean(dim=0).tolist()
        means: dict[str, float] = dict(zip(("loss", "reconstruction", "gram"), values, strict=True))
        if self._renderings:
            means["rendering"] = float(torch.stack(self._renderings).double().mean())
        return means

    def is_finite(self) -> bool:
        """Whether all losses were."""
        return not self._parts or bool(torch.isfinite(torch.stack(self._parts)).all())

    def codes(self) -> NDArray[np.float32]:
        """Latest codes (B, d)."""
        result: NDArray[np.float32] = torch.cat(list(self._codes)).float().cpu().numpy()
        return result

    def samples_per_second(self) -> float:
        """Since the interval began."""
        return self._samples / max(time.monotonic() - self._began, 1e-9)
