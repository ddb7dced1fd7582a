"""`field.lite`: a Squeeze3D pair for radiance fields whose networks ship with the program.

```text
RadianceField ─► content, stretched to 32^3 cells ─► masked autoencoder's encoder ─► forward mapping ─► code ─► .sq3
RadianceField ◄─ grid, box, densities ◄───────────── generator ◄─ reverse mapping ◄──────────────────────────────┘
```

A field comes back with its own number of cells, in its own box, as densities or logarithms as it was. What a code of
576 numbers on a grid of 32 cells a side cannot say is gone: text on labels, wires, the grain of captured colours.
"""

from __future__ import annotations

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.source import Asset
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import Encoder, Files, Generator, PairSpec
from squeeze3d.codecs.spec import Kind
from squeeze3d.weights.registry import register_embedded

CODE_SIZE = 576


class CubeLayout:
    """Fields of any grid for networks that know 32 cells a side, see `squeeze3d.backbones.field_frame`."""

    def enter(self, asset: Asset) -> RadianceField:
        """Content of a field as relative densities on 32^3 cells. Raises InputError for an empty field."""
        from squeeze3d.backbones.field_frame import cube_field, layout_of, to_cube

        assert isinstance(asset, RadianceField)
        return cube_field(to_cube(asset, layout_of(asset)))

    def describe(self, asset: Asset, generated: Asset) -> bytes:
        """Grid, box, peak, and the profile that suits what was generated."""
        from squeeze3d.backbones.field_frame import cube_values, layout_of, with_profile

        assert isinstance(asset, RadianceField)
        assert isinstance(generated, RadianceField)
        return with_profile(asset, layout_of(asset), cube_values(generated)).to_bytes()

    def leave(self, generated: Asset, layout: bytes, limits: Limits) -> RadianceField:
        """Field on the grid of a layout. Raises FormatError, LimitError."""
        from squeeze3d.backbones.field_frame import FieldLayout, cube_values, from_cube

        assert isinstance(generated, RadianceField)
        wanted = FieldLayout.from_bytes(layout)
        return from_cube(cube_values(generated), wanted, limits)


def load_encoder(files: Files, device: str) -> Encoder:
    """Encoder on a device."""
    from squeeze3d.backbones.field_lite import FieldEncoder

    return FieldEncoder(files, device)


def load_generator(files: Files, device: str) -> Generator:
    """Generator on a device."""
    from squeeze3d.backbones.field_lite import FieldGenerator

    return FieldGenerator(files, device)


register_embedded(
    "field-lite",
    {
        "encoder": "masked autoencoder of radiance fields, 32 cells a side: encoder",
        "generator": "generator of radiance fields, 32 cells a side",
        "mapping": "encoder to generator, code of 576 numbers",
        "code": "code model",
    },
)

FIELD_LITE = register_pair(
    PairSpec(
        id="field.lite",
        wire=9,
        summary="radiance fields in hundreds of bytes, weights included",
        kind=Kind.FIELD,
        encoder_shape=(64, 20),
        generator_shape=(9, 4, 4, 4),
        code_size=CODE_SIZE,
        architecture="residual-mlp",
        mapping="field-lite-mapping",
        code="field-lite-code",
        load_encoder=load_encoder,
        load_generator=load_generator,
        encoder_weights=("field-lite-encoder",),
        generator_weights=("field-lite-generator",),
        refine_steps=100,
        from_effort=6,
        layout=CubeLayout(),
    )
)
