"""Splats moved, turned, sized and coloured so that they look like the original.

A few hundred steps of gradient descent, one small view at a time. Views are none of the measuring rig's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from squeeze3d.backbones.threads import one_thread
from squeeze3d.codecs.splats.gaussians import Gaussians
from squeeze3d.codecs.splats.views import Parameters, Views, drawn

RATES = {"centres": 0.08, "odds": 0.04, "logs": 0.02, "turns": 0.02, "colours": 0.015}
"""Largest step of each attribute; centres in units of a splat's width."""
LAST = 0.1
"""Part of the first step that the last one has."""


def refit(
    start: Gaussians, views: Views, steps: int, *, only: Sequence[str] = tuple(RATES), pace: float = 1.0
) -> Gaussians:
    """The splats after some steps; the same on every run and on any number of threads.

    Parameters
    ----------
    only : attributes that may change, of `RATES`.
    pace : factor of all rates.
    """
    with one_thread():
        return _refit(start, views, steps, {name: pace * RATES[name] for name in only})


def _refit(start: Gaussians, views: Views, steps: int, rates: Mapping[str, float]) -> Gaussians:
    parameters = Parameters.of(start)
    width = torch.as_tensor(np.exp(start.logs[:, :2].mean(axis=1)), dtype=torch.float32)[:, None]
    # Centres move in units of each splat's own width.
    shift = torch.zeros_like(parameters.centres)
    tensors = {
        "centres": shift,
        "odds": parameters.odds,
        "logs": parameters.logs,
        "turns": parameters.turns,
        "colours": parameters.colours,
    }
    groups = [{"params": [tensors[name].requires_grad_()], "lr": rate} for name, rate in rates.items()]
    optimiser = torch.optim.Adam(groups, betas=(0.8, 0.95), eps=1e-12)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: LAST ** (step / max(steps, 1)))
    order = np.random.Generator(np.random.PCG64(0))
    queue: list[int] = []
    for _ in range(steps):
        queue = queue or order.permutation(len(views.cameras)).tolist()
        view = queue.pop()
        moved = dataclasses.replace(parameters, centres=parameters.centres + shift * width)
        picture = drawn(moved, views.cameras[view])[0]
        loss = ((picture - views.picture(view)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return dataclasses.replace(parameters, centres=parameters.centres + shift * width).gaussians()
