"""The arrays that a walk works on."""

from __future__ import annotations

from typing import Any, NamedTuple

RUNNING = (512, 512, 512, 1, 1, 1, 0, 0, 0, 0, 0, 0, *(9 * [1024]))
"""First values of `Mesh.memory`."""


class Mesh(NamedTuple):
    """What is coded; a decoder fills it."""

    triangles: Any
    """(F, 3) in coding order."""
    cells: Any
    """(V, 3) in coding order."""
    old: Any
    """(V,) number of each vertex in the source."""
    sizes: Any
    """(2,) triangles and vertices so far."""
    source_triangles: Any
    """(F, 3) what to encode; empty in a decoder."""
    source_cells: Any
    starts: Any
    """(F,) triangles in the order in which they may become starts, as 3 * index + first corner."""
    memory: Any
    """Running values: mean excess of residuals for each of 3 axes and how many there were; sum and number of squared
    edges; number of samples; costs of positions, starts and symbols; mean size of errors of each guess in each kind of
    place."""
    coarse: Any
    """(V,) 1 where a vertex lies on the coarse steps of its prediction."""
    quadrics: Any
    """(N, 6) of source vertices that may be moved: mean squared distance from the planes around, as xx, xy, xz, yy, yz,
    zz; usually empty."""
    targets: Any
    """(N, 3) where source vertices should be, in cells."""
    reach: Any
    """(N,) largest squared move of each."""
    tolerance: Any
    """(1,) largest mean squared distance from the planes."""
    samples: Any
    """(N, FEATURES + 1, 3) features and truths of predictions, for fitting; usually empty."""
    classes: Any
    """(N,) their classes."""
