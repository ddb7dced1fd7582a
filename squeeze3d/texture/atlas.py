"""Unwrap meshes into a texture atlas (xatlas), and find what its texels show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import MissingExtraError
from squeeze3d.geometry.query import SurfaceQuery

MAX_FACES = 4_000
"""xatlas takes a millisecond a face and more, and longer for each in larger meshes."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A parametrisation in units of the atlas, origin at the top left."""

    corners: NDArray[np.int64]
    """(F, 3) index into `uvs` of each corner."""
    uvs: NDArray[np.float64]
    """(N, 2) coordinates in [0, 1]."""
    aspect: float
    """Height over width."""


def unwrap(positions: NDArray[np.floating], triangles: NDArray[np.integer], resolution: int) -> Atlas:
    """Cut a mesh into charts and pack them for a texture of about `resolution` pixels a side.

    Raises ValueError for more than `MAX_FACES` triangles.
    """
    if len(triangles) > MAX_FACES:
        raise ValueError(f"{len(triangles)} triangles are too many to unwrap")
    return _unwrap(positions, [triangles], resolution, padding=1, brute_force=len(triangles) < 1000)


def unwrap_in_parts(
    positions: NDArray[np.floating], triangles: NDArray[np.integer], resolution: int, *, padding: int
) -> Atlas:
    """`unwrap` for any number of triangles: charts end where parts of at most `MAX_FACES` do.

    Parameters
    ----------
    padding : texels between charts.
    """
    parts = _parts(positions[triangles].mean(axis=1), np.arange(len(triangles)))
    # Triangles that are small in absolute terms are ignored.
    scale = _SIDE / max(float(np.ptp(positions, axis=0).max(initial=0.0)), 1e-30)
    spread = (np.asarray(positions, dtype=np.float64) - positions.min(axis=0)) * scale
    atlas = _unwrap(spread, [triangles[part] for part in parts], resolution, padding=padding, brute_force=False)
    corners = np.empty_like(atlas.corners)
    corners[np.concatenate(parts)] = atlas.corners
    return Atlas(corners, atlas.uvs, atlas.aspect)


_SIDE = 256.0


