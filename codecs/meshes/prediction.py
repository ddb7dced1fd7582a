r"""Where a new vertex probably lies, from the vertices around the focus that are known.

```text
      o2──n        f is the focus; its fan is open from g to n, and `rest` new vertices are to come in between.
       \ / \       The vertex c next to g is predicted as f + sum of weights * (feature - f), where the features are
   ─────f   c      g, o (parallelogram across the gate f-g), n, o2 (across the closing edge f-n), and h, the vertex
       / \ /       behind g on the border. The weights depend on `rest` and on the angle that is open at f: they turn
      o───g─h      edges, and they are fitted to many meshes.
```
"""

from __future__ import annotations

import numpy as np

from squeeze3d.codecs.meshes.lattice import TURNS, turn_between
from squeeze3d.compiled import compiled

FEATURES = 5
GATE, APEX, CLOSING, CLOSING_APEX, BORDER = range(FEATURES)
CLOSED_CLASSES = 3 * TURNS
CLASSES = 2 * (CLOSED_CLASSES + TURNS)
"""Fans with an end by `rest` and angle, then fans without one by the angle at g; both without and with h."""
FRACTION = 8
"""Bits behind the point of predictions and weights."""


@compiled
def class_of(at, f, g, o, n, o2, h, rest):  # type: ignore[no-untyped-def]
    """Class of a prediction, below `CLASSES`."""
    if n >= 0:
        group = (min(rest, 3) - 1) * TURNS + turn_between(at, f, g, o, n)
    elif h >= 0:
        group = CLOSED_CLASSES + turn_between(at, g, f, o, h)
    else:
        group = CLOSED_CLASSES
    return 2 * group + (1 if h >= 0 else 0)


@compiled
def collect(at, f, g, o, n, o2, h, features):  # type: ignore[no-untyped-def]
    """Fill (FEATURES, 3) `features` with vectors from f; those that are missing are 0."""
    for axis in range(3):
        base = at[f, axis]
        features[GATE, axis] = at[g, axis] - base
        features[APEX, axis] = at[o, axis] - base
        features[CLOSING, axis] = at[n, axis] - base if n >= 0 else 0
        features[CLOSING_APEX, axis] = at[o2, axis] - base if o2 >= 0 else 0
        features[BORDER, axis] = at[h, axis] - base if h >= 0 else 0


def parallelograms() -> np.ndarray:
    """(CLASSES, FEATURES) weights before any fit: parallelograms alone."""
    weights = np.zeros((CLASSES, FEATURES), dtype=np.int64)
    one = 1 << FRACTION
    weights[:, GATE], weights[:, APEX] = one, -one
    return weights
