"""From a `Surface` to a `SurfaceModel` of a given size: simplify, refit, quantise, re-sample colours.

Everything that depends on the original alone is computed once per `SurfaceBuilder`; the search for a target size
then tries many settings cheaply.
"""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.image import Wrap
from squeeze3d.assets.mesh import AlphaMode
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.surface.connectivity import Conquest
from squeeze3d.codecs.surface.model import ColourMode, Look, SurfaceModel, encode_mesh
from squeeze3d.codecs.surface.positions import MAX_BITS, dequantise, quantise
from squeeze3d.codecs.surface.rebuild import corner_uvs, geometry, texture_pixels, vertex_rgb
from squeeze3d.codecs.surface.texture_coordinates import encode_texture_coordinates
from squeeze3d.codecs.surface.vertex_colours import quantise_colours
from squeeze3d.errors import InputError
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.query import Hits, SurfaceQuery
from squeeze3d.geometry.refit import fit_vertices, refit, restore_bounds, surface_points
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import Surface
from squeeze3d.texture.atlas import Atlas, Texels, locate_texels, splat_texels, unwrap
from squeeze3d.texture.lookup import PixelGrid

FIT_POINTS = 20_000
"""Samples for refitting vertices and colours."""
JUDGE_POINTS = 6_000
"""Samples for comparing candidates."""
LAYER_REACH = 0.01
"""How far in front of the simplified surface the visible layer of the original is looked for, canonical units."""
DISTANCE_WEIGHT = 2.0
"""What a mean distance of 1 (the whole box) adds to the score, next to the mean squared colour error: about what a
silhouette moved by that much costs in rendered views against a white background."""
BOX_LOSS = 0.008
"""Part of its extent by which a side of the box may move after quantisation, before vertices are moved."""
CREASES = (0, 25, 40, 60, 90, 180)


@dataclass(frozen=True, eq=False)
class Shape:
    """Quantised geometry in coding order."""

    conquest: Conquest
    cells: NDArray[np.int64]
    bits: int
    size: int
    """Bytes of connectivity and positions."""

    @property
    def positions(self) -> NDArray[np.float64]:
        """(V, 3) canonical coordinates as a decoder sees them."""
        return dequantise(self.cells, self.bits)


@dataclass(frozen=True, eq=False)
class Paint:
    """Colour samples on an atlas."""

    texels: Texels
    colours: NDArray[np.float32]
    """(N, 3 or 4)."""
    aspect: float

    def picture(self, width: int) -> NDArray[np.uint8]:
        """(H, W, 3 or 4) texture of a given width."""
        return splat_texels(self.texels, self.colours, (max(1, round(width * self.aspect)), width))


