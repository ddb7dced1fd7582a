"""`points.octree`: any point cloud, as an octree with colours. No weights.

```text
cloud ─► cells of a grid, points in one cell merged ─► octree ─► 8 decisions a node, contexts mixed ─► range coder
      └► mean colours of cells ─► region-adaptive transform, predicted level by level ───────────────────┘
cloud ◄─ one point in each cell, moved to where its neighbours say the surface is;  colours ◄────────────┘
```

Fine grids keep every point within half a cell; coarse ones merge. Any number of cells along the longest side will do,
so files come in any size.
"""

from __future__ import annotations

import math

from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.codecs.octree.options import OctreeOptions
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.errors import FormatError, TargetSizeError


def encode(loaded: Loaded, options: OctreeOptions, job: Job) -> Container:
    """Encode a cloud, as well as a target size allows or as small as a goal allows.

    Raises InputError for a cloud without points or with places that are not finite, TargetSizeError if not even the
    coarsest grid fits.
    """
    from squeeze3d.codecs.octree.content import Content
    from squeeze3d.codecs.octree.losses import report_losses
    from squeeze3d.codecs.octree.search import Search

    assert isinstance(loaded.asset, PointCloud)
    if "content" not in job.memo:
        job.memo["content"] = Content.of(loaded.asset)
    content: Content = job.memo["content"]

    def container_of(symbols: bytes) -> Container:
        return Container(SPEC.wire, SOURCES.index(loaded.format), content.pose, chunks={Tag.SYMBOLS: symbols})

    # Lengths of chunk and file take a byte more from some size on.
    overhead = len(container_of(bytes(job.target_size or 200)).to_bytes()) - (job.target_size or 200)
    found = Search(content, options, job, overhead).best()
    if found is None:
        assert job.target_size is not None
        limit = format_bytes(job.target_size)
        raise TargetSizeError(f"points.octree cannot describe this cloud in {limit}", hint="raise `--target-size`")
    cells = found.grid.head.cells
    report_losses(loaded.asset, len(found.grid.counts), job.losses)
    job.notes.update(bits=round(math.log2(cells), 2), points=len(found.grid.counts), step=found.step)
    job.progress("done", 1.0)
    return container_of(found.symbols)


def decode(container: Container, limits: Limits) -> Asset:
    """Decode to a cloud in its own frame. Needs NumPy alone."""
    from squeeze3d.codecs.octree.stream import decode_points

    container.expect({Tag.SYMBOLS})
    if container.pose is None:
        raise FormatError("a points.octree file has a pose, and this one has none")
    return decode_points(container.chunks[Tag.SYMBOLS], limits).to_cloud(container.pose)


SPEC = CodecSpec(
    id="points.octree",
    wire=21,
    summary="any point cloud as an octree with colours, no weights",
    kinds=frozenset({Kind.POINTS}),
    fidelity=Fidelity.PERCEPTUAL,
    options=OctreeOptions,
    encode=encode,
    decode=decode,
    aims=True,
    usual=4000,
    memory=(320, 2000),
)
