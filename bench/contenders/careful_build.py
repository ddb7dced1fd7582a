"""Parts of what a careful user builds: simplified shapes, colours at their vertices, unwrapped shapes and pictures.

Everything here comes from public tools (open3d, fast-simplification, xatlas, Draco, Pillow); what depends on the
original alone is made once.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bench.contenders.draco_stream import Arrays, Bits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.query import Hits
from squeeze3d.geometry.refit import fit_vertices, refit, restore_bounds, surface_points
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import Surface
from squeeze3d.texture.atlas import MAX_FACES, Atlas, Texels, locate_texels, splat_texels, unwrap, unwrap_in_parts

FIT_POINTS = 20_000
"""Samples that vertices and their colours are fitted to."""
REACH = 0.02
"""How far in front of a simplified surface the visible layer of the original is looked for, canonical units."""
STIFFNESS = 0.05
FINEST = 4
"""Samples across a texel of a small picture."""
MOST_SAMPLES = 768
"""Samples across a picture; at least one for each of its texels."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A coded shape with texture coordinates, and the colours all over it."""

    data: bytes
    """The Draco stream."""
    texels: Texels
    colours: NDArray[np.float32]
    """(N, 3 or 4)."""
    aspect: float

    def picture(self, side: int) -> NDArray[np.uint8]:
        """(H, W, 3 or 4) of a width."""
        return splat_texels(self.texels, self.colours, (max(1, round(side * self.aspect)), side))


