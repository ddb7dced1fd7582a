"""Meshes by ray casting.

```text
rays of all views ─► first hits ─► colour, normal ─┬─ opaque ─────────────────────────────────► image
                                                   └─ see-through ─► every hit, front to back ─► image
```

One hit a ray is enough nearly everywhere. Only rays whose first hit lets light through (a cut-out texel, a blended
material, a culled back face) ask for all their hits, which are composited layer by layer until nothing gets through.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.mesh import Mesh
from squeeze3d.errors import InputError
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.render.camera import Camera, group_rays
from squeeze3d.render.images import CHANNELS, Channel, Images, blank, render_in_groups
from squeeze3d.render.raycast import RayHits, RayScene

AMBIENT, HEADLIGHT = 0.25, 0.75
"""Light from everywhere and from the camera: a surface seen at an angle shows `AMBIENT + HEADLIGHT * |cos|` of its
linear colour. Both sides are lit alike, so a triangle that a codec turns round keeps its look."""

_THROUGH = np.float32(1 / 1024)
"""Less light than this that gets through to the next layer is taken as none: a quarter of a byte step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """What N hits look like."""

    colours: NDArray[np.float32]
    """(N, 4) encoded RGB and alpha."""
    shaded: NDArray[np.float32] | None
    """(N, 3) encoded, lit."""
    normals: NDArray[np.float32] | None
    """(N, 3) towards the camera."""


