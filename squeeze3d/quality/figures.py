"""`Measurement`: the figures an encoder measures and a file may store. Light: `sq3d info` reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

CAP = 60.0


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

    @property
    def overall(self) -> float:
        """One number to maximise when a size is given: the mean of albedo and shaded PSNR, each capped at 60 dB.

        The cap keeps a perfect part (white clay has no colour to lose) from hiding the rest.
        """
        return (min(self.psnr, CAP) + min(self.shaded_psnr, CAP)) / 2

    def to_metadata(self) -> list[int]:
        """Five integers for the metadata chunk: PSNR, MS-SSIM, shaded PSNR, object PSNR and silhouette overlap.

        PSNR in hundredths of a decibel, 65535 for identical views; the others in steps of 1e-4.
        """
        decibels = [self.psnr, self.shaded_psnr, self.object_psnr]
        whole, shaded, own = (65535 if not math.isfinite(d) else min(max(round(100 * d), 0), 65534) for d in decibels)
        return [whole, round(1e4 * self.ms_ssim), shaded, own, round(1e4 * self.iou)]

    @classmethod
    def from_metadata(cls, values: Any) -> Measurement | None:
        """Inverse of `to_metadata`, up to its rounding; None for anything else."""
        if not isinstance(values, list) or len(values) != 5 or any(type(v) is not int for v in values):
            return None
        whole, similarity, shaded, own, iou = values
        a, b, c = (float("inf") if d == 65535 else d / 100 for d in (whole, shaded, own))
        return cls(a, similarity / 1e4, b, c, iou / 1e4)

    def to_json(self) -> dict[str, float | None]:
        """Rounded values; infinite ones become None, which JSON can hold."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: None if value is None or not math.isfinite(value) else round(float(value), 4)
            for name, value in values.items()
            if not (name == "d1_psnr" and value is None)
        }
