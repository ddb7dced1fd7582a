"""`mesh.openlrm`: MeshAnything to OpenLRM with Squeeze3D's published mapping network, a code of 1,024 numbers.

```text
mesh ─► MeshAnything (257, 1024) ─► mapping ─► 1,024 numbers ─► .sq3 ─► mapping ─► planes (3, 48, 64, 64) ─► density
```

For research: the weights of MeshAnything and OpenLRM may not be used commercially.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d.codecs.pairs.meshes import Z_UP_FRONT_BELOW, SurfaceField, mesh_pair
from squeeze3d.codecs.pairs.published import Shapes, heads, root
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import PairSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from squeeze3d.backbones.openlrm.config import OpenLRMConfig

GRID = 192
"""Samples along an axis. Published meshes have 384, at eight times the time; planes have 64 cells."""
_DECODER = "synthesizer.decoder.net.0.weight"


def config_of(found: Shapes) -> OpenLRMConfig:
    """Sizes of the networks in a file. Parts that it lacks have those of the published size with as many channels.

    Raises FormatError.
    """
    from dataclasses import replace

    from squeeze3d.backbones.openlrm.config import BASE, LARGE, SMALL, VisionConfig

    channels = found.size(_DECODER, 1) // 3
    published = next((size for size in (SMALL, LARGE) if size.channels == channels), BASE)
    sizes: dict[str, Any] = {"channels": channels}
    if "pos_embed" in found:
        width, tokens = found.size("pos_embed", 2), found.size("pos_embed", 1)
        low = root(tokens // 3)
        if low is None or tokens % 3:
            raise found.strange("pos_embed")
        layers = found.count("transformer.layers.")
        sizes |= {"width": width, "layers": layers, "heads": heads(width), "tokens": low}
        sizes["camera_width"] = found.size("camera_embedder.mlp.0.weight", 0)
    if found.has_any(["encoder.model."]):
        width = found.size("encoder.model.cls_token", 2)
        native = root(found.size("encoder.model.pos_embed", 1) - 1)
        if native is None:
            raise found.strange("encoder.model.pos_embed")
        sizes["vision"] = VisionConfig(
            width=width,
            heads=heads(width),
            depth=found.count("encoder.model.blocks."),
            patch=found.size("encoder.model.patch_embed.proj.weight", 2),
            native=native,
            registers=found.size("encoder.model.register_tokens", 1),
        )
    return replace(published, **sizes)


class _Field:
    """OpenLRM's decoder. Densities rise inwards without an end, so the number is how far the raw one is below that of
    the surface.
    """

    def __init__(self, path: Path, device: str) -> None:
        from squeeze3d.backbones.openlrm.config import THRESHOLD
        from squeeze3d.backbones.openlrm.loading import load_decoder

        self.decoder = load_decoder(path, config_of(Shapes.of(path)), device)
        # Inverse of softplus(raw - 1).
        self.level = 1 + math.log(math.expm1(THRESHOLD))

    def surface(
        self, latent: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32] | None]:
        from squeeze3d.backbones.openlrm.surface import planes_to_surface
        from squeeze3d.backbones.threads import one_thread

        with one_thread():
            made = planes_to_surface(self.decoder, latent, grid=GRID)
        return made.positions, made.triangles, made.colours

    def values(self, latent: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw, colours = self.decoder(latent[None], places[None])
        return self.level - raw[0, :, 0], colours[0]


def load_field(path: Path, device: str) -> SurfaceField:
    """The decoder in a checkpoint."""
    return _Field(path, device)


def latent_shape(found: Shapes) -> tuple[int, ...]:
    """Shape of the planes."""
    return config_of(found).planes_shape


def openlrm_pair(
    *,
    id: str = "mesh.openlrm",
    wire: int = 17,
    generator: str = "openlrm-obj-base",
    mapping: str = "mapping.openlrm",
) -> PairSpec:
    """The pair, or one like it with another size of OpenLRM and a mapping network of one's own."""
    return mesh_pair(
        id=id,
        wire=wire,
        summary="meshes recreated by OpenLRM, for research",
        generator=generator,
        mapping=mapping,
        generator_shape=(3, 48, 64, 64),
        code_size=1024,
        turn=Z_UP_FRONT_BELOW,
        load_field=load_field,
        latent_shape=latent_shape,
        planes_half_extent=1.0,
        planes_turn=Z_UP_FRONT_BELOW,
        conditioning="openlrm",
        license="S-Lab-1.0, CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY)",
    )


MESH_OPENLRM = register_pair(openlrm_pair())
