"""`mesh.surface`: a simplified surface with colours all over it, in one entropy-coded stream.

```text
Mesh ─► flatten, weld ─► simplify ─► fit to views ─► quantise ─► mesh coder ──────────────────────────────┐
        (nodes applied)  (what is seen)                           └─► refine ─► colours by lifting ─► coder ┴─► bytes
Mesh ◄─ original frame ◄─ crease normals ◄─ vertex colours on the refined mesh ◄──────────────────────────┘
```

Kept: shape, base colour, alpha, double-sidedness, mean metalness and roughness. Topology and scene structure are new,
there are no textures, and everything else is dropped and listed in the loss report.
"""

from __future__ import annotations

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.codecs.surface.options import SurfaceOptions
from squeeze3d.errors import TargetSizeError


def encode(loaded: Loaded, options: SurfaceOptions, job: Job) -> Container:
    """Encode a mesh, as well as a target size allows.

    Raises TargetSizeError if not even a handful of triangles fits.
    """
    from squeeze3d.codecs.surface.build import SurfaceBuilder
    from squeeze3d.codecs.surface.losses import report_losses
    from squeeze3d.codecs.surface.model import SurfaceModel, to_container
    from squeeze3d.codecs.surface.search import Search
    from squeeze3d.geometry.surface import flatten

    assert isinstance(loaded.asset, Mesh)
    source = SOURCES.index(loaded.format)
    if "builder" not in job.memo:
        job.progress("flatten", 0.0)
        surface = flatten(loaded.asset)
        job.progress("simplify", 0.1)
        job.memo["builder"] = SurfaceBuilder(surface)
    builder: SurfaceBuilder = job.memo["builder"]

    def container_of(model: SurfaceModel) -> Container:
        return to_container(model, SPEC.wire, source)

    frame = Container(SPEC.wire, source, builder.shapes.pose, chunks={Tag.SYMBOLS: bytes(job.target_size or 0)})
    overhead = len(frame.to_bytes()) - (job.target_size or 0)
    best = Search(builder, options, job, lambda model: len(container_of(model).to_bytes()), overhead).best()
    if best is None:
        assert job.target_size is not None
        raise TargetSizeError(
            f"mesh.surface cannot describe this mesh in {format_bytes(job.target_size)}",
            hint="raise `--target-size`",
        )
    model = best.model
    report_losses(loaded.asset, builder.surface, model, job.losses)
    job.notes.update(
        faces=len(model.triangles),
        vertices=len(model.cells),
        source_faces=builder.shapes.face_count,
        bits=model.bits,
        colour=model.mode.name.lower(),
        colours=0 if model.details is None else len(model.details.values),
        score=round(best.error, 6),
    )
    job.progress("done", 1.0)
    return container_of(model)


def decode(container: Container, limits: Limits) -> Asset:
    """Decode to a mesh in the original frame and scale."""
    from squeeze3d.codecs.surface.model import from_container
    from squeeze3d.codecs.surface.rebuild import to_mesh

    return to_mesh(from_container(container, limits))


SPEC = CodecSpec(
    id="mesh.surface",
    wire=25,
    summary="simplified surface with colours all over it, entropy-coded",
    kinds=frozenset({Kind.MESH}),
    fidelity=Fidelity.PERCEPTUAL,
    options=SurfaceOptions,
    encode=encode,
    decode=decode,
    simple=1500,
)
