"""`mesh.lite`: a coarse grid of cells, and networks that know what surfaces look like inside them.

```text
Mesh ─► grid ─► which cells hold something ─► distance in each surface cell ─► colours of cells ─► range coder
                └─ context network ─┘         └── context network ──┘
Mesh ◄─ marching cubes ◄─ patch network: signed distances inside cells ◄──────────────────────────┘
```

The Squeeze3D idea in miniature, per cell instead of per asset: frozen networks that ship with the program carry what
all surfaces have in common, the file says only which surface it is. No connectivity, parts or texture coordinates are
paid for, so it is strong where there are only hundreds of bytes.

Kept: shape, base colour at the resolution of the grid, double-sidedness, mean metalness and roughness. Everything else
is dropped and listed in the loss report.
"""

from __future__ import annotations

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.lite.options import LiteOptions
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.errors import TargetSizeError


def encode(loaded: Loaded, options: LiteOptions, job: Job) -> Container:
    """Encode a mesh, as well as a target size allows.

    Raises TargetSizeError if not even the coarsest grid fits, or no grid holds a surface.
    """
    from squeeze3d.codecs.lite.build import LiteBuilder
    from squeeze3d.codecs.lite.model import to_container
    from squeeze3d.codecs.lite.search import Search
    from squeeze3d.codecs.losses import report_rebuilt
    from squeeze3d.geometry.surface import flatten

    assert isinstance(loaded.asset, Mesh)
    if "builder" not in job.memo:
        job.progress("flatten", 0.0)
        job.memo["builder"] = LiteBuilder(flatten(loaded.asset))
    builder: LiteBuilder = job.memo["builder"]
    best = Search(builder, options, job).best() if builder.is_in_range else None
    if best is None:
        size = "" if job.target_size is None else f" in {format_bytes(job.target_size)}"
        raise TargetSizeError(f"mesh.lite cannot describe this mesh{size}", hint="raise `--target-size`")
    container = to_container(builder.pose, best.symbols, SPEC.wire, SOURCES.index(loaded.format))
    report_rebuilt(loaded.asset, builder.surface, job.losses)
    header = best.model.header
    job.notes.update(
        grid=header.resolution,
        step=header.step,
        level=header.level,
        colours=best.model.colours.mode.name.lower(),
    )
    job.progress("done", 1.0)
    return container


def decode(container: Container, limits: Limits) -> Asset:
    """Decode to a mesh in the original frame and scale. Needs no network library."""
    from squeeze3d.codecs.lite.model import from_container
    from squeeze3d.codecs.lite.rebuild import to_mesh

    return to_mesh(from_container(container, limits), limits)


SPEC = CodecSpec(
    id="mesh.lite",
    wire=3,
    summary="coarse grid with learnt detail, for hundreds of bytes",
    kinds=frozenset({Kind.MESH}),
    fidelity=Fidelity.PERCEPTUAL,
    options=LiteOptions,
    encode=encode,
    decode=decode,
    usual=1000,
    largest=6000,
    worth=600,
)