class Workshop:
    """Makes things of one surface. Shapes are named by `(hull, faces)`: the surface simplified, or its convex hull."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.pose = Pose.from_bounds(surface.bounds)
        self._whole = TriangleMesh(self.pose.to_canonical(surface.positions), surface.triangles)
        self._simplifier = Simplifier(self._whole)
        self._shapes: dict[tuple[bool, int], TriangleMesh] = {}
        self._colours: dict[tuple[bool, int], NDArray[np.uint8]] = {}
        self._atlases: dict[tuple[bool, int, int], Atlas] = {}
        self._canvases: dict[tuple[bool, int, int, int], Canvas] = {}

    @cached_property
    def mean_colour(self) -> NDArray[np.uint8]:
        """(4,) sRGB and alpha."""
        return np.rint(255 * self._sampled.mean(axis=0)).astype(np.uint8)

    @cached_property
    def is_uniform(self) -> bool:
        """Whether there is one colour, as far as 8 bits tell."""
        return float(np.ptp(self._sampled, axis=0).max()) < 0.5 / 255

    @cached_property
    def _sampled(self) -> NDArray[np.float32]:
        return self.surface.colours_at(*sample_triangles(self.surface.areas, FIT_POINTS, seed=3))

    def most_faces(self, hull: bool) -> int:
        """Triangles of what there is to simplify."""
        return len((self._hull[0] if hull else self._whole).triangles)

    # Shapes

    def shape(self, hull: bool, faces: int) -> TriangleMesh:
        """At most so many triangles, fitted to what they stand for; canonical coordinates."""
        key = hull, faces
        if key not in self._shapes:
            whole, simplifier = self._hull if hull else (self._whole, self._simplifier)
            mesh = simplifier.reduce(faces)
            if len(mesh.triangles) < len(whole.triangles):
                fitted = refit(mesh, surface_points(whole, FIT_POINTS), simplifier.query)
                mesh = fitted if simplifier.error(fitted) < simplifier.error(mesh) else mesh
                mesh = restore_bounds(mesh, whole.positions[np.unique(whole.triangles)])
            self._shapes[key] = mesh
        return self._shapes[key]

    @cached_property
    def _hull(self) -> tuple[TriangleMesh, Simplifier]:
        from scipy.spatial import ConvexHull

        points = self._whole.positions[np.unique(self._whole.triangles)]
        # Joggled: flat assets have a hull, too.
        found = ConvexHull(points, qhull_options="QJ")
        triangles = found.simplices.astype(np.int64)
        outwards = (face_normals(points, triangles) * found.equations[:, :3]).sum(axis=1) > 0
        triangles[~outwards] = triangles[~outwards][:, ::-1]
        mesh = TriangleMesh(points, triangles).cleaned()
        return mesh, Simplifier(mesh)

    # Colours

    def colours(self, hull: bool, faces: int) -> NDArray[np.uint8]:
        """(V, 3) sRGB at the vertices of a shape whose interpolation comes closest to what is visible."""
        key = hull, faces
        if key not in self._colours:
            mesh = self.shape(hull, faces)
            samples, weights = sample_triangles(face_areas(mesh.positions, mesh.triangles), FIT_POINTS, seed=5)
            wanted = self._seen(mesh, samples, weights)[:, :3].astype(np.float64)
            near = self._simplifier.query.closest(mesh.positions)
            start = self.surface.colours_at(near.faces, near.weights)[:, :3].astype(np.float64)
            fitted = fit_vertices(samples, weights, mesh.triangles, wanted, start, stiffness=STIFFNESS)
            self._colours[key] = np.rint(255 * np.clip(fitted, 0, 1)).astype(np.uint8)
        return self._colours[key]

    def _seen(self, mesh: TriangleMesh, faces: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """(N, 4) colours of the original, seen from outside at points of a shape."""
        points = (mesh.positions[mesh.triangles[faces]] * weights[:, :, None]).sum(axis=1)
        normals = face_normals(mesh.positions, mesh.triangles)[faces]
        hits: Hits = self._simplifier.query.outer_layer(points, normals, REACH)
        return self.surface.colours_at(hits.faces, hits.weights)

    # Streams

    def stream(self, hull: bool, faces: int, bits: int, step: int | None) -> bytes:
        """A shape with colours in bins of `step`, or without colours."""
        mesh = self.shape(hull, faces)
        rgb = None
        if step is not None:
            rgb = (self.colours(hull, faces) // step * step + step // 2).astype(np.uint8)
        return draco_stream.encode(Arrays(self._placed(mesh), mesh.triangles, colours=rgb), Bits(bits))

    def unwrapped(self, hull: bool, faces: int, bits: int, side: int) -> bytes:
        """A shape with texture coordinates for a picture of about `side` pixels."""
        mesh = self.shape(hull, faces)
        atlas = self._atlas(hull, faces, side)
        vertex = np.zeros(len(atlas.uvs), dtype=np.int64)
        vertex[atlas.corners] = mesh.triangles
        arrays = Arrays(self._placed(mesh)[vertex], atlas.corners, atlas.uvs)
        # Half a texel, as far as it goes.
        return draco_stream.encode(arrays, Bits(bits, uv=int(np.ceil(np.log2(side))) + 1))

    def _atlas(self, hull: bool, faces: int, side: int) -> Atlas:
        key = hull, faces, side
        if key not in self._atlases:
            mesh = self.shape(hull, faces)
            if len(mesh.triangles) <= MAX_FACES:
                self._atlases[key] = unwrap(mesh.positions, mesh.triangles, side)
            else:
                self._atlases[key] = unwrap_in_parts(mesh.positions, mesh.triangles, side, padding=1)
        return self._atlases[key]

    def canvas(self, hull: bool, faces: int, bits: int, side: int) -> Canvas:
        """An unwrapped shape as a decoder sees it, with colours for pictures of up to twice `side` pixels."""
        key = hull, faces, bits, side
        if key not in self._canvases:
            data = self.unwrapped(hull, faces, bits, side)
            back = draco_stream.decode(data)
            assert back.triangles is not None
            assert back.uvs is not None
            aspect = self._atlas(hull, faces, side).aspect
            columns = min(2 * FINEST * side, max(MOST_SAMPLES, 2 * side))
            texels = locate_texels(np.asarray(back.uvs)[back.triangles], (max(1, round(columns * aspect)), columns))
            mesh = TriangleMesh(self.pose.to_canonical(back.positions), np.asarray(back.triangles))
            seen = self._seen(mesh, texels.faces, texels.weights)
            channels = 3 if self.surface.alpha_mode == "OPAQUE" else 4
            self._canvases[key] = Canvas(data, texels, seen[:, :channels], aspect)
        return self._canvases[key]

    def _placed(self, mesh: TriangleMesh) -> NDArray[np.float32]:
        return self.pose.to_original(mesh.positions).astype(np.float32)


def encode_picture(pixels: NDArray[np.uint8], format: str, quality: int, *, final: bool = True) -> bytes:
    """(H, W, 3 or 4) pixels as WEBP or AVIF; AVIF is fast and a little larger where it is not final."""
    import PIL.Image

    out = io.BytesIO()
    effort = {"method": 6, "alpha_quality": 60} if format == "WEBP" else {"speed": 4 if final else 8}
    PIL.Image.fromarray(pixels).save(out, format=format, quality=quality, **effort)
    return out.getvalue()


def best_picture(pixels: NDArray[np.uint8], format: str, room: int, *, final: bool = True) -> bytes | None:
    """Of the highest quality within a number of bytes; None if there is none."""
    low, high, best = 1, 95, None
    while low <= high:
        quality = (low + high) // 2
        data = encode_picture(pixels, format, quality, final=final)
        if len(data) <= room:
            best, low = data, quality + 1
        else:
            high = quality - 1
    return best
