"""What the pairs from MeshAnything to a generator of meshes share.

```text
mesh ─► frame (y up) ─► turn ─► MeshAnything ─► mapping ─► latent ─► field ─► surface ─► turn back ─► mesh (y up)
                          └──── the generator's frame ─────────────────────────┘
```

A generator is a *field*: a surface in its own frame, and at any place a number that is positive outside. What stands
upright in glTF's frame (y up, front +z) stands upright in the generator's: the encoder sees turned meshes, and what is
generated is turned back. Squeeze3D's published mapping networks were trained with features of meshes in the generator's
frame, at the size they have there (`Normalisation.FRAME`).

A code of these pairs knows shapes. Colours of the original are sent besides (`squeeze3d.codecs.pairs.colours`); without
them they are those that the generator thinks likely for a shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.assets.source import Asset
from squeeze3d.codecs.pairs.published import Shapes, heads
from squeeze3d.codecs.pairs.spec import Encoder, Files, Generator, PairSpec, Sizes
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError, InputError, UnsupportedError

if TYPE_CHECKING:
    import torch

    from squeeze3d.backbones.meshanything.config import MeshAnythingConfig
    from squeeze3d.codecs.pairs.mesh_distance import SurfaceTarget

Turn = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""(3, 3) rotation from glTF's frame (y up, front +z) to a generator's."""

Z_UP_FRONT_BELOW: Turn = ((1, 0, 0), (0, 0, -1), (0, 1, 0))
"""z up, front towards -y: OpenLRM, Shap-E."""
Z_UP_FRONT_X: Turn = ((0, 0, 1), (1, 0, 0), (0, 1, 0))
"""z up, front towards +x: InstantMesh."""

ENCODER = "meshanything"
"""Artefact of the encoder."""
TOKENS = 257
"""Rows of its feature."""
FEATURE = (TOKENS, 1024)
HALF_EXTENT = 0.9
"""Of assets in the frame. Generators make objects of about this size: pictures that InstantMesh and OpenLRM are shown
have the object on 80 to 85 % of their side, which cuts 0.9 to 1 out of the world. Published features are of generated
meshes as they came, whose sizes vary."""
REFINE_STEPS = 50
"""At effort 5. A step reads the last layer of the mapping network, up to 4 GB, three times."""
LICENSE = "S-Lab-1.0 (NON-COMMERCIAL USE ONLY)"
"""Of MeshAnything, and so of each of the pairs at least."""


