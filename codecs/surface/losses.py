"""What `mesh.surface` drops of a mesh."""

from __future__ import annotations

from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.codecs.losses import report_rebuilt
from squeeze3d.codecs.surface.model import SurfaceModel
from squeeze3d.geometry.surface import Surface


def report_losses(mesh: Mesh, surface: Surface, model: SurfaceModel, losses: LossReport) -> None:
    """List everything the model does not keep."""
    report_rebuilt(mesh, surface, losses)
    before, after = len(surface.triangles), len(model.triangles)
    if after < before:
        losses.add("triangles", f"{before - after} of {before} triangles", stage="encode")
