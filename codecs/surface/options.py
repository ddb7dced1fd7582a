"""Options of `mesh.surface`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from squeeze3d.codecs.spec import option
from squeeze3d.errors import UsageError

MIN_BITS, MAX_BITS = 4, 18
"""Grid sizes of the format, as in `model.py`, which is too heavy to import here."""
DEFAULT_FACES = 2000
DEFAULT_STEP = 8
DEFAULT_DETAIL = 4
PICTURE_DETAIL = 48


class Colour(StrEnum):
    """How colours are kept."""

    AUTO = "auto"
    CONSTANT = "constant"
    SMOOTH = "smooth"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class SurfaceOptions:
    """Options of `mesh.surface`."""

    faces: int = option(
        0,
        f"triangles to keep at most; 0 is {DEFAULT_FACES}, or as many as a target size allows",
        low=0,
        high=1 << 22,
    )
    bits: int = option(0, "bits per coordinate, 4 to 18; 0 follows the number of triangles", low=0, high=MAX_BITS)
    colour: Colour = option(
        Colour.AUTO,
        "what colours there are: auto, constant (one), smooth (all over) or picture (all over, as an image)",
    )
    step: int = option(
        0,
        f"quantiser step of colours in 8-bit levels, 1 to 64; 0 is {DEFAULT_STEP}, or fits the target",
        low=0,
        high=64,
    )
    detail: int = option(
        0,
        f"colours for each triangle, 1 to 64; 0 is {DEFAULT_DETAIL}, of a picture {PICTURE_DETAIL}, or fits the target",
        low=0,
        high=64,
    )

    def __post_init__(self) -> None:
        if 0 < self.bits < MIN_BITS:
            raise UsageError(f"option `bits` must be 0 or lie in [{MIN_BITS}, {MAX_BITS}], not {self.bits}")
