"""How much a model looks like its original, fast: small rasterised views from where nothing is measured.

Squared errors of the colours and of the lit colours, over the pixels where either shows the object, as `object_psnr`
and its lit sister take them on the measuring rig with rays and finer pictures.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.image import Wrap
from squeeze3d.codecs.surface.rebuild import Corners
from squeeze3d.compiled import compiled
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.surface import Surface
from squeeze3d.render.camera import fitting_rig
from squeeze3d.render.mesh import AMBIENT, HEADLIGHT, MeshRenderer, lit
from squeeze3d.render.raster import Fragments, draw, project
from squeeze3d.texture.lookup import PixelGrid
from squeeze3d.texture.mipmap import MipMap
from squeeze3d.threads import in_halves

VIEWS, RESOLUTION, SAMPLES = 10, 176, 2
"""Pictures, and samples of a pixel in each direction: outlines and dense colours count as much as where they will be
measured. With single samples, shapes looked more important than they are."""
FLOOR = 1e-6
"""Squared error that nobody sees: 60 dB."""
CLAY = 0.6
"""Grey of shapes without colours."""
CREASE = 40.0
"""Angle at which they are split for shading."""
_STEPS = np.append(np.linspace(0, 1, 4097), 1.0)
_ENCODED, _LINEAR = linear_to_srgb(_STEPS), srgb_to_linear(_STEPS)
"""Tables: powers would take most of the time. Between entries they are wrong by 2e-5 at most."""


class Judge:
    """Compares decoded models with one original.

    Parameters
    ----------
    surface : the original.
    centre, scale : models are in coordinates (place - centre) / scale of the surface.
    """

    def __init__(self, surface: Surface, centre: NDArray[np.float64], scale: float) -> None:
        rig = fitting_rig(surface.bounds, views=VIEWS, resolution=RESOLUTION)
        images = MeshRenderer(surface).render(rig, supersample=SAMPLES, channels=("albedo", "shaded", "normal", "mask"))
        self._cameras = tuple(camera.moved(centre, scale).supersampled(SAMPLES) for camera in rig)
        self._parallel = rig[0].fov is None
        rays = np.stack([camera.rays()[..., 3:].reshape(*camera.resolution, 3) for camera in self._cameras])
        self._rays = (rays / np.linalg.norm(rays, axis=3, keepdims=True)).astype(np.float32)
        self._colours, self._shaded = images.channel("albedo"), images.channel("shaded")
        self._share, self._normals = images.channel("mask"), images.channel("normal")
        # Width of a pixel: at a depth of 1, or anywhere if there is no perspective.
        self._size = np.array([1 / camera.pixels_per_unit(np.ones(1))[0] for camera in self._cameras])

    @cached_property
    def _clay(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The original in grey, without and with light."""
        share = self._share[..., None]
        middle = self._rays[:, SAMPLES // 2 :: SAMPLES, SAMPLES // 2 :: SAMPLES]
        length = np.maximum(np.linalg.norm(self._normals, axis=3), 1e-6)
        tilt = np.abs(np.einsum("nhwc,nhwc->nhw", self._normals, middle)) / length
        grey = np.full((tilt.size, 3), CLAY, dtype=np.float32)
        bright = lit(grey, (AMBIENT + HEADLIGHT * tilt).astype(np.float32).reshape(-1)).reshape(*tilt.shape, 3)
        return (share * CLAY + 1 - share).astype(np.float32), (share * bright + 1 - share).astype(np.float32)

    def error(self, shown: Corners, colour: tuple[float, float, float], *, unlit: bool) -> float:
        """Geometric mean of both squared errors: decibels of either count alike.

        Parameters
        ----------
        shown : the model, as a decoder shows it.
        colour : sRGB in [0, 1], where the model has one colour.
        unlit : whether light does not act on it.
        """
        if shown.picture is not None:
            return self._error(shown, None, self._colours, self._shaded, unlit)
        if shown.colours is None:
            paint = np.broadcast_to(np.array(colour), (len(shown.positions), 3))
        else:
            paint = shown.colours[:, :3]
        return self._error(shown, paint, self._colours, self._shaded, unlit)

    def shape_error(self, positions: NDArray[np.float64], triangles: NDArray[np.int64]) -> float:
        """The same for shapes alone, in grey."""
        shading = crease_normals(positions, triangles, CREASE)
        shown = Corners(positions, triangles, None, shading.normals[shading.groups])
        return self._error(shown, np.full((len(positions), 3), CLAY), *self._clay, False)

    def _error(
        self,
        shown: Corners,
        paint: NDArray[np.float64] | None,
        colours: NDArray[np.float32],
        shaded: NDArray[np.float32],
        unlit: bool,
    ) -> float:
        height, width = self._cameras[0].resolution
        pixels = draw(project(self._cameras, shown.positions), shown.triangles, height, width, parallel=self._parallel)
        if paint is None:
            seen, linear = self._textured(shown, pixels), np.zeros((0, 3))
        else:
            seen, linear = np.zeros((len(pixels.faces), 0, 0, 4), np.float32), srgb_to_linear(paint)

        def part(views: slice) -> tuple[float, float, int]:
            return _errors(
                shown.triangles, linear, seen[views], shown.normals, pixels.faces[views], pixels.weights[views],
                self._share[views], colours[views], shaded[views], self._rays[views], unlit, _ENCODED, _LINEAR,
            )  # fmt: skip

        flat, under_light, count = np.sum(in_halves(part, len(pixels.faces)), axis=0)
        number = 3 * max(int(count), 1)
        return float(np.sqrt((flat / number + FLOOR) * (under_light / number + FLOOR)))

    def _textured(self, shown: Corners, pixels: Fragments) -> NDArray[np.float32]:
        """(N, H, W, 4) colours that a picture shows, averaged over pixels as the measuring renderer does."""
        assert shown.uvs is not None
        assert shown.picture is not None
        height, width = shown.picture.shape[:2]
        corners = shown.positions[shown.triangles]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        u, v = shown.uvs[:, 1] - shown.uvs[:, 0], shown.uvs[:, 2] - shown.uvs[:, 0]
        spread = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) * (width * height)
        rgba = np.concatenate([shown.picture, np.full((height, width, 1), 255, np.uint8)], axis=2)
        maps = MipMap.of(PixelGrid(rgba, (Wrap.CLAMP, Wrap.CLAMP)))
        result = np.zeros((*pixels.faces.shape, 4), dtype=np.float32)

        def part(views: slice) -> None:
            faces = pixels.faces[views]
            spots = np.flatnonzero(faces.reshape(-1) >= 0)
            uv, footprint = np.empty((len(spots), 2)), np.empty(len(spots))
            _looks(
                spots, faces, pixels.weights[views], pixels.depth[views], self._rays[views], self._size[views],
                self._parallel, shown.uvs, across, spread, uv, footprint,
            )  # fmt: skip
            result[views].reshape(-1, 4)[spots] = maps.sample(uv, footprint)

        in_halves(part, len(result))
        return result


