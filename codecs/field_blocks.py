"""`field.blocks`: radiance fields as a solid with a soft border and a coloured skin. No weights, any field.

```text
field ─► solid: cells that are dense  ─► occupancy, entropy-coded level by level
      ─► profile: density by distance from the border of the solid ─► a dozen numbers
      ─► skin: colours at the border ─► palette, adaptive transform of what it leaves
      ─► corrections of densities and of colours in front of and behind the skin, at high qualities
field ◄─ distances, interpolated ◄─ solid;  colours copied from the skin along them
```

What is empty costs nothing, and so does what nobody sees: the inside of solids. Coarser grids of the same kind give
small files; a surface between cells stays smooth, because distances are interpolated and not densities.

Tried and dropped: a transform of blocks of densities. It spends most of its numbers on the border of the solid, which
the structure says for a fifth of a bit a cell.
"""

from __future__ import annotations

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.fields import BOX
from squeeze3d.codecs.fields.options import FieldOptions
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.errors import TargetSizeError


def encode(loaded: Loaded, options: FieldOptions, job: Job) -> Container:
    """Encode a field, as well as a target size allows or as small as a goal allows.

    Raises InputError for a field without cells or without a box, TargetSizeError if not even the coarsest grid fits.
    """
    from squeeze3d.codecs.fields.build import FieldBuilder
    from squeeze3d.codecs.fields.container import empty_stream, to_container
    from squeeze3d.codecs.fields.losses import report_losses
    from squeeze3d.codecs.fields.preview import Preview
    from squeeze3d.codecs.fields.search import Search

    assert isinstance(loaded.asset, RadianceField)
    if "builder" not in job.memo:
        job.progress("light", 0.0)
        job.memo["builder"] = FieldBuilder(loaded.asset)
        job.memo["preview"] = Preview(loaded.asset)
    builder: FieldBuilder = job.memo["builder"]
    content = builder.content

    def container_of(symbols: bytes) -> Container:
        return to_container(content.box, content.shape, symbols, SPEC.wire, SOURCES.index(loaded.format))

    search = Search(builder, job.memo["preview"], options, job, len(container_of(bytes(200)).to_bytes()) - 200)
    found = search.best() if builder.is_visible else None
    symbols = empty_stream(content) if not builder.is_visible else None if found is None else found.symbols
    container = None if symbols is None else container_of(symbols)
    size = job.target_size if job.exact else None
    if container is None or (size is not None and len(container.to_bytes()) > size):
        limit = "" if job.target_size is None else f" in {format_bytes(job.target_size)}"
        raise TargetSizeError(f"field.blocks cannot describe this field{limit}", hint="raise `--target-size`")
    report_losses(content, None if found is None else found.cells, job.losses)
    if found is not None:
        job.notes.update(
            cells=found.cells.head.longest,
            skin=len(found.plan.skin.rgb),
            step=found.plan.steps.skin,
            depth=found.plan.steps.colour,
            density=found.plan.steps.opacity,
        )
    job.progress("done", 1.0)
    return container


def decode(container: Container, limits: Limits) -> Asset:
    """Decode to a field with its own grid and box. Needs NumPy and SciPy alone."""
    from squeeze3d.codecs.fields.container import from_container

    return from_container(container, limits)


SPEC = CodecSpec(
    id="field.blocks",
    wire=22,
    summary="solid, soft border and coloured skin of any radiance field, no weights",
    kinds=frozenset({Kind.FIELD}),
    fidelity=Fidelity.PERCEPTUAL,
    options=FieldOptions,
    encode=encode,
    decode=decode,
    chunks={BOX: "box"},
    memory=(150, 250),
    aims=True,
    usual=500,
)
