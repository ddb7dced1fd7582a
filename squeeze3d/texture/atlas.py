"""Unwrap a simplified mesh into a texture atlas (xatlas) and fill it from the original surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.geometry.query import SurfaceQuery

MAX_FACES = 4_000
"""xatlas takes a millisecond a face and more: larger meshes are refused instead of waiting for minutes."""


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
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray(positions, dtype=np.float32), np.ascontiguousarray(triangles, dtype=np.uint32))
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    pack.resolution = resolution
    pack.padding = 1
    pack.bilinear = True
    pack.bruteForce = len(triangles) < 1000
    atlas.generate(chart_options=charts, pack_options=pack)
    _, corners, uvs = atlas[0]
    return Atlas(
        np.asarray(corners, dtype=np.int64),
        np.clip(np.asarray(uvs, dtype=np.float64), 0.0, 1.0),
        atlas.height / max(atlas.width, 1),
    )


@dataclass(frozen=True, eq=False)
class Texels:
    """Sample points spread evenly over the charts of an atlas."""

    faces: NDArray[np.int64]
    """(N,) triangle."""
    weights: NDArray[np.float64]
    """(N, 3) barycentric coordinates."""
    uvs: NDArray[np.float64]
    """(N, 2) place in the atlas, in [0, 1]."""


def locate_texels(corner_uvs: NDArray[np.floating], shape: tuple[int, int]) -> Texels:
    """One sample at the centre of each cell of a fine grid over the atlas that a chart covers.

    Parameters
    ----------
    corner_uvs : (F, 3, 2) coordinates in [0, 1].
    shape : rows and columns of the grid.
    """
    flat = np.zeros((len(corner_uvs) * 3, 3))
    flat[:, :2] = corner_uvs.reshape(-1, 2)
    # Seen from above, the atlas is a surface like any other.
    query = SurfaceQuery(flat, np.arange(len(flat)).reshape(-1, 3))
    rows, columns = shape
    v, u = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    rays = np.zeros((rows * columns, 6))
    rays[:, 0], rays[:, 1], rays[:, 2], rays[:, 5] = u.reshape(-1), v.reshape(-1), 1.0, -1.0
    hits, length = query.cast(rays)
    covered = np.isfinite(length)
    return Texels(hits.faces[covered], hits.weights[covered], rays[covered, :2])


def splat_texels(texels: Texels, colours: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, C) pixels: the mean of the (N, C) sample colours in [0, 1] inside each; gaps are filled smoothly."""
    height, width = shape
    channels = colours.shape[1]
    column = np.minimum((texels.uvs[:, 0] * width).astype(np.int64), width - 1)
    row = np.minimum((texels.uvs[:, 1] * height).astype(np.int64), height - 1)
    pixel = row * width + column
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
