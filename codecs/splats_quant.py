"""`splats.quant`: Gaussian splats, fewer of them and quantised, entropy-coded. No weights, any scene.

```text
splats ─► visible ones ─► merged to a number ─► refitted ─► places on a grid, in Morton order ─► counts of halves
                                                        ─► opacity, extents, axes, colours ─► what neighbours do not
splats ◄─ the same attributes ◄─ integers ◄──────────────────────────────────────────────────   tell, range coder
```

Each splat has steps of its own: coarse where it is small or faint, fine where it covers much of a view.
"""

from __future__ import annotations

from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.container import SOURCES, Container
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.codecs.splats.options import SplatsOptions
from squeeze3d.errors import TargetSizeError


def encode(loaded: Loaded, options: SplatsOptions, job: Job) -> Container:
    """Encode splats, as well as a target size allows or as small as a goal allows.

    Raises TargetSizeError if not even one splat fits.
    """
    from squeeze3d.codecs.splats.build import SplatsBuilder, Stream
    from squeeze3d.codecs.splats.container import to_container
    from squeeze3d.codecs.splats.losses import report_losses
    from squeeze3d.codecs.splats.search import Search

    assert isinstance(loaded.asset, Splats)
    if "builder" not in job.memo:
        job.memo["builder"] = SplatsBuilder(loaded.asset, options.degree)
    builder: SplatsBuilder = job.memo["builder"]
    source = SOURCES.index(loaded.format)

    def container_of(stream: Stream) -> Container:
        return to_container(stream.head, builder.pose, stream.symbols, SPEC.wire, source)

    found = Search(builder, options, job, container_of).best()
    if found is None:
        limit = "" if job.target_size is None else f" in {format_bytes(job.target_size)}"
        raise TargetSizeError(f"splats.quant cannot describe these splats{limit}", hint="raise `--target-size`")
    stream, container = found
    report_losses(builder, stream, job.losses)
    job.notes.update(
        splats=stream.head.count,
        source_splats=len(loaded.asset.positions),
        fineness=stream.head.colour,
        bits=stream.head.bits,
        degree=stream.head.degree,
    )
    job.progress("done", 1.0)
    return container


def decode(container: Container, limits: Limits) -> Asset:
    """Decode to splats in the original frame. Needs NumPy alone."""
    from squeeze3d.codecs.splats.container import from_container

    return from_container(container, limits)


SPEC = CodecSpec(
    id="splats.quant",
    wire=23,
    summary="Gaussian splats: merged, quantised by what is seen of each, entropy-coded",
    kinds=frozenset({Kind.SPLATS}),
    fidelity=Fidelity.PERCEPTUAL,
    options=SplatsOptions,
    encode=encode,
    decode=decode,
    aims=True,
    usual=20_000,
)