@compiled
def _looks(  # type: ignore[no-untyped-def]
    spots, faces, weights, depth, rays, size, parallel, uvs, across, spread, uv, footprint
):
    """Texture coordinates of pixels that show something, and how many texels each one covers in either direction.

    Parameters
    ----------
    spots : (P,) pixels of (N, H, W).
    size : (N,) widths of a pixel, at a depth of 1 or everywhere.
    uvs, across, spread : (F, 3, 2), (F, 3), (F,) texture coordinates of corners, normals as long as twice the area,
        and twice the area in texels.
    uv, footprint : (P, 2), (P,) to be filled.
    """
    _, height, width = faces.shape
    for p in range(len(spots)):
        view, pixel = divmod(spots[p], height * width)
        row, column = divmod(pixel, width)
        face = faces[view, row, column]
        uv[p] = 0.0
        for corner in range(3):
            for axis in range(2):
                uv[p, axis] += weights[view, row, column, corner] * uvs[face, corner, axis]
        square, dot = 1e-60, 0.0
        for axis in range(3):
            square += across[face, axis] ** 2
            dot += across[face, axis] * rays[view, row, column, axis]
        area = np.sqrt(square)
        side = size[view] if parallel else size[view] * depth[view, row, column]
        # A tilted triangle shows more of itself in a pixel.
        footprint[p] = side * np.sqrt(spread[face] / area / max(abs(dot) / area, 0.05))


@compiled
def _between(table, value):  # type: ignore[no-untyped-def]
    """A function on [0, 1] of which a table has even steps."""
    if not value > 0.0:  # Or no number at all.
        return table[0]
    place = min(value, 1.0) * (len(table) - 2)
    low = int(place)
    return table[low] + (table[low + 1] - table[low]) * (place - low)


@compiled
def _errors(  # type: ignore[no-untyped-def]
    triangles, paint, textured, normals, faces, weights, share, colours, shaded, rays, unlit, encoded, linear
):
    """Squared errors of colours and lit colours, summed, and the number of pixels that either covers by half."""
    flat_sum, lit_sum, count = 0.0, 0.0, 0
    views, height, width = share.shape
    part = 1.0 / (SAMPLES * SAMPLES)
    flat = np.zeros(3)
    bright = np.zeros(3)
    for view in range(views):
        for row in range(height):
            for column in range(width):
                covered = 0
                for y in range(row * SAMPLES, (row + 1) * SAMPLES):
                    for x in range(column * SAMPLES, (column + 1) * SAMPLES):
                        if faces[view, y, x] >= 0:
                            covered += 1
                if 2 * covered <= SAMPLES * SAMPLES and share[view, row, column] <= 0.5:
                    continue
                count += 1
                flat[:] = (SAMPLES * SAMPLES - covered) * part
                bright[:] = flat
                for y in range(row * SAMPLES, (row + 1) * SAMPLES):
                    for x in range(column * SAMPLES, (column + 1) * SAMPLES):
                        face = faces[view, y, x]
                        if face < 0:
                            continue
                        light = 1.0
                        if not unlit:
                            dot, length = 0.0, 0.0
                            for axis in range(3):
                                value = 0.0
                                for corner in range(3):
                                    value += weights[view, y, x, corner] * normals[face, corner, axis]
                                dot += value * rays[view, y, x, axis]
                                length += value * value
                            light = AMBIENT + HEADLIGHT * abs(dot) / max(np.sqrt(length), 1e-12)
                        for channel in range(3):
                            if textured.shape[1]:
                                shown = textured[view, y, x, channel]
                                value = _between(linear, shown)
                            else:
                                value = 0.0
                                for corner in range(3):
                                    value += weights[view, y, x, corner] * paint[triangles[face, corner], channel]
                                shown = _between(encoded, value)
                            flat[channel] += part * shown
                            bright[channel] += part * _between(encoded, value * light)
                for channel in range(3):
                    flat_sum += (flat[channel] - colours[view, row, column, channel]) ** 2
                    lit_sum += (bright[channel] - shaded[view, row, column, channel]) ** 2
    return flat_sum, lit_sum, count
