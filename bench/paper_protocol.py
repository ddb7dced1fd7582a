"""Figures by the rules of the Squeeze3D paper, for tables laid out like its own.

What its evaluation scripts do, with these departures: assets are brought into the frame that the scripts expect, by the
box of the original; hidden sides of surfaces are lit like those seen from outside; and clouds are not registered, since
nothing here turns them.

- Meshes: 36 turns in front of a camera and a point light, Phong shading on white, PSNR with the range of each view.
- Clouds: the mean squared distance that `pc_error` prints, which the paper calls PCQM, and PointSSIM.
- Fields: the grid collapsed along an axis, by weights that are no volume rendering; only three views differ.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.errors import Sq3Error
from squeeze3d.metrics.image import paper_psnr, psnr
from squeeze3d.metrics.perceptual import lpips
from squeeze3d.metrics.points import point_to_point
from squeeze3d.metrics.pointssim import SQUEEZE3D_PAPER, pointssim
from squeeze3d.metrics.results import Unavailable
from squeeze3d.metrics.similarity import ms_ssim, paper_ms_ssim
from squeeze3d.render import Camera, Images, paper_rig, render

LIGHT = np.array([0.0, 0.0, 3.0])
"""Place of the light, before the mesh is turned."""
AMBIENT, DIFFUSE, SPECULAR, SHININESS = 0.5, 0.3, 0.2, 64
"""PyTorch3D's defaults for lights and materials."""
DISTANCE = 2.5
CELLS = 160
"""Cells a side of a grid that is collapsed."""
PIXELS = 224
SHARPNESS = 10.0
COUNTS = (6, 8, 6)
"""How often the views along x, y and z appear among the twenty."""

Figures = dict[str, float | Unavailable]


class PaperProtocol:
    """Measures as the published evaluation scripts do.

    Parameters
    ----------
    resolution : pixels a side of views of meshes.
    """

    def __init__(self, original: Asset, *, resolution: int = 512) -> None:
        self._original = original
        self._resolution = resolution

    def measure(self, decoded: Asset) -> Figures:
        """Figures with keys that begin with `paper_`; none for splats, which the paper does not have."""
        if isinstance(self._original, Mesh) and isinstance(decoded, Mesh):
            return self._mesh(decoded)
        if isinstance(self._original, PointCloud) and isinstance(decoded, PointCloud):
            return _cloud(self._original, decoded)
        if isinstance(self._original, RadianceField) and isinstance(decoded, RadianceField):
            return self._field(decoded)
        return {}

    def _mesh(self, decoded: Mesh) -> Figures:
        ours, theirs = self._views, self._lit(decoded)
        return {
            "paper_psnr": paper_psnr(ours, theirs).value,
            "paper_ms_ssim": paper_ms_ssim(ours, theirs).value,
            "paper_lpips": _value(lpips(ours, theirs)),
        }

    @cached_property
    def _cameras(self) -> tuple[Camera, ...]:
        return paper_rig(self._original.bounds(), resolution=self._resolution)

    @cached_property
    def _views(self) -> NDArray[np.float32]:
        assert isinstance(self._original, Mesh)
        return self._lit(self._original)

    def _lit(self, mesh: Mesh) -> NDArray[np.float32]:
        low, high = self._original.bounds()
        images = render(mesh, self._cameras, channels=("albedo", "normal", "depth", "mask"))
        return phong(images, self._cameras, (low + high) / 2)

    def _field(self, decoded: RadianceField) -> Figures:
        ours, theirs = self._collapsed, self._collapse(decoded)
        counts = np.array(COUNTS) / sum(COUNTS)
        finite = [view for view, count in zip(psnr(ours, theirs).views, COUNTS, strict=True) for _ in range(count)]
        return {
            "paper_psnr": float(np.mean(finite)),
            "paper_ms_ssim": float(counts @ np.array(ms_ssim(ours, theirs).views)),
            "paper_lpips": _value(lpips(ours, theirs)),
        }

    @cached_property
    def _collapsed(self) -> NDArray[np.float32]:
        assert isinstance(self._original, RadianceField)
        return self._collapse(self._original)

    def _collapse(self, field: RadianceField) -> NDArray[np.float32]:
        from squeeze3d.backbones.field_frame import K, densities, layout_of
        from squeeze3d.backbones.nerfmae.grid import UNIT, opacities_of, to_grid

        assert isinstance(self._original, RadianceField)
        layout = layout_of(self._original)
        unit = UNIT if layout.is_log else layout.full / K
        depth = densities(field)[0] / np.float32(unit)
        rgb = np.clip(field.rgbsigma[..., :3], 0, 1)
        whole = RadianceField(np.concatenate([rgb, depth[..., None]], axis=3), field.bbox_min, field.bbox_max)
        return collapsed(to_grid(opacities_of(whole), CELLS, "stretch"))


def phong(images: Images, cameras: tuple[Camera, ...], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, H, W, 3) views under the light of the paper.

    Parameters
    ----------
    images : albedo, normal, depth and mask of the cameras.
    cameras : the paper's rig, about `centre`.
    """
    still = paper_rig()[0]
    # The light stands still with the camera; only the mesh turns.
    place = still.axes @ (LIGHT - still.eye)
    albedo, normal, depth, mask = (images.channel(name) for name in ("albedo", "normal", "depth", "mask"))
    views = np.ones_like(albedo)
    for view, camera in enumerate(cameras):
        seen = mask[view] > 0
        scale = float(np.linalg.norm(camera.eye - centre)) / DISTANCE
        light = camera.eye + scale * place @ camera.axes
        rays = camera.rays()[:, 3:].reshape(*seen.shape, 3)[seen]
        points = camera.eye + depth[view][seen][:, None] * rays.astype(np.float64)
        normals = normal[view][seen].astype(np.float64)
        to_light, to_eye = _unit(light - points), _unit(camera.eye - points)
        cosine = (normals * to_light).sum(axis=1)
        mirrored = 2 * cosine[:, None] * normals - to_light
        glint = np.where(cosine > 0, np.maximum((mirrored * to_eye).sum(axis=1), 0), 0) ** SHININESS
        light_on = AMBIENT + DIFFUSE * np.maximum(cosine, 0)
        views[view][seen] = albedo[view][seen] * light_on[:, None] + SPECULAR * glint[:, None]
    return np.clip(views, 0, 1)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def collapsed(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, PIXELS, PIXELS, 3) views along x, y and z of a (4, S, S, S) grid of colours and opacities."""
    import torch
    from torch.nn import functional

    views = []
    for axis in (1, 2, 3):
        weights = torch.softmax(SHARPNESS * torch.from_numpy(grid[3:]), dim=axis)
        view = (torch.from_numpy(grid[:3]) * weights).sum(dim=axis).clamp(0, 1)
        views.append(functional.interpolate(view[None], size=(PIXELS, PIXELS), mode="bilinear", align_corners=False)[0])
    result: NDArray[np.float32] = torch.stack(views).permute(0, 2, 3, 1).contiguous().numpy()
    return result


def _cloud(original: PointCloud, decoded: PointCloud) -> Figures:
    figures: Figures = {"paper_d1_mse": point_to_point(original, decoded).d1}
    try:
        figures["paper_pointssim"] = pointssim(original, decoded, SQUEEZE3D_PAPER).symmetric
    except Sq3Error as error:
        figures["paper_pointssim"] = Unavailable(error.message, error.hint)
    return figures


def _value(scores: object) -> float | Unavailable:
    return scores if isinstance(scores, Unavailable) else float(scores.value)  # type: ignore[attr-defined]