class SurfaceField(Protocol):
    """A frozen generator on one device, in its own frame."""

    def surface(
        self, latent: torch.Tensor
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32] | None]:
        """Positions (V, 3), triangles (F, 3) that look outwards, sRGB colours (V, 3) in 0..1 of a latent (*G).

        Raises InputError where there is no surface, or numbers are not finite.
        """

    def values(self, latent: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """At (N, 3) places: (N,) numbers, 0 on the surface and positive outside, and (N, 3) sRGB colours.

        Differentiable in the latent. The numbers need not be distances.
        """


class MeshGenerator:
    """G of the mesh pairs: a field in the frame of glTF."""

    def __init__(self, field: SurfaceField, turn: Turn, *, name: str, points: int) -> None:
        """`points` on the original's surface are looked at by `distance`."""
        self.field = field
        self.turn = np.array(turn, dtype=np.float64)
        self.name = name
        self.points = points
        self._target: tuple[Asset, SurfaceTarget] | None = None

    def generate(self, latent: torch.Tensor) -> Mesh:
        """Mesh with vertex colours, y up, of a latent (1, *G).

        Raises InputError where there is no surface, or numbers are not finite.
        """
        positions, triangles, colours = self.field.surface(latent[0])
        if not len(triangles):
            raise InputError(f"{self.name} made an empty shape: there is no surface")
        # The turn is orthogonal: multiplying by it from the right applies its inverse to rows.
        return coloured_mesh(positions @ self.turn.astype(np.float32), triangles, colours)

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """Always UnsupportedError: there is no prior without pictures or words."""
        raise UnsupportedError(
            f"{self.name} has no prior to draw from: it makes shapes of pictures or words",
            hint="name a folder of meshes or pictures: `sq3d train dataset --source DIR`",
        )

    def distance(self, latent: torch.Tensor, asset: Asset) -> torch.Tensor:
        """How far the field is from a signed distance around the original's surface; see `mesh_distance`."""
        from squeeze3d.codecs.pairs.mesh_distance import SurfaceTarget, surface_distance

        assert isinstance(asset, Mesh)
        if self._target is None or self._target[0] is not asset:
            self._target = asset, SurfaceTarget.of(asset, self.turn, self.points)
        return surface_distance(partial(self.field.values, latent[0]), self._target[1], latent.device)


def coloured_mesh(
    positions: NDArray[np.float32], triangles: NDArray[np.int32], colours: NDArray[np.float32] | None
) -> Mesh:
    """Mesh of vertices (V, 3) with sRGB colours (V, 3), without the vertices that no triangle uses."""
    used = np.zeros(len(positions), dtype=bool)
    used[triangles] = True
    number = np.cumsum(used, dtype=np.int64) - 1
    primitive = Primitive(
        np.ascontiguousarray(positions[used], dtype=np.float32),
        number[triangles].astype(np.int32),
        colours=None if colours is None else linear_colours(colours[used]),
        material=0,
    )
    return Mesh((primitive,), (Material(metallic=0.0),))


LoadField = Callable[[Path, str], SurfaceField]
"""From a generator's file and a device name."""


def mesh_pair(
    *,
    id: str,
    wire: int,
    summary: str,
    generator: str,
    mapping: str,
    generator_shape: tuple[int, ...],
    code_size: int,
    turn: Turn,
    load_field: LoadField,
    latent_shape: Callable[[Shapes], tuple[int, ...]],
    points: int = 4096,
    license: str = LICENSE,
    **further: Any,
) -> PairSpec:
    """A pair from MeshAnything to a generator of meshes.

    Parameters
    ----------
    generator, mapping : artefacts.
    generator_shape, code_size : as published; files of other sizes do as well.
    turn : to the generator's frame.
    load_field : loads the generator.
    latent_shape : shape of a latent, from the shapes in the generator's file. Raises FormatError.
    points : see `MeshGenerator`.
    further : of `PairSpec`.
    """

    def load_generator(files: Files, device: str) -> Generator:
        return MeshGenerator(load_field(files[generator], device), turn, name=id, points=points)

    def load_encoder(files: Files, device: str) -> Encoder:
        return _load_encoder(files[ENCODER], device, turn)

    def sizes(files: Files) -> Sizes:
        latent = latent_shape(Shapes.of(files[generator])) if generator in files else generator_shape
        if mapping in files:
            return _mapping_sizes(Shapes.of(files[mapping]), latent, generator)
        feature = encoder_config(Shapes.of(files[ENCODER])).feature_shape if ENCODER in files else FEATURE
        return Sizes(feature, latent, code_size)

    return PairSpec(
        id=id,
        wire=wire,
        summary=summary,
        kind=Kind.MESH,
        encoder_shape=FEATURE,
        generator_shape=generator_shape,
        code_size=code_size,
        architecture="residual-mlp",
        mapping=mapping,
        code=None,
        load_encoder=load_encoder,
        load_generator=load_generator,
        encoder_weights=(ENCODER,),
        generator_weights=(generator,),
        half_extent=HALF_EXTENT,
        refine_steps=REFINE_STEPS,
        from_effort=6,
        sizes=sizes,
        colours=True,
        license=license,
        paper="arXiv 2506.07932",
        **further,
    )


def _mapping_sizes(found: Shapes, latent: tuple[int, ...], generator: str) -> Sizes:
    """Sizes that a mapping network has. Raises FormatError if it does not make latents of that shape."""
    outputs = found.size("fc3.weight", 0)
    if outputs != int(np.prod(latent)):
        raise FormatError(
            f"`{found.path}` makes latents of {outputs} numbers, but `{generator}` takes {int(np.prod(latent))}",
            hint="mapping network and generator belong to different pairs: `sq3d models verify`",
        )
    inputs = found.size("fc1.weight", 1)
    if inputs % TOKENS:
        raise found.strange("fc1.weight")
    return Sizes((TOKENS, inputs // TOKENS), latent, found.size("fc1.weight", 0))


_SHAPE_MODEL = "point_encoder.model.shape_model."


def encoder_config(found: Shapes) -> MeshAnythingConfig:
    """Sizes of the encoder in a file. Raises FormatError."""
    from squeeze3d.backbones.meshanything.config import MeshAnythingConfig

    query = _SHAPE_MODEL + "encoder.query"
    width = found.size(query, 1)
    # A position and its octaves, six numbers each; a normal.
    inputs = found.size(_SHAPE_MODEL + "encoder.input_proj.weight", 1)
    if inputs < 6 or inputs % 6:
        raise found.strange(_SHAPE_MODEL + "encoder.input_proj.weight")
    return MeshAnythingConfig(
        latents=found.size(query, 0) - 1,
        width=width,
        heads=heads(width),
        encoder_layers=found.count(_SHAPE_MODEL + "encoder.self_attn.resblocks."),
        decoder_layers=found.count(_SHAPE_MODEL + "transformer.resblocks."),
        bottleneck=found.size(_SHAPE_MODEL + "post_kl.weight", 1),
        feature=found.size("cond_proj.weight", 0),
        frequencies=inputs // 6 - 1,
    )


def _load_encoder(path: Path, device: str, turn: Turn) -> Encoder:
    from squeeze3d.backbones.meshanything.encoder import MeshEncoder, load_network
    from squeeze3d.backbones.meshanything.points import Normalisation

    network = load_network(path, device, config=encoder_config(Shapes.of(path)))
    return MeshEncoder(network, Normalisation.FRAME, turn=np.array(turn, dtype=np.float64))
