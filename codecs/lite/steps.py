"""Quantisation of the scalars: signed distances at the centres of surface cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = (0.0, 0.45, 0.3, 0.15)
"""Quantisation steps in cells, by index; 0 means that there are no scalars. Part of the format."""
SYMBOLS = (1, 3, 5, 7)
"""How many values a scalar can have at each step: 0, -1..1, -2..2, -3..3. Part of the format."""


def quantise(distances: NDArray[np.floating], step_index: int) -> NDArray[np.int32]:
    """Scalars, as integers around 0, of signed distances in cells; step index 0 has none."""
    assert step_index
    largest = SYMBOLS[step_index] // 2
    return np.clip(np.rint(distances / STEPS[step_index]), -largest, largest).astype(np.int32)
