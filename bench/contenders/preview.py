"""`Preview`: what an attempt looks like from places where nothing is measured. For peers that search."""

from __future__ import annotations

from squeeze3d.assets.source import Asset
from squeeze3d.metrics.image import psnr
from squeeze3d.quality.figures import CAP
from squeeze3d.quality.measure import Reference
from squeeze3d.render.camera import preview_rig

RESOLUTION = 128


class Preview(Reference):
    """A reference with small views of `preview_rig`: what peers tune on them is measured on others, as with our own
    encoders.
    """

    def __init__(self, asset: Asset, *, resolution: int = RESOLUTION) -> None:
        super().__init__(asset, resolution=resolution)
        self.cameras = preview_rig(asset.bounds(), resolution=resolution)

    def score(self, decoded: Asset) -> float:
        """`Measurement.overall` by views alone, in dB: the mean of the PSNR of colours and of lit colours.

        Without the rest of a measurement, which takes a third of the time.
        """
        views = self.render(decoded)
        lit = [name for name in self.channels if name != "mask"]
        found = [psnr(self.images.channel(name), views.channel(name)).value for name in lit]
        return sum(min(value, CAP) for value in found) / len(found)
