"""All figures of decoded assets, for one original that is rendered once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from squeeze3d.assets.digest import digest
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset
from squeeze3d.bench.paper_protocol import PaperProtocol
from squeeze3d.metrics.image import masked_psnr
from squeeze3d.metrics.results import Unavailable
from squeeze3d.quality.measure import COVERED, Reference
from squeeze3d.quality.report import Side, compare
from squeeze3d.render import Images


@dataclass(frozen=True)
class Figures:
    """What was measured of one decoded asset."""

    values: dict[str, float]
    """Finite figures by key."""
    infinite: list[str]
    """Figures that find no difference."""
    unavailable: dict[str, str]
    """Why figures are missing."""
    views: Images
    """The decoded asset on the measuring rig."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "metrics": {key: float(f"{value:.8g}") for key, value in self.values.items()},
            "infinite": self.infinite,
            "unavailable": self.unavailable,
        }


class Meter:
    """Measures assets that come from one original.

    Parameters
    ----------
    paper : whether to measure by the rules of the Squeeze3D paper as well; those figures have keys with `paper_`.
    """

    def __init__(self, original: Asset, *, paper: bool = False) -> None:
        self.reference = Reference(original)
        self._protocol = PaperProtocol(original) if paper else None
        self._side = Side("original", original, 0)
        self._known: dict[bytes, Figures] = {}
        """By content: lossless files all come back as the same."""

    def measure(self, decoded: Asset) -> Figures:
        """All figures of `sq3d compare`, and for meshes object-only PSNR under light.

        Raises UsageError if it is another kind of asset.
        """
        content = digest(decoded)
        if content not in self._known:
            self._known[content] = self._measured(decoded)
        return self._known[content]

    def _measured(self, decoded: Asset) -> Figures:
        found = compare(self._side, Side("decoded", decoded, 0), reference=self.reference)
        figures = {figure.key: figure.value for figure in found.figures}
        if isinstance(decoded, Mesh):
            figures["object_shaded_psnr"] = self._object_shaded(found.views)
        if self._protocol is not None:
            figures |= self._protocol.measure(decoded)
        numbers = {key: float(value) for key, value in figures.items() if not isinstance(value, Unavailable)}
        return Figures(
            {key: value for key, value in numbers.items() if math.isfinite(value)},
            [key for key, value in numbers.items() if value == math.inf],
            {key: value.reason for key, value in figures.items() if isinstance(value, Unavailable)},
            found.views,
        )

    def _object_shaded(self, views: Images) -> float:
        ours = self.reference.images
        masks = ours.channel("mask") >= COVERED, views.channel("mask") >= COVERED
        return masked_psnr(ours.channel("shaded"), views.channel("shaded"), *masks).value
