"""`Measurement`: the figures an encoder measures and a file may store. Light: `sq3d info` reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

CAP = 60.0
D1_ABOVE_COLOUR = 30.0
"""Decibels of D1 PSNR above that of colours at which both look about as good."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the views say. PSNR in dB, infinite for identical views."""

    psnr: float
    """Albedo, all pixels of all views."""
    ms_ssim: float
    """Albedo, mean over views, in [0, 1]."""
    shaded_psnr: float
    """Under a headlight: sees shape and normals as well."""
    object_psnr: float
    """Albedo, pixels of either silhouette alone: not flattered by the background."""
    iou: float
    """Overlap of the silhouettes, in [0, 1]."""
    d1_psnr: float | None = None
    """Point clouds: point-to-point PSNR relative to the diagonal of the box."""
    colour_psnr: float | None = None
    """Point clouds with colours: PSNR between nearest points; squared errors of Y count six times those of U and V."""

    @property
    def overall(self) -> float:
        """One number to maximise when a size is given, at most 60 dB.

        The mean of albedo and shaded PSNR; of clouds that of D1 PSNR less 30 and of the colours. Each part is capped at
        60 dB, which keeps a perfect one (white clay has no colour to lose) from hiding the rest.
        """
        if self.d1_psnr is None:
            return (min(self.psnr, CAP) + min(self.shaded_psnr, CAP)) / 2
        near = min(self.d1_psnr - D1_ABOVE_COLOUR, CAP)
        return near if self.colour_psnr is None else (near + min(self.colour_psnr, CAP)) / 2

    def to_metadata(self) -> list[int]:
        """Integers for the metadata chunk: PSNR, MS-SSIM, shaded PSNR, object PSNR and silhouette overlap; for clouds
        D1 PSNR and, with colours, the PSNR of colours as well.

        PSNR in hundredths of a decibel, 65535 where nothing differs; the others in steps of 1e-4.
        """
        views = [_stored(self.psnr), round(1e4 * self.ms_ssim), _stored(self.shaded_psnr), _stored(self.object_psnr)]
        clouds = [_stored(d) for d in (self.d1_psnr, self.colour_psnr) if d is not None]
        return [*views, round(1e4 * self.iou), *clouds]

    @classmethod
    def from_metadata(cls, values: Any) -> Measurement | None:
        """Inverse of `to_metadata`, up to its rounding; None for anything else."""
        if not isinstance(values, list) or not 5 <= len(values) <= 7 or any(type(v) is not int for v in values):
            return None
        whole, similarity, shaded, own, iou, *clouds = values
        a, b, c, *d = (_read(v) for v in (whole, shaded, own, *clouds))
        return cls(a, similarity / 1e4, b, c, iou / 1e4, *d)

    def to_json(self) -> dict[str, float | None]:
        """Rounded values; infinite ones become None, which JSON can hold."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: None if value is None or not math.isfinite(value) else round(float(value), 4)
            for name, value in values.items()
            if not (name in ("d1_psnr", "colour_psnr") and value is None)
        }


def _stored(decibels: float) -> int:
    return 65535 if not math.isfinite(decibels) else min(max(round(100 * decibels), 0), 65534)


def _read(stored: int) -> float:
    return math.inf if stored == 65535 else stored / 100
