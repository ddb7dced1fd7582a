"""`Canvas`: where the colours of a coded mesh stand and how they depend on each other. Both sides build the same.

```text
coded mesh ─► cut along flagged edges ─► refined to a spacing ─► hierarchy
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.surface.cuts import CutMesh, InnerEdges, cut_open, inner_edges
from squeeze3d.codecs.surface.hierarchy import Hierarchy, hierarchy
from squeeze3d.codecs.surface.refinement import MAX_ROUNDS, Refinement, refine
from squeeze3d.threads import unlocked_property

SPACINGS = tuple(round(2 ** (4 + k / 2)) for k in range(44))
"""Spacings by number, in grid cells times 2**MAX_ROUNDS. Part of the format."""
FREE_VERTICES, VERTICES_PER_FACE = 16_384, 64
"""A refined mesh has at most so many vertices, and so many more for each coded triangle. Part of the format."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A coded mesh, cut and refined."""

    triangles: NDArray[np.int64]
    """(F, 3) of the coded mesh."""
    cells: NDArray[np.int64]
    """(V, 3)."""
    flags: NDArray[np.int64] | None
    """(E,) whether each inner edge is cut; None where none is."""
    spacing: int
    """Number of the spacing."""
    edges: InnerEdges | None = None
    """Inner edges, where somebody has them already."""

    @unlocked_property
    def cut(self) -> CutMesh:
        """The mesh with its cuts."""
        if self.flags is None:
            return CutMesh(self.triangles, np.arange(len(self.cells)))
        edges = self.edges or inner_edges(self.triangles, self.cells)
        return cut_open(self.triangles, edges, self.flags)

    @unlocked_property
    def refinement(self) -> Refinement:
        """The places of colours."""
        most = FREE_VERTICES + VERTICES_PER_FACE * len(self.triangles)
        return refine(self.cut.triangles, self.cells[self.cut.vertices], SPACINGS[self.spacing], most)

    @unlocked_property
    def hierarchy(self) -> Hierarchy:
        """Which of them predict which."""
        return hierarchy(self.refinement, self.cut.triangles)

    def positions(self, bits: int) -> NDArray[np.float64]:
        """(N, 3) canonical coordinates of all places, those of the coded mesh first."""
        places: NDArray[np.float64] = (self.refinement.cells / (1 << MAX_ROUNDS) + 0.5) / (1 << bits) - 0.5
        return places