class SurfaceBuilder:
    """Builds models of one surface."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.pose = Pose.from_bounds(surface.bounds)
        self.mesh = TriangleMesh(self.pose.to_canonical(surface.positions), surface.triangles)
        self.simplifier = Simplifier(self.mesh)
        self.rates: dict[str, float] = {}
        """Bytes a face by kind of colour, as the search has seen them last."""
        self._shapes: dict[tuple[int, int], Shape] = {}
        self._reduced: dict[int, TriangleMesh] = {}
        self._vertex_rgb: dict[Shape, NDArray[np.int64]] = {}
        self._creases: dict[Shape, int] = {}

    @property
    def face_count(self) -> int:
        """Triangles of the original."""
        return len(self.surface.triangles)

    @cached_property
    def _original_points(self) -> NDArray[np.float64]:
        return surface_points(self.mesh, FIT_POINTS)

    @cached_property
    def _judged(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Points on the original and their colours, to compare candidates at."""
        faces, weights = sample_triangles(self.surface.areas, JUDGE_POINTS, seed=3)
        corners = self.mesh.positions[self.mesh.triangles[faces]]
        return (corners * weights[:, :, None]).sum(axis=1), self.surface.colours_at(faces, weights)

    @property
    def is_uniform(self) -> bool:
        """Whether the whole surface has one colour and alpha, as far as 8 bits tell."""
        return float(np.ptp(self._judged[1], axis=0).max()) < 0.5 / 255

    # Geometry

    def reduced(self, count: int) -> TriangleMesh:
        """Simplified and refitted to at most `count` faces, canonical coordinates."""
        count = min(count, self.face_count)
        if count not in self._reduced:
            mesh = self.simplifier.reduce(count)
            if len(mesh.triangles) < self.face_count:
                fitted = refit(mesh, self._original_points, self.simplifier.query)
                mesh = fitted if self.simplifier.error(fitted) < self.simplifier.error(mesh) else mesh
                used = np.unique(self.mesh.triangles)
                mesh = restore_bounds(mesh, self.mesh.positions[used])
            self._reduced[count] = mesh
        return self._reduced[count]

    def shape(self, count: int, bits: int) -> Shape:
        """Quantised geometry with at most `count` faces.

        Raises InputError if nothing with an area is left, even on the finest grid.
        """
        count = min(count, self.face_count)
        key = count, bits
        if key not in self._shapes:
            mesh = self.reduced(count)
            while True:
                cells, index = np.unique(self._cells(mesh, bits), axis=0, return_inverse=True)
                snapped = TriangleMesh(cells.astype(np.float64), index.reshape(-1)[mesh.triangles]).cleaned()
                if len(snapped.triangles) and (bits == MAX_BITS or _keeps_box(snapped.positions, cells)):
                    break
                if bits == MAX_BITS:
                    raise InputError("nothing to compress: all triangles are degenerate")
                bits += 1  # Needles collapse on a coarse grid, and the far ends of the shape with them.
            encoder, conquest, order = encode_mesh(snapped.triangles, snapped.positions.astype(np.int64))
            coded = snapped.positions.astype(np.int64)[order]
            self._shapes[key] = Shape(conquest, coded, bits, len(encoder.finish()))
        return self._shapes[key]

    def _cells(self, mesh: TriangleMesh, bits: int) -> NDArray[np.int64]:
        """(V, 3) grid cells of the vertices.

        A coarse grid adds half a cell to what simplification took off each side of the box. Where that would be more
        than `BOX_LOSS` of the extent, the outermost vertices move out to the cell of the original's side.
        """
        cells = quantise(mesh.positions, bits)
        used = self.mesh.positions[np.unique(self.mesh.triangles)]
        low, high = used.min(axis=0), used.max(axis=0)
        placed = dequantise(cells, bits)
        for axis in range(3):
            allowed = BOX_LOSS * (high[axis] - low[axis])
            for side, outermost in ((low, placed[:, axis].min()), (high, placed[:, axis].max())):
                if abs(outermost - side[axis]) > allowed:
                    wanted = quantise(side[None], bits)[0, axis]
                    cells[placed[:, axis] == outermost, axis] = wanted
        return cells

    def auto_bits(self, count: int) -> int:
        """Grid resolution that suits a face budget: a cell about a twentieth of an edge."""
        return int(np.clip(round(3.6 + 0.6 * np.log2(max(min(count, self.face_count), 1))), 7, 14))

    # Look

    @cached_property
    def _base_look(self) -> Look:
        areas = np.bincount(
            self.surface.face_materials,
            weights=self.surface.areas + 1e-30,
            minlength=len(self.surface.materials),
        )
        share = areas / areas.sum()
        metallic = roughness = 0.0
        for part, owner in zip(share, self.surface.materials, strict=True):
            factor = _metallic_roughness(owner.material)
            metallic += part * factor[0]
            roughness += part * factor[1]
        materials = [m.material for m in self.surface.materials]
        return Look(
            double_sided=any(m.double_sided for m in materials),
            unlit=all(m.unlit for m in materials),
            metallic=round(255 * metallic),
            roughness=round(255 * roughness),
        )

    def look(self, shape: Shape, alpha_mode: AlphaMode) -> Look:
        """Material constants, and the crease angle whose normals agree best with the original's."""
        if shape not in self._creases:
            self._creases[shape] = self._best_crease(shape)
        return dataclasses.replace(self._base_look, alpha_mode=alpha_mode, crease=self._creases[shape])

    def _best_crease(self, shape: Shape) -> int:
        positions, triangles = shape.positions, shape.conquest.triangles
        faces, weights = sample_triangles(face_areas(positions, triangles), JUDGE_POINTS, seed=4)
        hits = self._visible(positions, triangles, faces, weights)
        wanted = np.einsum("nkc,nk->nc", self.surface.corner_normals[hits.faces], hits.weights)
        agreement = []
        for angle in CREASES:
            shading = crease_normals(positions, triangles, angle)
            got = np.einsum("nkc,nk->nc", shading.normals[shading.groups[faces]], weights)
            got /= np.maximum(np.linalg.norm(got, axis=1, keepdims=True), 1e-12)
            agreement.append(float((got * wanted).sum(axis=1).clip(-1, 1).mean()))
        return CREASES[int(np.argmax(agreement))]

    # Colours

    def _visible(
        self,
        positions: NDArray[np.float64],
        triangles: NDArray[np.int64],
        faces: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> Hits:
        """Original surface seen from outside at points of a simplified one."""
        points = (positions[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        normals = face_normals(positions, triangles)[faces]
        return self.simplifier.query.outer_layer(points, normals, LAYER_REACH)

    def constant(self, shape: Shape) -> SurfaceModel:
        """One colour for everything: the area-weighted mean."""
        colours = self._judged[1]
        r, g, b, a = np.clip(np.rint(colours.mean(axis=0) * 255), 0, 255).astype(int).tolist()
        alpha: AlphaMode = "BLEND" if a < 250 else "OPAQUE"
        constant = (r, g, b, a if alpha == "BLEND" else 255)
        return SurfaceModel(
            self.pose,
            shape.bits,
            shape.conquest,
            shape.cells,
            self.look(shape, alpha),
            ColourMode.CONSTANT,
            constant,
        )

    def vertex(self, shape: Shape, step: int) -> SurfaceModel:
        """Colours at vertices, fitted so that their interpolation matches the original."""
        if shape not in self._vertex_rgb:
            self._vertex_rgb[shape] = self._fit_vertex_rgb(shape)
        return SurfaceModel(
            self.pose,
            shape.bits,
            shape.conquest,
            shape.cells,
            self.look(shape, "OPAQUE"),
            ColourMode.VERTEX,
            step=step,
            colours=quantise_colours(self._vertex_rgb[shape], step),
        )

    def _fit_vertex_rgb(self, shape: Shape) -> NDArray[np.int64]:
        """(V, 3) sRGB bytes by linear least squares over samples of the surface."""
        positions, triangles = shape.positions, shape.conquest.triangles
        count = len(positions)
        samples = max(FIT_POINTS, 4 * count)
        faces, weights = sample_triangles(face_areas(positions, triangles), samples, seed=5)
        hits = self._visible(positions, triangles, faces, weights)
        wanted = self.surface.colours_at(hits.faces, hits.weights)[:, :3].astype(np.float64)
        own = self.simplifier.query.closest(positions)
        # Vertices of tiny triangles may have no sample at all: they stay near their own colour.
        start = self.surface.colours_at(own.faces, own.weights)[:, :3].astype(np.float64)
        fitted = fit_vertices(faces, weights, triangles, wanted, start, stiffness=0.05)
        return np.clip(np.rint(fitted * 255), 0, 255).astype(np.int64)

    def atlas(self, shape: Shape, resolution: int) -> tuple[Atlas, int, SurfaceModel]:
        """Unwrapped shape without a picture yet, and the bytes its texture coordinates take."""
        atlas = unwrap(shape.positions, shape.conquest.triangles, resolution)
        bits = int(np.clip(np.ceil(np.log2(resolution)) + 1, 6, 13))
        uvs = np.clip(np.floor(atlas.uvs * (1 << bits)), 0, (1 << bits) - 1).astype(np.int64)
        encoder = SymbolEncoder()
        wedges = encode_texture_coordinates(encoder, shape.conquest, atlas.corners, uvs)
        model = SurfaceModel(
            self.pose,
            shape.bits,
            shape.conquest,
            shape.cells,
            self.look(shape, self.surface.alpha_mode),
            ColourMode.TEXTURE,
            uv_bits=bits,
            wedges=wedges,
        )
        return atlas, len(encoder.finish()), model

    def paint(self, model: SurfaceModel, width: int, aspect: float) -> Paint:
        """Colours of the original all over the atlas of an unwrapped model, for textures up to `width` pixels."""
        shape = geometry(model)
        columns = width * (4 if width <= 256 else 3 if width <= 512 else 2 if width <= 1024 else 1)
        texels = locate_texels(corner_uvs(model), (max(1, round(columns * aspect)), columns))
        hits = self._visible(shape.positions, shape.triangles, texels.faces, texels.weights)
        colours = self.surface.colours_at(hits.faces, hits.weights)
        return Paint(texels, colours[:, : 3 if model.look.alpha_mode == "OPAQUE" else 4], aspect)

    # Judgement

    def score(self, model: SurfaceModel) -> float:
        """How far a model is from the original, without rendering: 0 is perfect.

        Mean squared colour error over points of the original, against the closest place of the model, plus
        `DISTANCE_WEIGHT` times the mean distance in both directions.
        """
        shape = geometry(model)
        points, wanted = self._judged
        hits = SurfaceQuery(shape.positions, shape.triangles).closest(points)
        forward = np.linalg.norm(hits.points - points, axis=1).mean()
        faces, weights = sample_triangles(face_areas(shape.positions, shape.triangles), JUDGE_POINTS, seed=6)
        own = (shape.positions[shape.triangles[faces]] * weights[:, :, None]).sum(axis=1)
        backward = self.simplifier.query.distance(own).mean()
        got = _model_colours(model, hits)
        error = float(((got - wanted[:, :3]) ** 2).mean())
        return error + DISTANCE_WEIGHT * float(forward + backward) / 2


def _keeps_box(kept: NDArray[np.float64], cells: NDArray[np.int64]) -> bool:
    """Whether the vertices that are left span the box of all (N, 3) cells, to a cell and 1 % of each side."""
    low, high = cells.min(axis=0), cells.max(axis=0)
    lost = np.maximum(kept.min(axis=0) - low, high - kept.max(axis=0))
    return bool((lost <= 1 + 0.01 * (high - low)).all())


def encode_webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A lossy WebP file of (H, W, 3 or 4) pixels."""
    import PIL.Image

    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, format="WEBP", quality=quality, method=6, alpha_quality=60)
    return out.getvalue()


def _model_colours(model: SurfaceModel, hits: Hits) -> NDArray[np.float64]:
    """(N, 3) sRGB colours in [0, 1] of a model at points on it."""
    if model.mode is ColourMode.CONSTANT:
        return np.broadcast_to(np.array(model.constant[:3]) / 255, (len(hits.faces), 3))
    if model.mode is ColourMode.VERTEX:
        corners = vertex_rgb(model)[model.conquest.triangles[hits.faces]] / 255
        result: NDArray[np.float64] = (corners * hits.weights[:, :, None]).sum(axis=1)
        return result
    uv = (corner_uvs(model)[hits.faces] * hits.weights[:, :, None]).sum(axis=1)
    grid = PixelGrid(texture_pixels(model.image, Limits()), (Wrap.CLAMP, Wrap.CLAMP))
    return grid.sample(uv)[:, :3].astype(np.float64)


def _metallic_roughness(material: object) -> tuple[float, float]:
    """Mean metalness and roughness of a material, its texture included."""
    from squeeze3d.assets.mesh import Material
    from squeeze3d.errors import Sq3Error

    assert isinstance(material, Material)
    texture = material.metallic_roughness_texture
    if texture is None:
        return material.metallic, material.roughness
    try:
        mean = texture.image.pixels()[:, :, :3].reshape(-1, 3).mean(axis=0) / 255
    except Sq3Error:
        return 0.0, 1.0
    return material.metallic * float(mean[2]), material.roughness * float(mean[1])
