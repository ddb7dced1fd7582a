"""`mesh.instantmesh`: MeshAnything to InstantMesh with Squeeze3D's published mapping network, a code of 770 numbers.

```text
mesh ─► MeshAnything (257, 1024) ─► mapping ─► 770 numbers ─► .sq3 ─► mapping ─► planes (3, 80, 64, 64) ─► FlexiCubes
```

For research: the weights of MeshAnything may not be used commercially.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d.codecs.pairs.meshes import LICENSE, Z_UP_FRONT_X, SurfaceField, mesh_pair
from squeeze3d.codecs.pairs.published import Shapes, heads, root
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import PairSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from squeeze3d.backbones.instantmesh.config import InstantMeshConfig

CELLS = 64
"""Along a side of a plane, where a file does not say."""
_PREFIX = "lrm_generator."
_VIT = _PREFIX + "encoder.model."
_TRANSFORMER = _PREFIX + "transformer."
_DECODER = _PREFIX + "synthesizer.decoder.net_sdf.0.weight"


def config_of(found: Shapes) -> InstantMeshConfig:
    """Sizes of the networks in a file of a mesh model. Parts that the file lacks have the published sizes.

    Raises FormatError.
    """
    from squeeze3d.backbones.instantmesh.config import InstantMeshConfig

    sizes: dict[str, Any] = {
        "channels": found.size(_DECODER, 1) // 3,
        "decoder_hidden": found.size(_DECODER, 0),
    }
    if found.has_any([_VIT]):
        width = found.size(_VIT + "embeddings.cls_token", 2)
        patch = found.size(_VIT + "embeddings.patch_embeddings.projection.weight", 2)
        side = root(found.size(_VIT + "embeddings.position_embeddings", 1) - 1)
        if side is None:
            raise found.strange(_VIT + "embeddings.position_embeddings")
        sizes |= {
            "encoder_width": width,
            "encoder_layers": found.count(_VIT + "encoder.layer."),
            "encoder_heads": heads(width),
            "encoder_hidden": found.size(_VIT + "encoder.layer.0.intermediate.dense.weight", 0),
            "patch": patch,
            "native_image": side * patch,
        }
    if found.has_any([_TRANSFORMER]):
        width = found.size(_TRANSFORMER + "pos_embed", 2)
        tokens = found.size(_TRANSFORMER + "pos_embed", 1)
        low = root(tokens // 3)
        if low is None or tokens % 3:
            raise found.strange(_TRANSFORMER + "pos_embed")
        layers = found.count(_TRANSFORMER + "layers.")
        sizes |= {"width": width, "layers": layers, "heads": heads(width), "low_resolution": low}
    return InstantMeshConfig(**sizes)


class _Field:
    """InstantMesh's decoder."""

    def __init__(self, path: Path, device: str) -> None:
        from squeeze3d.backbones.instantmesh.weights import load_decoder

        self.decoder = load_decoder(path, config_of(Shapes.of(path)), device)

    def surface(
        self, latent: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32] | None]:
        from squeeze3d.backbones.instantmesh.mesh import decode_mesh

        made = decode_mesh(self.decoder, latent)
        return made.positions, made.triangles, made.colours

    def values(self, latent: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        distances, colours = self.decoder(latent[None], places[None])
        return distances[0], colours[0]


def load_field(path: Path, device: str) -> SurfaceField:
    """The decoder in a file of a mesh model."""
    return _Field(path, device)


def latent_shape(found: Shapes) -> tuple[int, ...]:
    """Shape of the planes."""
    return config_of(found).planes_shape


def instantmesh_pair(
    *,
    id: str = "mesh.instantmesh",
    wire: int = 16,
    generator: str = "instantmesh-large",
    mapping: str = "mapping.instantmesh",
) -> PairSpec:
    """The pair, or one like it with another size of InstantMesh and a mapping network of one's own."""
    return mesh_pair(
        id=id,
        wire=wire,
        summary="meshes recreated by InstantMesh, for research",
        generator=generator,
        mapping=mapping,
        generator_shape=(3, 80, CELLS, CELLS),
        code_size=770,
        turn=Z_UP_FRONT_X,
        load_field=load_field,
        latent_shape=latent_shape,
        planes_half_extent=1.0,
        planes_turn=Z_UP_FRONT_X,
        conditioning="instantmesh",
        license=LICENSE,
    )


MESH_INSTANTMESH = register_pair(instantmesh_pair())