def _parts(centres: NDArray[np.floating], faces: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Faces, halved along the longest side until no part has more than `MAX_FACES`."""
    if len(faces) <= MAX_FACES:
        return [faces]
    places = centres[faces]
    order = np.argsort(places[:, np.ptp(places, axis=0).argmax()], kind="stable")
    middle = len(faces) // 2
    return [*_parts(centres, faces[order[:middle]]), *_parts(centres, faces[order[middle:]])]


def _unwrap(
    positions: NDArray[np.floating],
    parts: Sequence[NDArray[np.integer]],
    resolution: int,
    *,
    padding: int,
    brute_force: bool,
) -> Atlas:
    """Raises MissingExtraError without xatlas."""
    try:
        import xatlas
    except ImportError as error:
        raise MissingExtraError(f"xatlas cannot be loaded: {error}", hint="pip install xatlas") from error

    atlas = xatlas.Atlas()
    for triangles in parts:
        used, index = np.unique(triangles, return_inverse=True)
        atlas.add_mesh(
            np.ascontiguousarray(positions[used], dtype=np.float32),
            np.ascontiguousarray(index.reshape(-1, 3), dtype=np.uint32),
        )
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    pack.resolution = resolution
    pack.padding = padding
    pack.bilinear = True
    pack.bruteForce = brute_force
    atlas.generate(chart_options=charts, pack_options=pack)
    corners, uvs, count = [], [], 0
    for number in range(len(parts)):
        _, part_corners, part_uvs = atlas[number]
        corners.append(np.asarray(part_corners, dtype=np.int64) + count)
        uvs.append(np.asarray(part_uvs, dtype=np.float64))
        count += len(part_uvs)
    # Without any area there is no atlas, and its places are no numbers.
    places = np.clip(np.nan_to_num(np.concatenate(uvs)), 0.0, 1.0)
    return Atlas(np.concatenate(corners), places, atlas.height / max(atlas.width, 1))


@dataclass(frozen=True, eq=False)
class Texels:
    """Sample points spread evenly over the charts of an atlas."""

    faces: NDArray[np.int64]
    """(N,) triangle."""
    weights: NDArray[np.float64]
    """(N, 3) barycentric coordinates."""
    uvs: NDArray[np.float64]
    """(N, 2) place in the atlas, in [0, 1]."""


class TexelFinder:
    """Tells what the texels of an atlas show.

    Parameters
    ----------
    corner_uvs : (F, 3, 2) coordinates in [0, 1].
    """

    def __init__(self, corner_uvs: NDArray[np.floating]) -> None:
        flat = np.zeros((len(corner_uvs) * 3, 3))
        flat[:, :2] = corner_uvs.reshape(-1, 2)
        # Seen from above, the atlas is a surface like any other.
        self._query = SurfaceQuery(flat, np.arange(len(flat)).reshape(-1, 3))

    def rows(self, wanted: range, shape: tuple[int, int]) -> Texels:
        """One sample at the centre of each cell that a chart covers, in some rows of a grid of `shape`."""
        rows, columns = shape
        v, u = np.meshgrid((np.array(wanted) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        rays = np.zeros((u.size, 6))
        rays[:, 0], rays[:, 1], rays[:, 2], rays[:, 5] = u.reshape(-1), v.reshape(-1), 1.0, -1.0
        hits, length = self._query.cast(rays)
        covered = np.isfinite(length)
        return Texels(hits.faces[covered], hits.weights[covered], rays[covered, :2])


def locate_texels(corner_uvs: NDArray[np.floating], shape: tuple[int, int]) -> Texels:
    """One sample at the centre of each cell of a fine grid over the atlas that a chart covers.

    Parameters
    ----------
    corner_uvs : (F, 3, 2) coordinates in [0, 1].
    shape : rows and columns of the grid.
    """
    return TexelFinder(corner_uvs).rows(range(shape[0]), shape)


def pixel_numbers(uvs: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) pixels, numbered row by row, that (N, 2) places in the atlas lie in."""
    height, width = shape
    column = np.minimum((uvs[:, 0] * width).astype(np.int64), width - 1)
    row = np.minimum((uvs[:, 1] * height).astype(np.int64), height - 1)
    result: NDArray[np.int64] = row * width + column
    return result


def splat_texels(texels: Texels, colours: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, C) pixels: the mean of the (N, C) sample colours in [0, 1] inside each; gaps are filled smoothly."""
    height, width = shape
    channels = colours.shape[1]
    pixel = pixel_numbers(texels.uvs, shape)
    total = np.stack([np.bincount(pixel, colours[:, c], height * width) for c in range(channels)], axis=1).astype(
        np.float64
    )
    count = np.bincount(pixel, minlength=height * width).astype(np.float64)
    filled = fill_gaps(total.reshape(height, width, channels), count.reshape(height, width))
    return np.clip(np.rint(filled * 255), 0, 255).astype(np.uint8)


def fill_gaps(total: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pull-push interpolation: (H, W, C) weighted sums and (H, W) weights to (H, W, C) values everywhere.

    Gaps take the average of a growing neighbourhood, which is smooth and so nearly free for an image coder.
    """
    known = weight[:, :, None] > 0
    own = total / np.where(known, weight[:, :, None], 1)
    height, width = weight.shape
    if known.all() or (height == 1 and width == 1):
        return own
    pad = ((0, height % 2), (0, width % 2))
    presence = np.pad((weight > 0).astype(np.float64), pad)
    values = np.pad(np.where(known, own, 0), (*pad, (0, 0)))
    half = (presence.shape[0] // 2, 2, presence.shape[1] // 2, 2)
    coarse_weight = presence.reshape(half).sum(axis=(1, 3))
    coarse_total = values.reshape(*half, -1).sum(axis=(1, 3))
    coarse = fill_gaps(coarse_total, coarse_weight)
    return np.where(known, own, coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width])
