"""Figures by the rules of the Squeeze3D paper, for its tables only."""

from __future__ import annotations

from squeeze3d.assets.source import Asset
from squeeze3d.metrics.results import Unavailable


class PaperProtocol:
    """Measures as the published evaluation scripts do."""

    def __init__(self, original: Asset) -> None:
        self._original = original

    def measure(self, decoded: Asset) -> dict[str, float | Unavailable]:
        """Figures with keys that begin with `paper_`."""
        return {}
