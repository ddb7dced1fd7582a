"""Optimisers of the published training runs.

| preset | matrices | all else | used for |
|---|---|---|---|
| `muon` | Muon | AdamW, betas (0.95, 0.95), lr 3e-4 | all pairs but Shap-E |
| `adam` | Adam, betas (0.9, 0.999) | the same | Shap-E |

"Matrices" are parameters of two or more dimensions whose first is below 10,000. That sends the last layer of the mesh
networks, with up to a million rows, to AdamW.

Both rates follow one schedule (`squeeze3d.training.schedules`): multiply both by the same factor.

**Muon here and in torch.** `torch.optim.Muon` is used with `ns_steps=6` (default 5), `weight_decay=0` (default 0.1),
and the "original" adjustment lr * sqrt(max(1, rows / columns)), its default. It averages the momentum,
buf = m buf + (1 - m) g, where the research code sums, buf = m buf + g. That scales the update by 1 - m, and the
update is normalised before use, so steps agree. Kernels count as matrices, see `squeeze3d.training.muon`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch

from squeeze3d.errors import UnsupportedError, UsageError

Preset = Literal["muon", "adam"]

MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 6
ADAMW_RATE = 3e-4
"""Learning rate of AdamW beside Muon at the start."""
LARGEST_MATRIX = 10_000
"""First dimension from which on a parameter is left to AdamW."""


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether Muon updates a parameter."""
    return parameter.ndim >= 2 and len(parameter) < LARGEST_MATRIX


def build_optimisers(
    parameters: Iterable[torch.nn.Parameter], preset: Preset, *, lr: float, adamw_lr: float = ADAMW_RATE
) -> list[torch.optim.Optimizer]:
    """Optimisers that together update all parameters that need gradients: call `step` of each.

    `muon` gives Muon and AdamW, in this order, without the one that has nothing to do. `adam` gives Adam alone.

    Raises UsageError for an unknown preset, a rate that is not positive, or nothing to train, and UnsupportedError if
    torch is older than 2.9 and Muon is asked for.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise UsageError("no parameter needs gradients: nothing to train")
    if not (0 < lr < float("inf") and 0 < adamw_lr < float("inf")):
        raise UsageError(f"learning rates are positive, not {lr:g} and {adamw_lr:g}")
    if preset == "adam":
        return [torch.optim.Adam(trained, lr=lr)]
    if preset != "muon":
        raise UsageError(f"no optimiser `{preset}`", hint="known: `muon`, `adam`")
    if not hasattr(torch.optim, "Muon"):
        raise UnsupportedError(f"torch {torch.__version__} has no Muon", hint='run `pip install "torch>=2.9"`')
    from squeeze3d.training.muon import Muon

    optimisers: list[torch.optim.Optimizer] = []
    if matrices := [parameter for parameter in trained if is_matrix(parameter)]:
        optimisers.append(
            Muon(
                matrices,
                lr=lr,
                momentum=MOMENTUM,
                nesterov=True,
                ns_steps=NEWTON_SCHULZ_STEPS,
                weight_decay=0.0,
                adjust_lr_fn="original",
            )
        )
    if others := [parameter for parameter in trained if not is_matrix(parameter)]:
        optimisers.append(torch.optim.AdamW(others, lr=adamw_lr, betas=(MOMENTUM, MOMENTUM), weight_decay=0.0))
    return optimisers
