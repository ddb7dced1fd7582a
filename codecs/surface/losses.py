"""What `mesh.surface` drops of a mesh."""

from __future__ import annotations

from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.codecs.losses import report_rebuilt
from squeeze3d.codecs.surface.model import ColourMode, SurfaceModel
from squeeze3d.geometry.surface import Surface


def report_losses(mesh: Mesh, surface: Surface, model: SurfaceModel, losses: LossReport) -> None:
    """List everything the model does not keep."""
    report_rebuilt(mesh, surface, losses)
    if surface.alpha_mode != "OPAQUE" and model.mode is ColourMode.VERTEX:
        losses.add("alpha", f"transparency (mode {surface.alpha_mode})", stage="encode")
    before, after = len(surface.triangles), len(model.conquest.triangles)
    if after < before:
        losses.add("triangles", f"{before - after} of {before} triangles", stage="encode")
