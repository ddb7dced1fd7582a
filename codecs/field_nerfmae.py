"""`field.nerfmae`: NeRF-MAE's two halves with Squeeze3D's published mapping network, a code of 24,000 numbers.

```text
field ─► 160^3 cells ─► NeRF-MAE (96, 40^3) ─► mapping ─► 24 x 10^3 numbers ─► .sq3 ─► mapping ─► latent (96, 40^3)
field ◄─ grid, box, densities ◄─ NeRF-MAE's last block ◄────────────────────────────────────────────────┘
```

The published mapping network was trained with a shortcut around the code, which takes 3,072,000 numbers that no file
holds: see `squeeze3d.mapping.conv3d`. Here it decodes without, as it was not trained to. The training preset
`nerfmae-code-only` goes on from the published weights and teaches them to.

For research: the weights of NeRF-MAE may not be used commercially.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.source import Asset
from squeeze3d.backbones.nerfmae.config import PUBLISHED, STAGES, NerfMaeConfig
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.pairs.published import Shapes
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import Files, PairSpec, Sizes
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError

if TYPE_CHECKING:
    from squeeze3d.backbones.nerfmae.field import FieldEncoder, FieldGenerator
    from squeeze3d.backbones.nerfmae.grid import Fit

NETWORK = "nerfmae"
"""Artefact of encoder and generator."""
BOTTLENECK = 24
"""Channels of the code."""
LICENSE = "CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY)"
"""Of NeRF-MAE."""
REFINE_STEPS = 0.25
"""At effort 5: the first step is that of effort 7. One goes through the reverse mapping and back, half a minute on two
cores."""


class GridLayout:
    """Fields of any grid for networks that know one number of cells a side, see `squeeze3d.backbones.nerfmae.grid`."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit

    def enter(self, asset: Asset) -> RadianceField:
        """Content of a field with optical depths. Raises InputError for an empty field."""
        from squeeze3d.backbones.nerfmae.grid import content_of

        assert isinstance(asset, RadianceField)
        return content_of(asset)

    def describe(self, asset: Asset, generated: Asset) -> bytes:
        """Grid, box, peak, and the profile that suits what was generated."""
        from squeeze3d.backbones.nerfmae.grid import describe

        assert isinstance(asset, RadianceField)
        assert isinstance(generated, RadianceField)
        return describe(asset, generated, self.fit).to_bytes()

    def leave(self, generated: Asset, layout: bytes, limits: Limits) -> RadianceField:
        """Field on the grid of a layout. Raises FormatError, LimitError."""
        from squeeze3d.backbones.field_frame import FieldLayout
        from squeeze3d.backbones.nerfmae.grid import placed

        assert isinstance(generated, RadianceField)
        return placed(generated, FieldLayout.from_bytes(layout), self.fit, limits)


_TABLE = "stages.{}.{}.attn.relative_position_bias_table"


def config_of(found: Shapes) -> NerfMaeConfig:
    """Sizes of the network in a file. Raises FormatError."""
    tokens, width = found.size("pos_embed", 1), found.size("pos_embed", 4)
    depths, heads = [], []
    for stage in range(STAGES):
        # The first layer of all stages but the first merges tokens.
        first = int(stage > 0)
        depths.append(found.count(f"stages.{stage}.") - first)
        heads.append(found.size(_TABLE.format(stage, first), 1))
    window = _window(found.size(_TABLE.format(0, 0), 0))
    if window is None:
        raise found.strange(_TABLE.format(0, 0))
    if found.found["pos_embed"][1:4] != (tokens,) * 3 or tokens % 8 or width % 6:
        raise found.strange("pos_embed")
    for stage, count in enumerate(heads):
        if (width << stage) % count:
            raise found.strange(_TABLE.format(stage, int(stage > 0)))
    patch = found.size("patch_partition.0.weight", 2)
    return NerfMaeConfig(width, tuple(depths), tuple(heads), window, patch, tokens)  # type: ignore[arg-type]


def _window(rows: int) -> int | None:
    """Side of the cubes whose differences of places are so many."""
    span = round(rows ** (1 / 3))
    return (span + 1) // 2 if span**3 == rows and span % 2 else None


def nerfmae_pair(
    *,
    id: str = "field.nerfmae",
    wire: int = 20,
    network: str = NETWORK,
    mapping: str = "mapping.nerfmae",
    code: str | None = None,
    fit: Fit = "stretch",
) -> PairSpec:
    """The pair, or one like it with weights of one's own.

    Parameters
    ----------
    network, mapping, code : artefacts; without a code model, the standard one.
    fit : how fields come to the grid. The published mapping network knows stretched ones.
    """

    def encoder_of(path: Path, device: str) -> FieldEncoder:
        from squeeze3d.backbones.nerfmae.field import FieldEncoder
        from squeeze3d.backbones.nerfmae.loading import load_encoder

        return FieldEncoder(load_encoder(path, config_of(Shapes.of(path)), device), fit)

    def load_encoder(files: Files, device: str) -> FieldEncoder:
        return encoder_of(files[network], device)

    def load_generator(files: Files, device: str) -> FieldGenerator:
        from squeeze3d.backbones.nerfmae.field import FieldGenerator
        from squeeze3d.backbones.nerfmae.loading import load_decoder

        path = files[network]
        return FieldGenerator(load_decoder(path, config_of(Shapes.of(path)), device), partial(encoder_of, path, device))

    def sizes(files: Files) -> Sizes:
        config = config_of(Shapes.of(files[network])) if network in files else PUBLISHED
        if mapping in files:
            _check_mapping(Shapes.of(files[mapping]), config, network)
        return Sizes(config.latent_shape, config.latent_shape, code_size(config))

    return PairSpec(
        id=id,
        wire=wire,
        summary="radiance fields recreated by NeRF-MAE, for research",
        kind=Kind.FIELD,
        encoder_shape=PUBLISHED.latent_shape,
        generator_shape=PUBLISHED.latent_shape,
        code_size=code_size(PUBLISHED),
        architecture="conv3d",
        mapping=mapping,
        code=code,
        load_encoder=load_encoder,
        load_generator=load_generator,
        encoder_weights=(network,),
        generator_weights=(network,),
        refine_steps=REFINE_STEPS,
        from_effort=6,
        sizes=sizes,
        layout=GridLayout(fit),
        conditioning="fields",
        one_latent=True,
        license=LICENSE,
        paper="arXiv 2506.07932",
    )


def code_size(config: NerfMaeConfig) -> int:
    """Numbers of a code: the mapping network halves the grid of a latent twice."""
    return int(BOTTLENECK * (config.tokens // 4) ** 3)


def _check_mapping(found: Shapes, config: NerfMaeConfig, network: str) -> None:
    """Raise FormatError for a mapping network of other latents."""
    channels = found.size("encoder.0.weight", 1)
    if channels != config.width:
        raise FormatError(
            f"`{found.path}` takes latents of {channels} channels, but `{network}` makes {config.width}",
            hint="mapping network and generator belong to different pairs: `sq3d models verify`",
        )


FIELD_NERFMAE = register_pair(nerfmae_pair())
