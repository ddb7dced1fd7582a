"""What codecs that rebuild a surface drop of a mesh, whatever they make of it."""

from __future__ import annotations

from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.geometry.surface import Surface


def report_rebuilt(mesh: Mesh, surface: Surface, losses: LossReport) -> None:
    """List maps, materials, structure and texture coordinates: one surface with one material comes back."""
    for message in surface.unreadable:
        losses.add("unreadable-texture", message, stage="encode", warning=True)
    materials = [m.material for m in surface.materials]
    for feature, name, textures in (
        ("normal-map", "normal map", [m.normal_texture for m in materials]),
        (
            "metallic-roughness-map",
            "metallic-roughness map",
            [m.metallic_roughness_texture for m in materials],
        ),
        ("occlusion-map", "occlusion map", [m.occlusion_texture for m in materials]),
        ("emissive-map", "emissive map", [m.emissive_texture for m in materials]),
    ):
        count = len({id(t.image) for t in textures if t is not None})
        if count:
            losses.add(feature, f"{count} {name}{'s' * (count > 1)}", stage="encode")
    if any(any(m.emissive) for m in materials):
        losses.add("emissive", "emissive colour", stage="encode")
    if len(materials) > 1:
        losses.add("materials", f"{len(materials)} materials merged into one", stage="encode")
    if len(mesh.nodes) > 1 or len(mesh.primitives) > 1:
        parts = sum(1 for _ in mesh.instances())
        losses.add("scene-structure", f"{len(mesh.nodes)} nodes and {parts} parts merged into one", stage="encode")
    sets = max(len(p.uvs) for p in mesh.primitives)
    if sets:
        losses.add("uv-layout", f"UV layout of {sets} set{'s' * (sets > 1)}", stage="encode")
