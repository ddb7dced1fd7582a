"""`mesh.shape`: MeshAnything to Shap-E with Squeeze3D's published mapping network, a code of 1,024 numbers.

```text
mesh ─► MeshAnything (257, 1024) ─► mapping ─► 1,024 numbers ─► .sq3 ─► mapping ─► latent (1024, 1024) ─► weights of an
                                                                                     implicit network ─► distances
```

The research code's configuration names 752 numbers instead: the size is told by the file. That code decodes by another
run of diffusion that starts from the latent; here the latent is decoded as it is.

For research: the weights of MeshAnything may not be used commercially, and Shap-E's authors advise against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from squeeze3d.codecs.pairs.meshes import LICENSE, Z_UP_FRONT_BELOW, SurfaceField, mesh_pair
from squeeze3d.codecs.pairs.published import Shapes
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from squeeze3d.backbones.shape.config import ShapeConfig

POINTS = 1024
"""On the surface of an original that a distance looks at: places cost more than in planes."""
_PROJECTION = "params_proj.projections.nerstf__mlp__1__weight."
_PREFIXES = ("", "encoder.")
"""Of the projections: in the files of diffusers and in `vector_decoder.pt`, and in `transmitter.pt`."""


def config_of(found: Shapes) -> ShapeConfig:
    """Sizes of the decoder in any of the published files. Raises FormatError."""
    from squeeze3d.backbones.shape.config import ShapeConfig

    for prefix in _PREFIXES:
        if prefix + _PROJECTION + "proj.weight" in found:
            # Layer 1 has as many inputs as neurons.
            hidden = found.size(prefix + _PROJECTION + "norm.weight", 0)
            return ShapeConfig(latent=found.size(prefix + _PROJECTION + "proj.weight", 1), hidden=hidden)
    raise FormatError(
        f"`{found.path}`: `{_PROJECTION}proj.weight` is missing",
        hint="the file belongs to another network; check the name of the weights and the file",
    )


class _Field:
    """Shap-E's decoder, whose distances are positive inside."""

    def __init__(self, path: Path, device: str) -> None:
        from squeeze3d.backbones.shape.decoder import ShapeGenerator, load_network

        self.network = load_network(path, device, config=config_of(Shapes.of(path)))
        self.generator = ShapeGenerator(self.network)

    def surface(
        self, latent: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32] | None]:
        from squeeze3d.assets.colour import linear_to_srgb

        (primitive,) = self.generator.generate(latent[None]).primitives
        assert primitive.colours is not None
        shown: NDArray[np.float32] = linear_to_srgb(primitive.colours[:, :3]).astype("float32")
        return primitive.positions, primitive.triangles, shown

    def values(self, latent: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fields = self.generator.fields(latent[None], places)
        # Before the tanh that ends it, which is flat away from the surface.
        return -fields.outputs[0, :, 0], fields.texture[0]


def load_field(path: Path, device: str) -> SurfaceField:
    """The decoder in any of the published files."""
    return _Field(path, device)


def latent_shape(found: Shapes) -> tuple[int, ...]:
    """Shape of a latent."""
    return config_of(found).latent_shape


def shape_pair(
    *, id: str = "mesh.shape", wire: int = 18, generator: str = "shap-e", mapping: str = "mapping.shape"
) -> PairSpec:
    """The pair, or one like it with the original's file or a mapping network of one's own."""
    return mesh_pair(
        id=id,
        wire=wire,
        summary="meshes recreated by Shap-E, for research",
        generator=generator,
        mapping=mapping,
        generator_shape=(1024, 1024),
        code_size=1024,
        turn=Z_UP_FRONT_BELOW,
        load_field=load_field,
        latent_shape=latent_shape,
        points=POINTS,
        license=LICENSE,
    )


MESH_SHAPE = register_pair(shape_pair())
