"""How far a generated cloud is from a given one, with a gradient: Chamfer distance, and colours where points meet.

```text
generated ─► nearest given point ─┐
                                  ├─► distances, squared distances, differences of colours ─► sum
given ─► nearest generated point ─┘
```

Which points belong together, search trees decide; the gradient flows through the places and colours of those pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

FAR = 4.0
"""Weight of squared distances: strays weigh more than their number."""
COLOUR = 0.2
"""Weight of a colour difference of 1 (black to white), in units of length; the frame is 2 wide."""
_SOFT = 1e-3
"""Distance below which it hardly matters how near points are."""


class Target:
    """A given cloud, ready to be asked often."""

    def __init__(self, places: NDArray[np.float32], colours: NDArray[np.float32] | None) -> None:
        """(N, 3) places in the frame, and (N, 3) sRGB colours in 0..1 or None."""
        self.places = torch.from_numpy(np.ascontiguousarray(places, dtype=np.float32))
        self.colours = None if colours is None else torch.from_numpy(np.ascontiguousarray(colours, dtype=np.float32))
        self._points = np.ascontiguousarray(places, dtype=np.float64)
        # Points on top of each other make balanced trees slow.
        self._tree = cKDTree(self._points, balanced_tree=False)

    def __call__(self, places: Tensor, colours: Tensor) -> Tensor:
        """Distance of (M, 3) generated places and (M, 3) colours, a scalar."""
        geometry, shown = self.parts(places, colours)
        return geometry + COLOUR * shown

    def parts(self, places: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of geometry and of colours, before weights."""
        given = self.places.to(places)
        points = places.detach().cpu().double().numpy()
        to_given = torch.from_numpy(self._tree.query(points)[1]).to(places.device)
        to_generated = cKDTree(points, balanced_tree=False, compact_nodes=False).query(self._points)[1]
        to_generated = torch.from_numpy(to_generated).to(places.device)
        geometry = _length(places - given[to_given]) + _length(given - places[to_generated])
        if self.colours is None:
            return geometry, geometry.new_zeros(())
        wanted = self.colours.to(places)
        differences = (colours - wanted[to_given]).abs().mean() + (wanted - colours[to_generated]).abs().mean()
        return geometry, differences


def _length(differences: Tensor) -> Tensor:
    squared = differences.square().sum(dim=-1)
    return ((squared + _SOFT**2).sqrt() - _SOFT + FAR * squared).mean()
