"""Options of `mesh.lite`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.codecs.spec import option
from squeeze3d.errors import UsageError

RESOLUTIONS = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
"""Cells of the grid along the longest side, by index. Part of the format."""


@dataclass(frozen=True, slots=True)
class LiteOptions:
    """Options of `mesh.lite`."""

    grid: int = option(
        0, f"cells along the longest side: {', '.join(map(str, RESOLUTIONS))}; 0 is automatic", low=0, high=128
    )
    tau: float = option(0.0, "gaps up to twice this many cells are closed; 0 is automatic", low=0.0, high=2.0)
    step: int = option(
        -1, "precision of the distance sent per surface cell: 0 none, 1 to 3; -1 is automatic", low=-1, high=3
    )

    def __post_init__(self) -> None:
        if self.grid and self.grid not in RESOLUTIONS:
            known = ", ".join(map(str, RESOLUTIONS))
            raise UsageError(f"option `grid` must be one of {known}, not {self.grid}")
