"""`SurfaceBuilder`: models of one surface, from the parts that a search chooses."""

from __future__ import annotations

import dataclasses
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import AlphaMode, Material
from squeeze3d.codecs.surface.model import CREASES, SHADES, Details, Look, SurfaceModel
from squeeze3d.codecs.surface.paint import Painter
from squeeze3d.codecs.surface.picture import Picture
from squeeze3d.codecs.surface.portrait import Portraitist
from squeeze3d.codecs.surface.rebuild import corners
from squeeze3d.codecs.surface.shapes import Shape, Shapes
from squeeze3d.errors import Sq3Error
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.sampling import face_areas, sample_triangles
from squeeze3d.geometry.surface import Surface
from squeeze3d.threads import Kept

PROBES = 6_000
"""Points at which colours and normals of the original are looked at."""
SHAPES = 6
"""How many shapes are remembered with their colours, which take some 100 MB for a large one."""
SOLID = 250
"""Mean alpha from which one colour is opaque."""


class SurfaceBuilder:
    """Builds models of one surface; keeps what other models need again."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.shapes = Shapes(surface)
        self.sizes: dict[int, dict[int, float]] = {}
        """Bytes of shapes by bits of a coordinate and number of triangles, as far as a search knows them."""
        self._painters: Kept[Shape, Painter] = Kept(SHAPES)
        self._portraitists: Kept[Shape, Portraitist] = Kept(SHAPES)
        self._creases: Kept[Shape, int] = Kept()

    @cached_property
    def _seen(self) -> NDArray[np.float32]:
        """(N, 4) colours of the original at points of its surface."""
        faces, weights = sample_triangles(self.surface.areas, PROBES, seed=3)
        return self.surface.colours_at(faces, weights)

    @property
    def is_uniform(self) -> bool:
        """Whether the whole surface has one colour and alpha, as far as 8 bits tell."""
        return float(np.ptp(self._seen, axis=0).max()) < 0.5 / 255

    @property
    def look_of_colours(self) -> Look:
        """What colours need to know of the look of models with details."""
        return dataclasses.replace(self._look, alpha_mode=self.surface.alpha_mode)

    @cached_property
    def _look(self) -> Look:
        areas = np.bincount(
            self.surface.face_materials,
            weights=self.surface.areas + 1e-30,
            minlength=len(self.surface.materials),
        )
        metallic = roughness = 0.0
        for part, owner in zip(areas / areas.sum(), self.surface.materials, strict=True):
            factor = _metallic_roughness(owner.material)
            metallic += part * factor[0]
            roughness += part * factor[1]
        materials = [m.material for m in self.surface.materials]
        return Look(
            double_sided=any(m.double_sided for m in materials),
            unlit=all(m.unlit for m in materials),
            metallic=round(SHADES * min(max(metallic, 0.0), 1.0)),
            roughness=round(SHADES * min(max(roughness, 0.0), 1.0)),
        )

    def look(self, shape: Shape, alpha_mode: AlphaMode) -> Look:
        """Material constants, and the crease angle whose normals agree best with the original's."""
        crease = self._creases.get(shape, lambda: self._best_crease(shape))
        double_sided = self._look.double_sided or shape.folded
        return dataclasses.replace(self._look, alpha_mode=alpha_mode, crease=crease, double_sided=double_sided)

    def _best_crease(self, shape: Shape) -> int:
        positions, triangles = shape.positions, shape.triangles
        faces, weights = sample_triangles(face_areas(positions, triangles), PROBES, seed=4)
        hits = self.shapes.visible(positions, triangles, faces, weights)
        wanted = np.einsum("nkc,nk->nc", self.surface.corner_normals[hits.faces], hits.weights)
        agreement = []
        for angle in CREASES:
            shading = crease_normals(positions, triangles, angle)
            got = np.einsum("nkc,nk->nc", shading.normals[shading.groups[faces]], weights)
            got /= np.maximum(np.linalg.norm(got, axis=1, keepdims=True), 1e-12)
            # Both sides are lit alike.
            agreement.append(float(np.abs((got * wanted).sum(axis=1)).clip(0, 1).mean()))
        return CREASES[int(np.argmax(agreement))]

    @property
    def components(self) -> int:
        """Numbers of a colour where there are details."""
        return 3 if self.surface.alpha_mode == "OPAQUE" else 4

    def painter(self, shape: Shape) -> Painter:
        """Colours for a shape."""
        return self._painters.get(shape, lambda: Painter(self.shapes, shape, self.components))

    def portraitist(self, shape: Shape) -> Portraitist:
        """Pictures of a shape."""
        colours = partial(self.painter(shape).colours, shape.positions, shape.triangles)
        return self._portraitists.get(shape, lambda: Portraitist(shape, colours))

    def constant(self, shape: Shape) -> SurfaceModel:
        """One colour for everything: the area-weighted mean."""
        r, g, b, a = np.clip(np.rint(self._seen.mean(axis=0) * 255), 0, 255).astype(int).tolist()
        alpha: AlphaMode = "BLEND" if a < SOLID else "OPAQUE"
        colour = (r, g, b, a if alpha == "BLEND" else 255)
        return SurfaceModel(
            self.shapes.pose, shape.bits, shape.step, shape.triangles, shape.cells, self.look(shape, alpha), colour
        )

    def detailed(self, shape: Shape, details: Details) -> SurfaceModel:
        """Colours all over."""
        look = self.look(shape, self.surface.alpha_mode)
        return SurfaceModel(
            self.shapes.pose, shape.bits, shape.step, shape.triangles, shape.cells, look, details=details
        )

    def pictured(self, shape: Shape, picture: Picture) -> SurfaceModel:
        """Colours in a picture."""
        look = self.look(shape, "OPAQUE")
        return SurfaceModel(
            self.shapes.pose, shape.bits, shape.step, shape.triangles, shape.cells, look, picture=picture
        )

    def error(self, model: SurfaceModel) -> float:
        """How far a model is from the original, on views; see `Judge.error`."""
        red, green, blue, _ = model.constant
        return self.shapes.judge.error(corners(model), (red / 255, green / 255, blue / 255), unlit=model.look.unlit)


def _metallic_roughness(material: Material) -> tuple[float, float]:
    """Mean metalness and roughness of a material, its texture included."""
    texture = material.metallic_roughness_texture
    if texture is None:
        return material.metallic, material.roughness
    try:
        mean = texture.image.pixels()[:, :, :3].reshape(-1, 3).mean(axis=0) / 255
    except Sq3Error:
        return 0.0, 1.0
    return material.metallic * float(mean[2]), material.roughness * float(mean[1])
