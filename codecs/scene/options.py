"""Options of `mesh.scene`. A module of its own because the registry loads it at every start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from squeeze3d.codecs.spec import option


class TextureFormat(StrEnum):
    """What textures are re-encoded to."""

    AUTO = "auto"
    WEBP = "webp"
    AVIF = "avif"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Options of `mesh.scene`.

    With a target size, options that are left at their defaults follow the size.
    """

    distance: float = option(
        1e-4,
        "largest move of a vertex as a fraction of the scene's diagonal, 0 to 0.05; 0 keeps floats unchanged",
        low=0.0,
        high=0.05,
    )
    normals: float = option(
        0.5, "largest turn of a normal or tangent in degrees, 0 to 20; 0 keeps floats unchanged", low=0.0, high=20.0
    )
    uv: float = option(
        2.0**-13,
        "largest move of a texture coordinate as a fraction of the texture, 0 to 0.05; 0 keeps floats unchanged",
        low=0.0,
        high=0.05,
    )
    colours: float = option(
        2.0**-13, "largest change of a float vertex colour, 0 to 0.1; 0 keeps floats unchanged", low=0.0, high=0.1
    )
    weights: float = option(
        2.0**-9,
        "largest change of a float joint weight or morph weight, 0 to 0.1; 0 keeps floats unchanged",
        low=0.0,
        high=0.1,
    )
    rotation: float = option(
        0.05, "largest turn of an animated rotation in degrees, 0 to 5; 0 keeps animations unchanged", low=0.0, high=5.0
    )
    texture: int = option(75, "quality of re-encoded textures, 1 to 100, as WebP has it", low=1, high=100)
    texture_format: TextureFormat = option(
        TextureFormat.AUTO, "encoding of textures: auto (WebP for colours, AVIF for numbers), webp, avif or keep"
    )
    max_texture: int = option(0, "largest side of a texture in pixels, 0 to 16384; 0 keeps sizes", low=0, high=16384)
