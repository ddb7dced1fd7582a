"""`mesh.scene`: the whole glTF scene, with quantised geometry, re-encoded textures and everything else as it is.

```text
.glb, .gltf ─► JSON ────────────────────────────────────────────────────────────────► zstandard
               vertices, triangles ─► one new order ─► quantise ─► predict ─────────► range coder
               animations ─────────────────────────► quantise ─► predict ───────────► range coder
               textures ─► WebP or AVIF, or kept     other arrays ─► zstandard
```

Kept: nodes, names, materials, skins, animations, morph targets, cameras, lights, extras and extensions, also unknown
ones. Numbers move by no more than the options allow; `notes` say by how much they did. The order of vertices, triangles
and joint influences is new. What comes back is one GLB file. Other formats are made glTF first.
"""

from __future__ import annotations

from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Loaded
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.scene.options import SceneOptions
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind, RawFiles
from squeeze3d.errors import TargetSizeError

NAME = "asset.glb"


def encode(loaded: Loaded, options: SceneOptions, job: Job) -> Container:
    """Encode a scene with the options, or as finely as a target size allows.

    Raises TargetSizeError if not even the coarsest settings fit.
    """
    from squeeze3d.codecs.scene.build import SceneBuilder, Settings
    from squeeze3d.codecs.scene.search import Ladder

    assert isinstance(loaded.asset, Mesh)
    if "builder" not in job.memo:
        job.progress("read the scene", 0.0)
        job.memo["builder"] = SceneBuilder(loaded)
    builder: SceneBuilder = job.memo["builder"]
    chosen = options
    if job.target_size is not None:
        if "ladder" not in job.memo:
            job.memo["ladder"] = Ladder(
                builder, options, lambda point: len(builder.container(Settings(point), SPEC.wire).to_bytes())
            )
        ladder: Ladder = job.memo["ladder"]
        job.progress("choose settings", 0.2)
        found = ladder.best(job.target_size, exact=job.exact)
        if found is None:
            raise TargetSizeError(
                f"mesh.scene cannot keep the whole scene in {format_bytes(job.target_size)}",
                hint="raise `--target-size`, or leave the codec to the program",
            )
        chosen = found
    job.progress("encode", 0.5)
    settings = Settings(chosen)
    container = builder.container(settings, SPEC.wire)
    job.losses.extend(builder.losses)
    figures, remarks = builder.report(settings)
    job.notes.update(
        bits=builder.bits(settings),
        distance=chosen.distance,
        normals=chosen.normals,
        texture=chosen.texture,
        max_texture=chosen.max_texture,
        largest_errors=figures,
        remarks=remarks,
    )
    job.progress("done", 1.0)
    return container


def decode(container: Container, limits: Limits) -> RawFiles:
    """Decode to one GLB file. Needs NumPy only; images are not decoded."""
    from squeeze3d.codecs.scene.stream import decode_scene

    return RawFiles({NAME: decode_scene(container, limits)})


SPEC = CodecSpec(
    id="mesh.scene",
    wire=24,
    summary="the whole glTF scene: quantised geometry and animations, re-encoded textures, everything else kept",
    kinds=frozenset({Kind.MESH}),
    fidelity=Fidelity.BOUNDED,
    options=SceneOptions,
    encode=encode,
    decode=decode,
    chunks={16: "document", 17: "stored arrays", 18: "images"},
    usual=100_000,
    least=50_000,
    keeps=frozenset({"glb", "gltf"}),
    worth=50_000,
    memory=(3000, 4500),
)
