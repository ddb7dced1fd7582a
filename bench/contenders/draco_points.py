"""`draco-points`: point clouds through Draco, one setting for each number of bits of a coordinate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from squeeze3d.assets.formats import load
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.cells import BITS, merged
from squeeze3d.bench.contenders.draco_stream import Arrays, Bits
from squeeze3d.codecs.spec import Kind

STREAM = "points.drc"


class DracoPoints(Contender):
    """Draco at compression level 10. Counted is the stream: places, and colours of 8 bits a channel, exactly.

    Points that fall together are merged beforehand, with the mean of their colours, as Draco does not do that by
    itself. Normals are dropped.
    """

    id = "draco-points"
    summary = "Draco level 10 at 4 to 14 bits a coordinate"
    kinds = frozenset({Kind.POINTS})
    packages = ("DracoPy",)

    def missing(self) -> str | None:
        return draco_stream.missing()

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting(f"{bits} bits", values={"bits": bits}) for bits in BITS]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        cloud = load(source)
        assert isinstance(cloud, PointCloud)
        grid = merged(cloud, setting.values["bits"])
        colours = grid.colours
        if colours is not None and (colours[:, 3] == 255).all():
            colours = np.ascontiguousarray(colours[:, :3])
        data = draco_stream.encode(Arrays(grid.positions, colours=colours), Bits(setting.values["bits"]))
        return Encoded({STREAM: data}, {"points": len(grid.cells)})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        arrays = draco_stream.decode(files[STREAM])
        colours = None
        if arrays.colours is not None:
            colours = np.full((len(arrays.positions), 4), 255, dtype=np.uint8)
            colours[:, : arrays.colours.shape[1]] = arrays.colours
        return PointCloud(arrays.positions.astype(np.float32), colours)
