"""What a field loses."""

from __future__ import annotations

from squeeze3d.assets.loss import LossReport
from squeeze3d.codecs.fields.content import Content
from squeeze3d.codecs.fields.model import Cells


def report_losses(content: Content, cells: Cells | None, losses: LossReport) -> None:
    """List what is changed on purpose; `cells` are None for an empty field."""
    if content.clipped:
        losses.add("colour-range", f"colours of {content.clipped} cells clipped to 0 ... 1", stage="encode")
    if cells is None:
        losses.add("faint-density", "nothing in the field can be seen; it comes back empty", stage="encode")
        return
    head = cells.head
    if head.is_coarse:
        x, y, z = head.coded
        losses.add("grid", f"coded on {x} x {y} x {z} cells and interpolated", stage="encode")
    losses.add("hidden-colours", "colours that nothing shows: empty cells, the inside of solids", stage="encode")
