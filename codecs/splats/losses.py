"""What a scene of splats loses."""

from __future__ import annotations

from squeeze3d.assets.loss import LossReport
from squeeze3d.codecs.splats.build import SplatsBuilder, Stream
from squeeze3d.codecs.splats.model import BANDS


def report_losses(builder: SplatsBuilder, stream: Stream, losses: LossReport) -> None:
    """List splats and harmonics that are left out, beyond numbers that are rounded."""
    total = len(builder.splats.positions)
    if builder.faint:
        losses.add("faint-splats", f"{builder.faint} of {total} splats, too faint to be drawn", stage="encode")
    merged = builder.count - stream.head.count
    if merged:
        losses.add("splats", f"{merged} of {total} splats merged into others or left out", stage="encode")
    kept, had = BANDS[stream.head.degree], builder.splats.sh_rest.shape[2]
    if kept < had:
        losses.add("harmonics", f"spherical harmonics above degree {stream.head.degree}", stage="encode")
