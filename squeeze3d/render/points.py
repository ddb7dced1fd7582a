"""Point clouds as opaque discs that face the camera, nearest on top."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.render.camera import Camera
from squeeze3d.render.fragments import fragments
from squeeze3d.render.images import CHANNELS, Channel, Images, blank, render_in_groups
from squeeze3d.render.mesh import AMBIENT, HEADLIGHT, lit

DISC_SCALE = 2.0
"""Default disc radius in units of the median distance to the nearest neighbour. At 1, surfaces sampled at random have
holes; at 2, edges grow visibly."""

_SPACING_SAMPLES = 20_000


def disc_radius(cloud: PointCloud) -> float:
    """Radius of the discs that show a cloud as a closed surface.

    Draw a decoded cloud with the radius of its *original*, or missing points would go unseen.
    """
    from scipy.spatial import cKDTree

    places = np.unique(cloud.positions[np.isfinite(cloud.positions).all(axis=1)].astype(np.float64), axis=0)
    if len(places) < 2:
        return 1.0
    step = -(-len(places) // _SPACING_SAMPLES)
    distance, _ = cKDTree(places).query(places[::step], k=2)
    return DISC_SCALE * float(np.median(distance[:, 1]))


class PointRenderer:
    """A point cloud made ready for any number of cameras.

    Alpha is not shown. Points without colours are mid-grey, which stands out from the white background.
    """

    def __init__(self, cloud: PointCloud, *, radius: float | None = None) -> None:
        """Use discs of `radius` asset units; None for `disc_radius` of this cloud. Points nowhere are left out."""
        whole = np.isfinite(cloud.positions).all(axis=1)
        self._positions = cloud.positions[whole].astype(np.float64)
        self._radius = disc_radius(cloud) if radius is None else radius
        self._colours = np.full((len(self._positions), 3), 0.5, dtype=np.float32)
        if cloud.colours is not None:
            self._colours = cloud.colours[whole, :3].astype(np.float32) / np.float32(255)
        self._normals: NDArray[np.float64] | None = None
        if cloud.normals is not None:
            normals = np.nan_to_num(cloud.normals[whole]).astype(np.float64)
            length = np.linalg.norm(normals, axis=1, keepdims=True)
            self._normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)

    def render(
        self, cameras: Sequence[Camera], *, supersample: int = 1, channels: Collection[Channel] = CHANNELS
    ) -> Images:
        """Images of all cameras, which must have one resolution. Points without normals are shaded as facing it."""
        return render_in_groups(self._draw, cameras, supersample, channels)

    def _draw(self, cameras: Sequence[Camera], channels: frozenset[Channel]) -> Images:
        images = blank(cameras, channels)
        for index, camera in enumerate(cameras):
            self._draw_view(images, index, camera)
        return images

    def _draw_view(self, images: Images, index: int, camera: Camera) -> None:
        owners, depth = self._nearest(camera)
        seen = owners >= 0
        points = owners[seen]
        if images.albedo is not None:
            images.albedo[index][seen] = self._colours[points]
        if images.mask is not None:
            images.mask[index][seen] = 1
        if images.depth is not None:
            images.depth[index][seen] = depth[points]
        if images.shaded is None and images.normal is None:
            return
        normals, tilt = self._facing(camera, points)
        if images.shaded is not None:
            images.shaded[index][seen] = lit(self._colours[points], (AMBIENT + HEADLIGHT * tilt).astype(np.float32))
        if images.normal is not None:
            images.normal[index][seen] = normals

    def _nearest(self, camera: Camera) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(H, W) point seen in each pixel, -1 for none, and (N,) depth of each point."""
        height, width = camera.resolution
        place = camera.project(self._positions)
        depth = place[:, 2]
        front = np.flatnonzero(depth > 0)
        # Far to near: where fragments share a pixel the last one written, the nearest, stays.
        order = front[np.argsort(-depth[front], kind="stable")]
        x, y = place[order, 0], place[order, 1]
        radius = self._radius * camera.pixels_per_unit(depth[order])
        owners = np.full(height * width, -1, dtype=np.int64)
        for part in fragments(x, y, radius, radius, camera.resolution):
            at = part.owners
            dx, dy = part.columns + 0.5 - x[at], part.rows + 0.5 - y[at]
            own = (np.abs(dx) <= 0.5) & (np.abs(dy) <= 0.5)
            inside = own | (dx * dx + dy * dy <= radius[at] ** 2)
            owners[(part.rows * width + part.columns)[inside]] = order[at[inside]]
        return owners.reshape(height, width), depth

    def _facing(self, camera: Camera, points: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Normals turned towards the camera, and the cosine of their angle with the viewing direction."""
        disc = np.broadcast_to(-camera.axes[2], (len(points), 3))
        if self._normals is None:
            return disc, np.ones(len(points))
        towards = disc
        if camera.fov is not None:
            towards = camera.eye - self._positions[points]
            towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
        normals = self._normals[points]
        tilt = (normals * towards).sum(axis=1)
        normals = np.where(tilt[:, None] < 0, -normals, normals)
        bare = (normals == 0).all(axis=1)
        return np.where(bare[:, None], disc, normals), np.where(bare, 1.0, np.abs(tilt))