class MeshRenderer:
    """A mesh made ready once for any number of cameras."""

    def __init__(self, mesh: Mesh | Surface, *, cull: bool = False, threads: int | None = None) -> None:
        """Flatten the scene and build the tree.

        Parameters
        ----------
        mesh : a mesh without any triangle that has an area renders as nothing.
        cull : hide the back faces of single-sided materials, as real-time viewers do. By default everything shows
            from both sides: many files have the flag or the winding wrong.
        threads : for the ray casting; None for all cores.
        """
        self._cull = cull
        self._surface: Surface | None = None
        try:
            self._surface = mesh if isinstance(mesh, Surface) else flatten(mesh)
        except InputError:
            return
        surface = self._surface
        bounds = surface.bounds
        self._centre = bounds.mean(axis=0)
        # Rays are float32: they need numbers of order 1.
        self._scale = float(np.linalg.norm(bounds[1] - bounds[0])) / 2 or 1.0
        positions = ((surface.positions - self._centre) / self._scale).astype(np.float32)
        self._scene = RayScene(positions, surface.triangles, threads)
        corners = positions[surface.triangles]
        self._face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flags = [(m.material.unlit, m.material.double_sided) for m in surface.materials]
        self._unlit, self._double_sided = np.array(flags, dtype=bool).T

    def render(
        self, cameras: Sequence[Camera], *, supersample: int = 1, channels: Collection[Channel] = CHANNELS
    ) -> Images:
        """Images of all cameras, which must have one resolution.

        Parameters
        ----------
        supersample : 2 takes 2 x 2 rays a pixel, and their mean.
        channels : what to compute; fewer is faster.
        """
        return render_in_groups(self._draw, cameras, supersample, channels)

    def _draw(self, cameras: Sequence[Camera], channels: frozenset[Channel]) -> Images:
        images = blank(cameras, channels)
        if self._surface is None:
            return images
        moved = [camera.moved(self._centre, self._scale) for camera in cameras]
        rays = group_rays(moved)
        sizes = [1 / camera.pixels_per_unit(np.ones(1))[0] for camera in moved]
        view = _Views(rays, np.array(sizes, np.float32), moved[0].fov is None, len(rays) // len(moved))
        flat = _flat(images)
        hits = self._scene.first(rays)
        if channels == {"mask"} and not self._may_see_through:
            flat["mask"][hits.rays] = 1
            return images
        samples = self._samples(hits, view, channels)
        through = samples.colours[:, 3] < 1 - _THROUGH
        if "albedo" in flat:
            flat["albedo"][hits.rays] = samples.colours[:, :3]
        if "shaded" in flat and samples.shaded is not None:
            flat["shaded"][hits.rays] = samples.shaded
        if "mask" in flat:
            flat["mask"][hits.rays] = 1
        _store_place(flat, hits, samples.normals, self._scale)
        if through.any():
            self._composite(flat, hits.rays[through], view, channels)
        return images

    @property
    def _may_see_through(self) -> bool:
        assert self._surface is not None
        return self._surface.alpha_mode != "OPAQUE" or (self._cull and not self._double_sided.all())

    def _samples(self, hits: RayHits, view: _Views, channels: frozenset[Channel]) -> _Samples:
        surface = self._surface
        assert surface is not None
        directions = view.rays[hits.rays, 3:]
        away = np.sqrt(_dot(directions, directions))
        faces = self._face_normals[hits.faces]
        facing = _dot(faces, directions)
        cosine = np.abs(facing) / np.maximum(away * np.sqrt(_dot(faces, faces)), np.float32(1e-20))
        # The patch a pixel sees is longer where the surface is tilted; its side is the root of its area.
        side = view.footprint(hits) / np.sqrt(np.maximum(cosine, np.float32(0.05)))
        colours = surface.colours_at(hits.faces, hits.weights, side * np.float32(self._scale))
        if self._cull:
            hidden = (facing > 0) & ~self._double_sided[surface.face_materials[hits.faces]]
            colours[hidden, 3] = 0
        if not channels & {"shaded", "normal"}:
            return _Samples(colours, None, None)
        normals = _interpolated(surface.corner_normals, hits)
        normals /= np.maximum(np.sqrt(_dot(normals, normals)), np.float32(1e-12))[:, None]
        tilt = _dot(normals, directions) / away
        normals[tilt > 0] *= -1
        shaded = None
        if "shaded" in channels:
            light = np.float32(AMBIENT) + np.float32(HEADLIGHT) * np.abs(tilt)
            light[self._unlit[surface.face_materials[hits.faces]]] = 1
            shaded = lit(colours[:, :3], light)
        return _Samples(colours, shaded, normals)

    def _composite(
        self,
        flat: dict[str, NDArray[np.float32]],
        pixels: NDArray[np.int64],
        view: _Views,
        channels: frozenset[Channel],
    ) -> None:
        """Draw pixels whose first hit lets light through."""
        every = self._scene.every(view.rays[pixels])
        starts = np.searchsorted(every.rays, np.arange(len(pixels) + 1))
        layer, ends = starts[:-1].copy(), starts[1:]
        light = np.ones(len(pixels), dtype=np.float32)
        best = np.zeros(len(pixels), dtype=np.float32)
        colours = [name for name in CHANNELS[:2] if name in flat]
        sums: dict[str, NDArray[np.float32]] = {name: np.zeros((len(pixels), 3), np.float32) for name in colours}
        for name, empty in (("normal", 0), ("depth", np.inf)):
            if name in flat:
                flat[name][pixels] = empty
        active = np.flatnonzero(layer < ends)
        while len(active):
            layers = every.at(layer[active])
            hits = RayHits(pixels[active], layers.lengths, layers.faces, layers.weights)
            samples = self._samples(hits, view, channels)
            share = light[active] * samples.colours[:, 3]
            for name, values in (("albedo", samples.colours[:, :3]), ("shaded", samples.shaded)):
                if name in flat and values is not None:
                    sums[name][active] += share[:, None] * values
            # Depth and normal are those of the layer that shows most.
            most = share > best[active]
            best[active[most]] = share[most]
            normals = None if samples.normals is None else samples.normals[most]
            _store_place(flat, hits.at(most), normals, self._scale)
            light[active] *= 1 - samples.colours[:, 3]
            light[active[light[active] < _THROUGH]] = 0
            layer[active] += 1
            active = active[(layer[active] < ends[active]) & (light[active] > 0)]
        for name, total in sums.items():
            flat[name][pixels] = np.clip(total + light[:, None], 0, 1)
        if "mask" in flat:
            flat["mask"][pixels] = 1 - light


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """Rays of a group of cameras with one resolution."""

    rays: NDArray[np.float32]
    sizes: NDArray[np.float32]
    """Width of a pixel of each camera, at depth 1 if perspective."""
    parallel: bool
    each: int
    """Rays of each camera."""

    def footprint(self, hits: RayHits) -> NDArray[np.float32]:
        """(N,) width of a pixel at each hit, across the view."""
        size = self.sizes[hits.rays // self.each]
        return size if self.parallel else size * hits.lengths


def lit(colours: NDArray[np.float32], light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encoded (N, 3) colours under (N,) amounts of light, which act on linear values."""
    low = colours <= np.float32(0.04045)
    linear = np.where(low, colours / np.float32(12.92), ((colours + np.float32(0.055)) / np.float32(1.055)) ** 2.4)
    linear *= light[:, None]
    low = linear <= np.float32(0.0031308)
    return np.where(low, linear * np.float32(12.92), np.float32(1.055) * linear ** (1 / 2.4) - np.float32(0.055))


def _flat(images: Images) -> dict[str, NDArray[np.float32]]:
    """Views of the channels with one entry for each pixel of all images."""
    channels = {name: getattr(images, name) for name in CHANNELS}
    return {
        name: value.reshape(-1, 3) if value.ndim == 4 else value.reshape(-1)
        for name, value in channels.items()
        if value is not None
    }


def _store_place(
    flat: dict[str, NDArray[np.float32]], hits: RayHits, normals: NDArray[np.float32] | None, scale: float
) -> None:
    if "normal" in flat and normals is not None:
        flat["normal"][hits.rays] = normals
    if "depth" in flat:
        flat["depth"][hits.rays] = hits.lengths * np.float32(scale)


def _interpolated(corners: NDArray[np.float32], hits: RayHits) -> NDArray[np.float32]:
    at, w = corners[hits.faces], hits.weights
    result: NDArray[np.float32] = at[:, 0] * w[:, :1] + at[:, 1] * w[:, 1:2] + at[:, 2] * w[:, 2:]
    return result


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return result
