"""Latent refinement: better codes by gradient descent when encoding. Files and decoders stay as they are.

```text
z ─► + quantisation noise ─► F_D ─► G ─► distance to the original ─► gradient ─► z      (E takes no part)
```

The forward mapping gives a code that is good on average; what counts is what the frozen reverse mapping and generator
make of it for this asset. Noise of the quantiser's width keeps the code where rounding does little harm. The rounded
code is looked at now and then, and the best one ever seen is returned: refinement never makes the distance worse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.source import Asset
from squeeze3d.mapping.code_model import standardised

if TYPE_CHECKING:
    from squeeze3d.codecs.pairs.networks import Networks

RATE = 0.03
"""Step size relative to the root mean square of the code."""
CHECKS = 8
"""How often the rounded code is looked at."""


def refine(
    nets: Networks,
    framed: Asset,
    code: NDArray[np.float32],
    rate: int,
    steps: int,
    *,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
    seed: int = 0,
) -> NDArray[np.int32]:
    """Symbols at a rate that bring the generated asset closest to an asset in the pair's frame.

    `code` (d,) is where the search starts; the result is at least as close as its own symbols.
    """
    import torch

    if nets.model.standardise:
        # What the decoder sees of a code; noise has its units.
        code = standardised(code.astype(np.float64)).astype(np.float32)
    random = np.random.Generator(np.random.PCG64(seed))
    scale = float(np.sqrt(np.mean(code.astype(np.float64) ** 2))) or 1.0
    z = torch.tensor(code, device=nets.device, requires_grad=True)
    optimiser = torch.optim.Adam([z], lr=RATE * scale)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - 0.9 * step / max(steps, 1))

    def distance(values: torch.Tensor) -> torch.Tensor:
        return nets.generator.distance(nets.reverse_map(values[None]), framed)

    def rounded() -> tuple[float, NDArray[np.int32]]:
        symbols = nets.model.quantise(z.detach().cpu().numpy(), rate)
        with torch.no_grad():
            back = torch.from_numpy(nets.model.dequantise(symbols, rate)).to(nets.device)
            return float(distance(back)), symbols

    best = rounded()
    every = max(1, steps // CHECKS)
    for step in range(steps):
        noise = torch.from_numpy(nets.model.noise(random, rate)).to(nets.device)
        optimiser.zero_grad()
        distance(z + noise).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            progress("refine", 0.3 + 0.5 * (step + 1) / steps)
            now = rounded()
            if now[0] < best[0]:
                best = now
    return best[1]
